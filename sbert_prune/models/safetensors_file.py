"""Safetensors files, read and written by their layout alone: no tensor is ever built.

https://huggingface.co/docs/safetensors: 8 bytes of header length, a JSON header, the tensors one behind the other.
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

_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_METADATA = {"format": "pt"}
_AT_ONCE = 1 << 20  # bytes; what stays in a processor's cache on its way from file to file


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor lies. start: the offset of its first byte from the beginning of the file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name. Raises EncoderError for a file that is cut off, damaged or of another kind."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise EncoderError(f"{path} is not a safetensors file, or it is cut off: {size} bytes. Fetch it again.")
        try:
            header = json.loads(file.read(length))
            entries = {name: _parse(path, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"}
            end = max(tensor.start + tensor.num_bytes for tensor in entries.values())
        except (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise EncoderError(f"{path} has a damaged header ({error}). Fetch it again.") from error
    if end != size:
        raise EncoderError(f"{path} should be {end} bytes by its own header, and is {size}: it was cut off or damaged. Fetch it again.")
    _check_ranges(path, entries, 8 + length)
    return entries


def _parse(path: Path, entry: dict[str, Any], begin: int) -> StoredTensor:
    start, end = entry["data_offsets"]
    if not all(isinstance(number, int) for number in (start, end, *entry["shape"])):
        raise ValueError("an offset or a size that is no whole number")
    return StoredTensor(path, str(entry["dtype"]), tuple(map(int, entry["shape"])), begin + start, end - start)


def _check_ranges(path: Path, tensors: Mapping[str, StoredTensor], begin: int) -> None:
    """The tensors lie one behind the other, each as long as its shape says."""
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].num_bytes)):
        if tensor.dtype not in _BITS:
            raise EncoderError(
                f"{path}: {name} is of the type {tensor.dtype}, which is not known. Known: {', '.join(_BITS)}. Fetch it again."
            )
        expected = prod(tensor.shape) * _BITS[tensor.dtype] // 8
        if tensor.start != begin or tensor.num_bytes != expected:
            raise EncoderError(
                f"{path} has a damaged header: {name} ({tensor.dtype} {list(tensor.shape)}) should be {expected} bytes from byte {begin} "
                f"on, and is {tensor.num_bytes} from {tensor.start} on. Fetch it again."
            )
        begin += tensor.num_bytes


def write_tensors(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Copy tensors into a new file under the names given, byte by byte as the safetensors library would write them."""
    ordered = sorted(tensors.items(), key=lambda item: (-_BITS[item[1].dtype], item[0]))
    with ExitStack() as opened, path.open("wb") as out:
        sources = {source: opened.enter_context(source.open("rb", buffering=0)) for source in {tensor.path for _, tensor in ordered}}
        out.write(_header(ordered))
        for _, tensor in ordered:
            _copy(sources[tensor.path], tensor, out)


def _header(ordered: list[tuple[str, StoredTensor]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": _METADATA}
    place = 0
    for name, tensor in ordered:
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [place, place + tensor.num_bytes]}
        place += tensor.num_bytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _copy(source: FileIO, tensor: StoredTensor, out: BufferedWriter) -> None:
    left = tensor.num_bytes
    while left:
        chunk = os.pread(source.fileno(), min(left, _AT_ONCE), tensor.start + tensor.num_bytes - left)
        if not chunk:
            raise EncoderError(f"{tensor.path} became shorter while it was read. Fetch it again.")
        out.write(chunk)
        left -= len(chunk)
