"""A tokenizer.json: its pieces and merge rules, the ids that it uses, and a copy with only some of the pieces."""

from __future__ import annotations

import re
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

SUPPORTED = ("WordPiece", "Unigram", "BPE")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Pieces:
    """The pieces of a tokenizer with their ids.

    Attributes:
        kind: WordPiece, Unigram or BPE.
        numbers: Every (text, id), in order of the ids; includes the added tokens.
        added: The ids of the added tokens.
        unknown: The id of the unknown piece, if there is one.
        model: The tokenizer's model as `tokenizers` writes it.
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
        """Return the ids of pieces on which the segmentation into others depends.

        Added tokens and the unknown piece; single characters, in all their forms, and bytes, which are used if no
        longer piece fits; for Unigram the piece with the lowest score, from which the score of an unknown character is
        derived.
        """
        ids = set(self.added)
        if self.unknown is not None:
            ids.add(self.unknown)
        ids |= {number for text, number in self.numbers if _is_single(text, self.model)}
        if self.kind == "Unigram":
            scores = [score for _, score in self.model["vocab"]]
            ids.add(scores.index(min(scores)))
        return ids


def read_pieces(tokenizer: dict[str, Any]) -> Pieces:
    """Return the pieces of a parsed tokenizer.json. Raises EncoderError for a tokenizer that cannot be trimmed."""
    model = tokenizer["model"]
    kind = model["type"]
    if kind not in SUPPORTED:
        raise EncoderError(
            f"The tokenizer is of the kind {kind}, whose vocabulary cannot be trimmed. Supported kinds: "
            f"{', '.join(SUPPORTED)}. Take vocabulary=all, or another base."
        )
    listed = enumerate(model["vocab"]) if kind == "Unigram" else ()
    numbers = {(text, number) for number, (text, _) in listed} if kind == "Unigram" else set(model["vocab"].items())
    added = {(token["content"], token["id"]) for token in tokenizer["added_tokens"]}
    ordered = tuple(sorted(numbers | added, key=lambda piece: (piece[1], piece[0])))
    unknown = model["unk_id"] if kind == "Unigram" else dict(ordered).get(model["unk_token"])
    return Pieces(kind, ordered, frozenset(number for _, number in added), unknown, model)


def _is_single(text: str, model: dict[str, Any]) -> bool:
    """Return whether a piece is one character ("x", "##x" inside a word, "x</w>" at the end of one) or a byte."""
    prefix = model.get("continuing_subword_prefix") or ""
    suffix = model.get("end_of_word_suffix") or ""
    bare = text.removeprefix(prefix)
    return any(len(form) == 1 for form in (text, bare, text.removesuffix(suffix), bare.removesuffix(suffix))) or bool(
        _BYTE.fullmatch(text)
    )


class Merges:
    """The merge rules of a BPE model."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._prefix: str = model.get("continuing_subword_prefix") or ""
        self._suffix: str = model.get("end_of_word_suffix") or ""
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
        self._halves: defaultdict[str, set[str]] = defaultdict(set)
        for left, right in self._ranks:
            self._halves[self.joined(left, right)] |= {left, right}

    def joined(self, left: str, right: str) -> str:
        """Return the piece that two pieces merge into."""
        return left + right[len(self._prefix) :]

    def steps(self, piece: str) -> set[str]:
        """Return all pieces that are needed to merge this one, without itself.

        A piece that is not merged from its characters (but from fallback bytes, for example) needs the halves of every
        rule that yields it.
        """
        if piece not in self._halves:
            return set()
        symbols = self._run(self._characters(piece))
        return symbols - {piece} if piece in symbols else self._all_halves(piece)

    def without(self, piece: str, kept: Container[str]) -> list[str]:
        """Return the pieces that replace a piece if it is removed and of the others only those in `kept` remain."""
        symbols = self._characters(piece)
        while ranked := [
            (self._ranks[pair], index)
            for index, pair in enumerate(pairwise(symbols))
            if pair in self._ranks and (joined := self.joined(*pair)) != piece and joined in kept
        ]:
            _, index = min(ranked)
            symbols[index : index + 2] = [self.joined(symbols[index], symbols[index + 1])]
        return symbols

    def _characters(self, piece: str) -> list[str]:
        """Return the characters of a piece in the model's form: "##x" inside a word, "x</w>" at the end of one."""
        bare = piece.removesuffix(self._suffix)
        is_inner = bool(self._prefix) and bare.startswith(self._prefix)
        letters = bare.removeprefix(self._prefix) if is_inner else bare
        symbols = [self._prefix + letter if is_inner or index else letter for index, letter in enumerate(letters)]
        return [*symbols[:-1], symbols[-1] + piece[len(bare) :]] if symbols else []

    def _run(self, symbols: list[str]) -> set[str]:
        """Merge the symbols, the pair of lowest rank first, ties from the left; return all symbols that occur."""
        occurring = set(symbols)
        while ranked := [
            (self._ranks[pair], index) for index, pair in enumerate(pairwise(symbols)) if pair in self._ranks
        ]:
            _, index = min(ranked)
            symbols[index : index + 2] = [self.joined(symbols[index], symbols[index + 1])]
            occurring.add(symbols[index])
        return occurring

    def _all_halves(self, piece: str) -> set[str]:
        halves: set[str] = set()
        pending = [piece]
        while pending:
            new = self._halves.get(pending.pop(), set()) - halves
            halves |= new
            pending.extend(new)
        return halves - {piece}

    @staticmethod
    def among(model: dict[str, Any], kept: set[str]) -> list[list[str]]:
        """Return the rules whose halves and result are all kept, in their order."""
        prefix = len(model.get("continuing_subword_prefix") or "")
        return [
            [left, right]
            for left, right in model["merges"]
            if left in kept and right in kept and left + right[prefix:] in kept
        ]


