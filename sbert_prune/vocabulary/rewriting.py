"""A tokenizer's JSON with fewer pieces: vocabulary, merges, and every place that names a piece by its number."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from sbert_prune.vocabulary.merges import Merges

if TYPE_CHECKING:
    from collections.abc import Mapping


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
