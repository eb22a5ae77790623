"""The pieces of a tokenizer, read from its JSON."""

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
        """The piece that two pieces merge into."""
        return left + right[len(self._prefix) :]

    def steps(self, piece: str) -> set[str]:
        """All pieces that must be known to build this one, without itself.

        What is not built from its characters (but from bytes of a fallback, say) needs the halves of every rule that yields it.
        """
        if piece not in self._halves:
            return set()
        seen = self._run(self._characters(piece))
        return seen - {piece} if piece in seen else self._all_halves(piece)

    def without(self, piece: str, known: Container[str]) -> list[str]:
        """What a text that is a piece is cut into where that one is not known, and of the others only those in `known`."""
        symbols = self._characters(piece)
        while ranked := [
            (self._ranks[pair], index)
            for index, pair in enumerate(pairwise(symbols))
            if pair in self._ranks and (joined := self.joined(*pair)) != piece and joined in known
        ]:
            _, index = min(ranked)
            symbols[index : index + 2] = [self.joined(symbols[index], symbols[index + 1])]
        return symbols

    def _characters(self, piece: str) -> list[str]:
        """The characters of a piece as the model looks them up: "##x" behind another, "x</w>" at the end of a word."""
        bare = piece.removesuffix(self._suffix)
        inner = bool(self._prefix) and bare.startswith(self._prefix)
        letters = bare.removeprefix(self._prefix) if inner else bare
        symbols = [self._prefix + letter if inner or index else letter for index, letter in enumerate(letters)]
        return [*symbols[:-1], symbols[-1] + piece[len(bare) :]] if symbols else []

    def _run(self, symbols: list[str]) -> set[str]:
        """All symbols on the way, merging the pair of the lowest rank first, the leftmost of equal ones."""
        seen = set(symbols)
        while ranked := [(self._ranks[pair], index) for index, pair in enumerate(pairwise(symbols)) if pair in self._ranks]:
            _, index = min(ranked)
            symbols[index : index + 2] = [self.joined(symbols[index], symbols[index + 1])]
            seen.add(symbols[index])
        return seen

    def _all_halves(self, piece: str) -> set[str]:
        found: set[str] = set()
        waiting = [piece]
        while waiting:
            fresh = self._halves.get(waiting.pop(), set()) - found
            found |= fresh
            waiting.extend(fresh)
        return found - {piece}

    @staticmethod
    def among(model: dict[str, Any], kept: set[str]) -> list[list[str]]:
        """The rules whose halves and outcome are all kept, in their order."""
        prefix = len(model.get("continuing_subword_prefix") or "")
        return [[left, right] for left, right in model["merges"] if left in kept and right in kept and left + right[prefix:] in kept]


def named_ids(tokenizer: dict[str, Any]) -> set[int]:
    """Ids that the post-processor puts around a text."""
    found: set[int] = set()
    for processor in _processors(tokenizer["post_processor"]):
        for special in (processor.get("special_tokens") or {}).values():
            found.update(special["ids"])
        found.update(processor[end][1] for end in ("cls", "sep") if end in processor)
    return found


def rewrite(tokenizer: dict[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """The same parsed tokenizer.json with only the pieces in `new_ids`, which maps their old numbers to 0, 1, ... in the same order."""
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
        # A setting left from the last call; Transformers sets it anew at each. Of a piece that is not there, there is no number.
        trimmed["padding"] = {**padding, "pad_id": new_ids[padding["pad_id"]]} if padding["pad_id"] in new_ids else None
    return trimmed


def differing_parts(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Names of the parts of two parsed tokenizer.json that decide how a text is cut, and are not the same.

    Truncation and padding are set at each call. Where there is no post-processor, Transformers puts one that does nothing.
    """
    parts = ("added_tokens", "normalizer", "pre_tokenizer", "decoder", *(("post_processor",) if wanted["post_processor"] else ()))
    differing = [part for part in parts if wanted[part] != found[part]]
    return differing + [f"the model's {key}" for key in wanted["model"] if wanted["model"][key] != found["model"].get(key)]


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
        return [inner for one in processor["processors"] for inner in _processors(one)]
    return [processor]
