"""The files that come along with an encoder's weights: tokenizer, further modules, prompts, licence."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sbert_prune.models.lineage import FILE_NAME as LINEAGE
from sbert_prune.models.modules import read_modules

_OTHER_FORMATS = (".bin", ".h5", ".msgpack", ".ot", ".onnx", ".pt", ".pth", ".ckpt", ".gguf", ".tflite")
_OTHER_FOLDERS = ("onnx", "openvino", "coreml")


def copy_companions(folder: Path, out: Path) -> None:
    """Copy all but the encoder's own weights and config, in whatever format they are; what links point to is copied, dead links are not."""
    for path in _companions(folder):
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _companions(folder: Path) -> Iterator[Path]:
    modules = {module.folder for module in read_modules(folder)}
    for module in modules:
        yield from (path for path in module.rglob("*") if path.is_file() and path.suffix not in _OTHER_FORMATS)
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        other = path.suffix in _OTHER_FORMATS or parts[0] in _OTHER_FOLDERS or any(part.startswith(".") for part in parts)
        of_encoder = len(parts) == 1 and (
            path.name in {"config.json", LINEAGE} or (path.name.startswith("model") and "safetensors" in path.name)
        )
        if path.is_file() and not other and not of_encoder and not any(path.is_relative_to(module) for module in modules):
            yield path
