"""An encoder's rows for its pieces, and every place that names a piece by its number."""

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
    """The embedding of the pieces. Raises EncoderError where there is not exactly one."""
    table = encoder.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        raise EncoderError(f"The pieces of this {type(encoder).__name__} lie in a {type(table).__name__}; an nn.Embedding is expected.")
    others = [name for name, other in encoder.named_modules() if "position" not in name and _is_second_table(other, table)]
    if others or getattr(encoder, "get_output_embeddings", lambda: None)() is not None:
        raise EncoderError(
            f"This {type(encoder).__name__} has further rows for its {table.num_embeddings} pieces "
            f"({', '.join(others) or 'an output layer'}), which trimming would leave behind. Give the bare encoder, or take vocabulary=all."
        )
    return table


def _is_second_table(module: nn.Module, table: nn.Embedding) -> bool:
    return isinstance(module, nn.Embedding) and module.weight is not table.weight and module.num_embeddings == table.num_embeddings


def counts_positions_from_padding(encoder: PreTrainedModel) -> bool:
    """Whether positions start behind the padding id, as in RoBERTa and MPNet: such an id must not move."""
    return any("position" in name and getattr(module, "padding_idx", None) is not None for name, module in encoder.named_modules())


def ids_in_config(config: PreTrainedConfig) -> set[int]:
    """All numbers of pieces that a config names, those of its inner configs too."""
    found: set[int] = set()
    for _, _, value in _id_entries(config):
        found.update(value if isinstance(value, list) else [value])
    return found


def substitute(encoder: PreTrainedModel, rows: list[int]) -> dict[int, Any]:
    """What `deepcopy` takes in place of the pieces' rows: only the kept ones, so that the others are never copied."""
    weight = token_table(encoder).weight
    kept = nn.Parameter(weight.detach()[torch.tensor(rows, device=weight.device)].clone(), requires_grad=weight.requires_grad)
    return {id(weight): kept}


def renumber(encoder: PreTrainedModel, new_ids: Mapping[int, int], num_before: int) -> None:
    """Let an encoder that has its kept rows already name pieces by their new numbers, in place.

    The sizes that modules and configs report are set with it: a config that announces the old size does not load again.
    """
    weight = token_table(encoder).weight
    for module in encoder.modules():
        own = vars(module)
        if isinstance(module, nn.Embedding) and module.weight is not weight:
            continue
        if isinstance(module, nn.Embedding):
            module.num_embeddings = len(weight)
        if isinstance(own.get("padding_idx"), int):
            own["padding_idx"] = new_ids.get(own["padding_idx"])
        if own.get("vocab_size") == num_before:
            own["vocab_size"] = len(weight)
    for config in filter(None, (encoder.config, getattr(encoder, "generation_config", None))):
        for owner, key, value in list(_id_entries(config)):
            new = [new_ids[number] for number in value if number in new_ids] if isinstance(value, list) else new_ids.get(value)
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
                isinstance(value, int) or (isinstance(value, list) and all(isinstance(one, int) for one in value))
            ):
                yield owner, key, value
