"""The modules after the encoder in a saved sentence model, as listed in `modules.json`."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbert_prune.errors import EncoderError
from sbert_prune.models.lineage import FILE_NAME as LINEAGE
from sbert_prune.models.model_files import check_file, files_in
from sbert_prune.system.reading import read_json

FILE_NAME = "modules.json"
PICKLE = "pytorch_model.bin"

_KINDS = ("Pooling", "Dense", "Normalize", "Dropout", "LayerNorm")
_WITH_WEIGHTS = ("Dense", "LayerNorm")


@dataclass(frozen=True, slots=True)
class SavedModule:
    """One module.

    Attributes:
        kind: The name of its class.
        folder: Where it is saved. It may be empty or missing if the module has no files.
    """

    kind: str
    folder: Path

    @property
    def is_pickled(self) -> bool:
        """Whether its weights are saved only as a pickle."""
        return (self.folder / PICKLE).is_file() and not (self.folder / "model.safetensors").is_file()

    @property
    def weights(self) -> Path | None:
        """Its weights as safetensors, if it has any."""
        path = self.folder / "model.safetensors"
        return path if path.is_file() else None


def read_modules(folder: Path) -> tuple[SavedModule, ...]:
    """Return the modules after the encoder, in order; none for a bare encoder.

    Raises:
        EncoderError: The list is damaged, a module is not supported, or its weights are missing.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return ()
    try:
        entries = read_json(path)
        types = [str(entry["type"]) for entry in entries]
        listed = [(kind.rpartition(".")[2], str(entry["path"])) for kind, entry in zip(types, entries, strict=True)]
    except (ValueError, LookupError, TypeError) as error:
        raise EncoderError(
            f"{path} is no list of modules ({error}). Restore it from where the model came from."
        ) from error
    if own_code := [kind for kind in types if not kind.startswith("sentence_transformers.")]:
        raise EncoderError(
            f"{folder} needs its own code ({own_code[0]} in {FILE_NAME}), which sbert-prune does not run. "
            "Take a model whose modules are all of sentence_transformers."
        )
    if not listed or listed[0][0] != "Transformer":
        raise EncoderError(
            f"{path} begins with {listed[0][0] if listed else 'nothing'}; a Transformer encoder is expected."
        )
    if listed[0][1]:
        raise EncoderError(
            f"{folder} keeps its encoder in {listed[0][1]}, an old layout. "
            "Save it anew: SentenceTransformer(folder).save(another_folder)."
        )
    modules = tuple(_module(folder, kind, subfolder) for kind, subfolder in listed[1:])
    for module in modules:
        if module.kind in _WITH_WEIGHTS and not (module.weights or module.is_pickled):
            raise EncoderError(f"{module.folder} holds no weights of its {module.kind}. Fetch the folder again.")
    return modules


def _module(folder: Path, kind: str, subfolder: str) -> SavedModule:
    if kind not in _KINDS:
        raise EncoderError(
            f"{folder} has a {kind} module after its encoder, which sbert-prune does not support. "
            f"Supported: {', '.join(_KINDS)}. "
            "Give the bare encoder, or a sentence model of these."
        )
    if not subfolder or Path(subfolder).is_absolute() or ".." in Path(subfolder).parts:
        raise EncoderError(
            f"{folder / FILE_NAME} places its {kind} at {subfolder!r}, outside of the folder's own. Restore the file."
        )
    return SavedModule(kind, folder / subfolder)


def pooling_of(folder: Path) -> str | None:
    """Return a saved model's pooling: mean, cls or another mode of sentence-transformers; None for a bare encoder."""
    module = next((module for module in read_modules(folder) if module.kind == "Pooling"), None)
    if module is None:
        return None
    path = module.folder / "config.json"
    try:
        config: Any = read_json(path)
        legacy = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        modes = config.get("pooling_mode") or [mode for key, mode in legacy.items() if config.get(key)]
        return modes if isinstance(modes, str) else "+".join(modes) or "other"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise EncoderError(
            f"{path} does not say how to pool ({error}). Restore it from where the model came from."
        ) from error


def copy_sidecar_files(folder: Path, out: Path) -> None:
    """Copy the files of a model but the encoder's own weights and config: tokenizer, settings, further modules, texts.

    Other files stay behind, such as code and pickles. Links are replaced by copies of their targets.

    Raises:
        EncoderError: A file is a link out of the folder, or larger than what is read.
    """
    for path in _sidecar_files(folder):
        check_file(folder, path)
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _sidecar_files(folder: Path) -> Iterator[Path]:
    for path in files_in(folder):
        # All weights, also those of adapters and in other formats: they are of the layers as they were.
        of_encoder = path.name in {"config.json", LINEAGE} or path.name.endswith(
            (".safetensors", ".safetensors.index.json")
        )
        if not of_encoder:
            yield path
    for module in {module.folder for module in read_modules(folder)}:
        yield from files_in(module)


def check_files(folder: Path) -> None:
    """Check every file of a model that is read or copied.

    Raises:
        EncoderError: A file is a link out of the folder, or larger than what is read.
    """
    for path in files_in(folder):
        check_file(folder, path)
    for module in read_modules(folder):
        for path in files_in(module.folder):
            check_file(folder, path)
