"""Safetensors files, read and written by their layout, without building tensors.

https://huggingface.co/docs/safetensors: 8 bytes of header length, a JSON header, and the tensors one after the other.
"""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedWriter, FileIO
from math import prod
from pathlib import Path
from typing import Any

from sbert_prune.errors import EncoderError
from sbert_prune.system.reading import MAX_HEADER_BYTES

_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_METADATA = {"format": "pt"}
_CHUNK_BYTES = 1 << 20  # small enough to stay in the processor's cache while it is copied


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """The place of one tensor in a file.

    Attributes:
        path: The file.
        dtype: Number type, as safetensors names it.
        shape: Shape.
        start: Offset of its first byte in the file.
        num_bytes: Size.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name.

    Raises:
        EncoderError: The file is cut off, damaged or of another kind.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise EncoderError(f"{path} is not a safetensors file, or it is cut off: {size} bytes. Fetch it again.")
        if length > MAX_HEADER_BYTES:
            raise EncoderError(
                f"{path} has a header of {length / 1e6:,.0f} MB; at most {MAX_HEADER_BYTES / 1e6:g} MB are read, which "
                "is enough for a thousand layers. Fetch it again."
            )
        try:
            header = json.loads(file.read(length))
            entries = {
                name: _parse(path, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"
            }
            end = max(tensor.start + tensor.num_bytes for tensor in entries.values())
        except (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise EncoderError(f"{path} has a damaged header ({error}). Fetch it again.") from error
    if end != size:
        raise EncoderError(
            f"{path} should be {end} bytes by its own header, and is {size}: it was cut off or damaged. Fetch it again."
        )
    _check_ranges(path, entries, 8 + length)
    return entries


def _parse(path: Path, entry: dict[str, Any], begin: int) -> StoredTensor:
    start, end = entry["data_offsets"]
    if not all(isinstance(number, int) for number in (start, end, *entry["shape"])):
        raise ValueError("an offset or a size that is no whole number")
    return StoredTensor(path, str(entry["dtype"]), tuple(map(int, entry["shape"])), begin + start, end - start)


def _check_ranges(path: Path, tensors: Mapping[str, StoredTensor], begin: int) -> None:
    """Check that the tensors follow each other without gaps, each as long as its shape says."""
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].num_bytes)):
        if tensor.dtype not in _BITS:
            raise EncoderError(
                f"{path}: {name} is of the type {tensor.dtype}, which is not known. Known: {', '.join(_BITS)}. "
                "Fetch it again."
            )
        expected = prod(tensor.shape) * _BITS[tensor.dtype] // 8
        if tensor.start != begin or tensor.num_bytes != expected:
            raise EncoderError(
                f"{path} has a damaged header: {name} ({tensor.dtype} {list(tensor.shape)}) should be {expected} bytes "
                f"from byte {begin} on, and is {tensor.num_bytes} from {tensor.start} on. Fetch it again."
            )
        begin += tensor.num_bytes


def write_tensors(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Copy tensors into a new file under new names; the result is the same as from the safetensors library."""
    ordered = sorted(tensors.items(), key=lambda item: (-_BITS[item[1].dtype], item[0]))
    with ExitStack() as opened, path.open("wb") as out:
        paths = {tensor.path for _, tensor in ordered}
        sources = {source: opened.enter_context(source.open("rb", buffering=0)) for source in paths}
        out.write(_header(ordered))
        for _, tensor in ordered:
            _copy(sources[tensor.path], tensor, out)


def _header(ordered: list[tuple[str, StoredTensor]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": _METADATA}
    offset = 0
    for name, tensor in ordered:
        end = offset + tensor.num_bytes
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _copy(source: FileIO, tensor: StoredTensor, out: BufferedWriter) -> None:
    bytes_left = tensor.num_bytes
    while bytes_left:
        position = tensor.start + tensor.num_bytes - bytes_left
        chunk = os.pread(source.fileno(), min(bytes_left, _CHUNK_BYTES), position)
        if not chunk:
            raise EncoderError(f"{tensor.path} became shorter while it was read. Fetch it again.")
        out.write(chunk)
        bytes_left -= len(chunk)
