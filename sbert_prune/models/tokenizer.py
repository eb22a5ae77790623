"""The tokenizer of a saved model: it cuts texts as the tokenizer.json beside it says.

Transformers 5 rebuilds classes such as BertTokenizer from their settings and the vocabulary, and reads no normaliser,
pre-tokeniser or kind of model from tokenizer.json. Where the result cuts texts otherwise, Transformers' plain class is
used, which loads the file as it is; it is also what a saved model then names, so that every reader gets the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from tokenizers import Tokenizer, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers import __version__ as version

from sbert_prune.errors import EncoderError
from sbert_prune.system.reading import MAX_TOKENIZER_BYTES, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

_FILE = "tokenizer.json"
_PARTS = ("normalizer", "pre_tokenizer", "post_processor")
_CHANGING = ("add_prefix_space", "add_bos_token", "add_eos_token")
"""The settings by which the plain class changes what it loaded."""

_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""The settings of a class in tokenizer_config.json, and what the normaliser in tokenizer.json calls them."""

_TEXTS = (
    "A Baker paints the WALL, twice: 1,234.5 % (see no. 7)!",
    "  two  spaces,\ttabs and a\nnew line ",
    "Ärzte, naïve cafés, \uff37ide \ufb01ne ½ x² don't e-mail@x.org",
    "एक माणूस बासरी वाजवत आहे. 東京 한국어 Привет",
)
_MOST_PIECES, _WORDS = 400, 20


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder, as its tokenizer.json describes it.

    Raises:
        EncoderError: It cannot be loaded, or its settings contradict tokenizer.json.
    """
    tokenizer = _load(folder)
    return replacement(folder, tokenizer) or tokenizer


def rewritten_tokenizer(folder: Path) -> PreTrainedTokenizerFast | None:
    """Return what to save beside pruned weights in place of a tokenizer that cuts otherwise than its tokenizer.json.

    None if the files can stay as they are.
    Raises:
        EncoderError: It cannot be loaded, or its settings contradict tokenizer.json.
    """
    return replacement(folder, _load(folder)) if (folder / _FILE).is_file() else None


def _load(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(str(folder), local_files_only=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(f"{folder}: its tokenizer cannot be read ({reason}). Fetch its files again.") from error


def replacement(folder: Path, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast | None:
    """Return a tokenizer made of tokenizer.json if the loaded one cuts texts otherwise; None if it cuts the same.

    Args:
        folder: The folder.
        tokenizer: The tokenizer that Transformers or sentence-transformers loaded from it.

    Raises:
        EncoderError: tokenizer_config.json contradicts tokenizer.json.
    """
    path = folder / _FILE
    if not path.is_file() or not isinstance(tokenizer, PreTrainedTokenizerFast) or _is_the_file(tokenizer):
        return None
    described, lowers = read_json(path, MAX_TOKENIZER_BYTES), _lowers_first(folder)
    if not _differing_parts(path, described, tokenizer, lowers_first=lowers):
        return None
    _check_settings(folder, described)
    plain = _plain(folder, described, tokenizer)
    if lowers:
        _lower_first(plain.backend_tokenizer)
    for read in (plain, _saved_and_loaded(folder, plain)):
        if still := _differing_parts(path, described, read, lowers_first=lowers):
            raise EncoderError(
                f"{folder}: Transformers cuts texts otherwise than {_FILE} says, also when the class in "
                f"tokenizer_config.json is PreTrainedTokenizerFast: {', '.join(still)} differ. Give the encoder with a "
                f"tokenizer that Transformers {version} can load, saved by it."
            )
    return plain


def _saved_and_loaded(folder: Path, plain: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the tokenizer as every reader of a saved model gets it: for some encoders, the class is fixed."""
    with TemporaryDirectory() as scratch:
        plain.save_pretrained(scratch)
        shutil.copyfile(folder / "config.json", Path(scratch) / "config.json")
        return cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(scratch, local_files_only=True))


