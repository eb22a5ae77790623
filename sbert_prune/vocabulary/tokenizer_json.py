"""The pieces of a tokenizer, read from its JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sbert_prune.errors import EncoderError

SUPPORTED = ("WordPiece", "Unigram", "BPE")

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Pieces:
    """What a tokenizer can cut a text into, by number.

    kind: WordPiece, Unigram or BPE.
    numbers: every (text, id), in order of the ids; added tokens are among them, wherever their ids lie.
    added: ids of the added tokens.  unknown: id of the piece for what has none, where there is one.
    model: the tokenizer's model as `tokenizers` writes it.
    """

    kind: str
    numbers: tuple[tuple[str, int], ...]
    added: frozenset[int]
    unknown: int | None
    model: dict[str, Any]

    @property
    def ids(self) -> list[int]:
        """All ids, ascending, each once."""
        return sorted({number for _, number in self.numbers})

    def irreplaceable(self) -> set[int]:
        """What the segmentation of other pieces rests upon.

        Added tokens and the unknown piece; single characters, in all their forms, and bytes, which stand where nothing longer
        is known; for Unigram the lowest score, since the price of an unknown character is counted from it.
        """
        kept = set(self.added)
        if self.unknown is not None:
            kept.add(self.unknown)
        kept |= {number for text, number in self.numbers if _is_single(text, self.model)}
        if self.kind == "Unigram":
            scores = [score for _, score in self.model["vocab"]]
            kept.add(scores.index(min(scores)))
        return kept


def read_pieces(tokenizer: dict[str, Any]) -> Pieces:
    """The pieces of a parsed tokenizer.json. Raises EncoderError for a kind of tokenizer that cannot be trimmed."""
    model = tokenizer["model"]
    kind = model["type"]
    if kind not in SUPPORTED:
        raise EncoderError(
            f"The tokenizer is of the kind {kind}, whose vocabulary cannot be trimmed. Supported kinds: {', '.join(SUPPORTED)}. "
            "Take vocabulary=all, or another base."
        )
    listed = enumerate(model["vocab"]) if kind == "Unigram" else ()
    numbers = {(text, number) for number, (text, _) in listed} if kind == "Unigram" else set(model["vocab"].items())
    added = {(token["content"], token["id"]) for token in tokenizer["added_tokens"]}
    ordered = tuple(sorted(numbers | added, key=lambda piece: (piece[1], piece[0])))
    unknown = model["unk_id"] if kind == "Unigram" else dict(ordered).get(model["unk_token"])
    return Pieces(kind, ordered, frozenset(number for _, number in added), unknown, model)


def _is_single(text: str, model: dict[str, Any]) -> bool:
    """One character, as the model would look it up: "x", "##x" behind another, "x</w>" at the end of a word; or a byte."""
    prefix = model.get("continuing_subword_prefix") or ""
    suffix = model.get("end_of_word_suffix") or ""
    bare = text.removeprefix(prefix)
    return any(len(form) == 1 for form in (text, bare, text.removesuffix(suffix), bare.removesuffix(suffix))) or bool(_BYTE.fullmatch(text))