def named_ids(tokenizer: dict[str, Any]) -> set[int]:
    """Return the ids that the post-processor adds to a text."""
    ids: set[int] = set()
    for processor in _processors(tokenizer["post_processor"]):
        for special in (processor.get("special_tokens") or {}).values():
            ids.update(special["ids"])
        ids.update(processor[end][1] for end in ("cls", "sep") if end in processor)
    return ids


def rewrite(tokenizer: dict[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """Return a tokenizer.json with only the pieces in `new_ids`, which maps old ids to 0, 1, ... in the same order."""
    trimmed = {key: value if key == "model" else deepcopy(value) for key, value in tokenizer.items()}
    trimmed["model"] = _model(tokenizer["model"], new_ids)
    trimmed["added_tokens"] = [{**token, "id": new_ids[token["id"]]} for token in tokenizer["added_tokens"]]
    for processor in _processors(trimmed["post_processor"]):
        for special in (processor.get("special_tokens") or {}).values():
            special["ids"] = [new_ids[number] for number in special["ids"]]
        for end in ("cls", "sep"):
            if end in processor:
                processor[end] = [processor[end][0], new_ids[processor[end][1]]]
    if padding := trimmed.get("padding"):
        # Left from the last call; Transformers sets it at each call. A removed piece has no new id.
        trimmed["padding"] = {**padding, "pad_id": new_ids[padding["pad_id"]]} if padding["pad_id"] in new_ids else None
    return trimmed


def differing_parts(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    """Return the names of the differing parts of two parsed tokenizer.json, among those that decide how a text is cut.

    Truncation and padding do not count: they are set at each call. Nor does a post-processor if none is expected:
    Transformers adds one that does nothing.
    """
    post_processor = ("post_processor",) if expected["post_processor"] else ()
    parts = ("added_tokens", "normalizer", "pre_tokenizer", "decoder", *post_processor)
    differing = [part for part in parts if expected[part] != actual[part]]
    models = expected["model"], actual["model"]
    return differing + [f"the model's {key}" for key in models[0] if models[0][key] != models[1].get(key)]


def _model(model: dict[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    trimmed = dict(model)
    if model["type"] == "Unigram":
        trimmed["vocab"] = [piece for number, piece in enumerate(model["vocab"]) if number in new_ids]
        trimmed["unk_id"] = None if model["unk_id"] is None else new_ids[model["unk_id"]]
        return trimmed
    trimmed["vocab"] = {text: new_ids[number] for text, number in model["vocab"].items() if number in new_ids}
    if model["type"] == "BPE":
        trimmed["merges"] = Merges.among(model, set(trimmed["vocab"]))
    return trimmed


def _processors(processor: dict[str, Any] | None) -> list[dict[str, Any]]:
    if processor is None:
        return []
    if processor["type"] == "Sequence":
        return [inner for part in processor["processors"] for inner in _processors(part)]
    return [processor]