def _plain(folder: Path, described: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the plain tokenizer, with the length and those special pieces of the other that the file has."""
    known = {token["content"] for token in described.get("added_tokens") or ()} | set(_pieces(described["model"]))
    special = {name: token for name, token in tokenizer._special_tokens_map.items() if str(token) in known}
    plain: Any = PreTrainedTokenizerFast  # has no annotations
    return cast(
        "PreTrainedTokenizerFast",
        plain.from_pretrained(
            str(folder),
            local_files_only=True,
            model_max_length=tokenizer.model_max_length,
            model_input_names=tokenizer.model_input_names,
            **special,
        ),
    )


def _is_the_file(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Return whether it is of the class that loads the file, and no setting changes a part of it."""
    return _is_plain(tokenizer) and not any(name in tokenizer.init_kwargs for name in _CHANGING)


def _is_plain(tokenizer: PreTrainedTokenizerFast) -> bool:
    return type(tokenizer) is PreTrainedTokenizerFast


def _lowers_first(folder: Path) -> bool:
    """Return whether sentence-transformers puts lower-casing before the tokenizer, by a setting of its own."""
    settings = [read_json(path) for path in folder.glob("sentence_*_config.json")]
    return any(isinstance(setting, dict) and setting.get("do_lower_case") for setting in settings)


def _lower_first(backend: Tokenizer) -> None:
    """Put lower-casing before a tokenizer that has none, as sentence-transformers does."""
    own: Any = backend.normalizer
    is_sequence = isinstance(backend.normalizer, normalizers.Sequence)
    steps = list(own) if is_sequence else [own] if own else []
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def _differing_parts(
    path: Path, described: dict[str, Any], tokenizer: PreTrainedTokenizerFast, *, lowers_first: bool
) -> list[str]:
    """Return the parts that differ from the file's; none if texts are cut the same all the same."""
    backend = tokenizer.backend_tokenizer
    differing = [part for part in _PARTS if described.get(part) != _state(getattr(backend, part))]
    if not _is_plain(tokenizer) and _comparable(described["model"]) != _comparable(
        json.loads(backend.to_str())["model"]
    ):
        differing.append("model")
    if not differing:
        return []
    try:
        reference = Tokenizer.from_file(str(path))
    except Exception as error:  # the only class that tokenizers raises
        raise EncoderError(f"{path} cannot be read ({error}). Restore it from where the model came from.") from error
    if "model" not in differing:
        reference.model = backend.model  # `tokenizers` rounds scores otherwise than Python
    used = Tokenizer.from_str(backend.to_str())  # a copy
    used.model = backend.model
    texts = list(_probes(described["model"]))
    cuts = []
    for each in (reference, used):
        each.no_truncation()
        each.no_padding()
        if lowers_first:
            _lower_first(each)
        cuts.append([(cut.ids, cut.type_ids) for cut in each.encode_batch(texts)])
    return differing if cuts[0] != cuts[1] else []


def _state(part: Any) -> Any:
    return None if part is None else json.loads(part.__getstate__())


def _probes(model: dict[str, Any]) -> Iterator[str]:
    """Yield texts of every kind, and texts of words of the vocabulary, small and capital."""
    yield from _TEXTS
    pieces = [piece.removeprefix("##").strip("▁Ġ ") for piece in _pieces(model)]
    words = pieces[:: max(1, len(pieces) // _MOST_PIECES)]
    for start in range(0, len(words), _WORDS):
        text = " ".join(words[start : start + _WORDS])
        yield from (text, text.title())


def _pieces(model: dict[str, Any]) -> list[str]:
    return [piece if isinstance(piece, str) else piece[0] for piece in model["vocab"]]


def _comparable(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model without what makes no difference: the last digits of scores, dropout, how merges are written."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        vocabulary = [(piece, round(float(score), 6)) for piece, score in vocabulary]
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges") or ()]
    return {**model, "vocab": vocabulary, "merges": merges, "dropout": None}


def _check_settings(folder: Path, described: dict[str, Any]) -> None:
    """Check that no setting in tokenizer_config.json contradicts the normaliser in tokenizer.json."""
    path, normaliser = folder / "tokenizer_config.json", described.get("normalizer") or {}
    settings = read_json(path) if path.is_file() else {}
    for name, own in _SETTINGS.items():
        given, says = settings.get(name), normaliser.get(own)
        if given is not None and says is not None and given != says:
            raise EncoderError(
                f"{folder}: tokenizer_config.json gives {name}={json.dumps(given)}, and {_FILE} {own}="
                f"{json.dumps(says)}, so it is not known how the encoder's texts were cut. Write into both what the "
                "encoder was trained with."
            )
