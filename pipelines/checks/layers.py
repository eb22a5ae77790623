"""Whether the base has the layers that the recipe keeps, and the strategy is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.doctor.findings import Finding, refused
from pipelines.doctor.hub import model_on_hub
from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.models.architectures import check_selection
from sbert_prune.models.sources import locate_base
from sbert_prune.strategies import choose_layers

if TYPE_CHECKING:
    from sbert_prune.recipe.recipe import Recipe


def check_layers(recipe: Recipe) -> Finding:
    """The row of the layers. Of a base that is not here yet the depth is not known, of its strategy whether there is such a one."""
    command = f"mlflow run . -e recipes -P name={recipe.name}"
    cuts = tuple(map(str, recipe.schedule)) if recipe.schedule else (recipe.layers.strip(),)
    told = f"{', then '.join(cuts)} ({recipe.strategy})"
    try:
        choose_layers("1", strategy=recipe.strategy, depth=1)
        if recipe.base_model.startswith(("models:/", "runs:/")) or model_on_hub(recipe.base_model) is not None:
            return Finding("layers", "-", f"{told}: held against the base once that is here")
        base = locate_base(recipe.base_model, convert_pickle=recipe.convert_pickle).checkpoint
        depth = base.depth
        for layers in cuts:
            chosen = choose_layers(layers, strategy=recipe.strategy, depth=depth)
            if chosen is not None:
                check_selection(str(base.config["model_type"]), chosen)
            depth = int(layers) if layers.isdecimal() else depth
    except SelectionError as error:
        return refused("layers", error, command)
    except EncoderError:
        return Finding("layers", "-", f"{told}: the base's own row says why it cannot be told")
    return Finding("layers", "ok", f"{told} of {base.depth}")
