"""An encoder's embedding rows for its pieces, and every setting that contains the id of a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedConfig

from sbert_prune.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PreTrainedModel

_ID_KEYS = ("_token_id", "_token_ids")


def token_table(encoder: PreTrainedModel) -> nn.Embedding:
    """Return the embedding of the pieces. Raises EncoderError if there is not exactly one."""
    table = encoder.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        raise EncoderError(
            f"The pieces of this {type(encoder).__name__} are embedded by a {type(table).__name__}; an nn.Embedding is "
            "expected."
        )
    others = [
        name for name, other in encoder.named_modules() if "position" not in name and _is_second_table(other, table)
    ]
    if others or getattr(encoder, "get_output_embeddings", lambda: None)() is not None:
        raise EncoderError(
            f"This {type(encoder).__name__} has further rows for its {table.num_embeddings} pieces "
            f"({', '.join(others) or 'an output layer'}), which trimming would not remove. Give the bare encoder, or "
            "take vocabulary=all."
        )
    return table


def _is_second_table(module: nn.Module, table: nn.Embedding) -> bool:
    return (
        isinstance(module, nn.Embedding)
        and module.weight is not table.weight
        and module.num_embeddings == table.num_embeddings
    )


def counts_positions_from_padding(encoder: PreTrainedModel) -> bool:
    """Return whether positions start after the padding id, as in RoBERTa and MPNet: that id must not change."""
    return any(
        "position" in name and getattr(module, "padding_idx", None) is not None
        for name, module in encoder.named_modules()
    )


def ids_in_config(config: PreTrainedConfig) -> set[int]:
    """Return all ids of pieces in a config and its inner configs."""
    ids: set[int] = set()
    for _, _, value in _id_entries(config):
        ids.update(value if isinstance(value, list) else [value])
    return ids


def substitute(encoder: PreTrainedModel, rows: list[int]) -> dict[int, Any]:
    """Return a memo by which `deepcopy` replaces the embedding rows by the kept ones and never copies the others."""
    weight = token_table(encoder).weight
    kept = nn.Parameter(
        weight.detach()[torch.tensor(rows, device=weight.device)].clone(), requires_grad=weight.requires_grad
    )
    return {id(weight): kept}


def renumber(encoder: PreTrainedModel, new_ids: Mapping[int, int], num_before: int) -> None:
    """Replace the ids of pieces by the new ones in an encoder that already has only the kept rows, in place.

    The sizes in modules and configs are set too: a config with the old size could not be loaded again.
    """
    weight = token_table(encoder).weight
    for module in encoder.modules():
        attributes = vars(module)
        if isinstance(module, nn.Embedding) and module.weight is not weight:
            continue
        if isinstance(module, nn.Embedding):
            module.num_embeddings = len(weight)
        if isinstance(attributes.get("padding_idx"), int):
            attributes["padding_idx"] = new_ids.get(attributes["padding_idx"])
        if attributes.get("vocab_size") == num_before:
            attributes["vocab_size"] = len(weight)
    for config in filter(None, (encoder.config, getattr(encoder, "generation_config", None))):
        for owner, key, value in list(_id_entries(config)):
            new = (
                [new_ids[number] for number in value if number in new_ids]
                if isinstance(value, list)
                else new_ids.get(value)
            )
            setattr(owner, key, new)
        for owner in _configs(config):
            if getattr(owner, "vocab_size", None) == num_before:
                owner.vocab_size = len(weight)


def _configs(config: Any) -> Iterator[Any]:
    yield config
    for inner in vars(config).values():
        if isinstance(inner, PreTrainedConfig):
            yield from _configs(inner)


def _id_entries(config: Any) -> Iterator[tuple[Any, str, int | list[int]]]:
    for owner in _configs(config):
        for key, value in vars(owner).items():
            if key.endswith(_ID_KEYS) and (
                isinstance(value, int) or (isinstance(value, list) and all(isinstance(number, int) for number in value))
            ):
                yield owner, key, value
