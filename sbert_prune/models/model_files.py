"""Which files of a model's folder are read and copied: a list of what is needed, inside the folder, of limited size."""

from collections.abc import Iterator
from json import JSONDecodeError
from pathlib import Path

from sbert_prune.errors import EncoderError
from sbert_prune.system.reading import MAX_CONFIG_BYTES, MAX_TOKENIZER_BYTES, check_settings, read_json, too_large

_SUFFIXES = (".json", ".txt", ".model", ".jinja", ".md", ".safetensors")
"""Settings, tokenizers, chat templates, the model card, and weights."""

_TEXTS = ("LICENSE", "LICENCE", "NOTICE", "COPYING")

_TOKENIZER = "tokenizer.json"  # its pieces and settings are checked with the checkpoint
_VOCABULARIES = (_TOKENIZER, "vocab.json", "entity_vocab.json")
_TEMPLATES = "additional_chat_templates"


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files beside each other that a sentence model may need, by their names."""
    for path in sorted(folder.glob("*")):
        if path.name == _TEMPLATES and path.is_dir():
            yield from files_in(path)
        is_needed = path.suffix in _SUFFIXES or path.name in _TEXTS
        if is_needed and not path.name.startswith(".") and path.is_file():
            yield path


def limit_of(name: str) -> int | None:
    """Return the most bytes that are read of a file of this name; None for weights, which are never read at once."""
    if name.endswith((".safetensors", ".bin")):
        return None
    return MAX_TOKENIZER_BYTES if name in _VOCABULARIES or not name.endswith(".json") else MAX_CONFIG_BYTES


def check_file(folder: Path, path: Path) -> None:
    """Check a file of a model before it is read or copied.

    Args:
        folder: The model's folder.
        path: The file.

    Raises:
        EncoderError: It is a link out of the folder, which could publish any file of this machine, or too large.
    """
    target = path.resolve()
    if not any(target.is_relative_to(root) for root in _roots(folder)):
        raise EncoderError(
            f"{path} is a link to {target}, outside of the folder. Links are followed inside a model's folder and "
            f"into the hub's cache alone, so that no other file is published with a model. If the file belongs to "
            "the model, put a copy in the place of the link."
        )
    limit, num_bytes = limit_of(path.name), path.stat().st_size
    if limit is not None and num_bytes > limit:
        raise EncoderError(
            f"{path} is not read: {too_large(num_bytes, limit)}. Restore it from where the model came from."
        )
    if path.suffix == ".json" and path.name != _TOKENIZER:
        _check_json(path)


def _check_json(path: Path) -> None:
    """Check the settings that the libraries read; a file that is no JSON is reported by what needs it."""
    try:
        check_settings(read_json(path, MAX_TOKENIZER_BYTES))
    except (JSONDecodeError, UnicodeDecodeError):
        return
    except ValueError as error:
        raise EncoderError(f"{path} is not read: {error}. Restore it from where the model came from.") from error


def _roots(folder: Path) -> Iterator[Path]:
    """Yield the folders that a model's links may lead to: its own, and those of the hub's cache with files' contents.

    A snapshot in the cache, `models--ORG--NAME/snapshots/COMMIT`, links into `models--ORG--NAME/blobs`.
    """
    own = folder.resolve()
    yield own
    if own.parent.name == "snapshots" and own.parent.parent.name.startswith("models--"):
        yield own.parent.parent / "blobs"
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).expanduser()
    yield from (blobs.resolve() for blobs in cache.glob("models--*/blobs"))
