"""What a command works on, found and checked before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from sbert_prune.bases import locate_base
from sbert_prune.checkpoint import inspect_checkpoint
from sbert_prune.data.sources import NliData, StsData, describe, load_nli, load_sts
from sbert_prune.data.sts import check_pairs
from sbert_prune.data.triplets import sample_by_premise, triplets
from sbert_prune.errors import RecipeError, SbertPruneError
from sbert_prune.lineage import read_lineage
from sbert_prune.saved_model import SavedModel
from sbert_prune.store_uri import check_store
from sbert_prune.strategies import EXPLICIT, choose_layers

if TYPE_CHECKING:
    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe import Recipe

_SCHEMES = ("models:/", "runs:/")


@dataclass(frozen=True)
class PruneInputs:
    """A base and the layers to keep of it. strategy: the rule that chose them, or "explicit"."""

    base: SavedModel
    selection: LayerSelection
    strategy: str


def check_machine(recipe: Recipe) -> None:
    """Refuse early what this machine cannot do: a store that is not there, CUDA on a build of torch without it."""
    check_store()
    if recipe.device.startswith("cuda") and version("torch").endswith("+cpu"):
        raise RecipeError(
            f"device={recipe.device}: the torch that is installed here ({version('torch')}) has no CUDA. Use device=auto or device=cpu."
        )


def find_model(uri: str) -> SavedModel:
    """Locate a base or a sentence model by any of the names that users give."""
    if not uri.startswith(_SCHEMES):
        return locate_base(uri)
    check_store(must_exist=True)
    from sbert_prune.models import fetch_model, logged_model_uri
    from sbert_prune.tracking import connect

    resolved = logged_model_uri(connect(), uri)
    return SavedModel(resolved, None, inspect_checkpoint(fetch_model(resolved)))


def find_sentence_model(uri: str, recipe: Recipe) -> SavedModel:
    """Locate what a step works on; a bare encoder gets the recipe's pooling and length, and must have room for it."""
    found = find_model(uri)
    if not found.is_sentence_model:
        check_length(found, recipe)
    return found


def check_length(model: SavedModel, recipe: Recipe) -> None:
    """Refuse sentences longer than a model has positions for."""
    limit = model.checkpoint.max_positions
    if limit is not None and recipe.max_seq_length > limit:
        raise RecipeError(f"max_seq_length={recipe.max_seq_length}: {model.uri} takes at most {limit} pieces. Ask for {limit} or fewer.")


def find_base_of(model: SavedModel) -> SavedModel | None:
    """The base that a variant was cut from, to time it beside; None when it has no lineage or its base is not at hand."""
    lineage = read_lineage(model.folder)
    if lineage is None:
        return None
    revision = f"@{lineage.base.revision}" if lineage.base.revision else ""
    try:
        return find_model(lineage.base.id + revision)
    except SbertPruneError:
        return None


def find_base(recipe: Recipe) -> PruneInputs:
    """Locate the recipe's base and choose its layers."""
    base = find_model(recipe.base_model)
    check_length(base, recipe)
    strategy = recipe.strategy if recipe.layers.isdecimal() else EXPLICIT
    return PruneInputs(base, choose_layers(recipe.layers, strategy=recipe.strategy, depth=base.checkpoint.depth), strategy)


def find_nli(recipe: Recipe) -> tuple[NliData, list[str]]:
    """The NLI rows, and the lines that say what was understood. Rows that the loss cannot use are found out here."""
    data = load_nli(recipe.nli.data, on_bad_rows=recipe.on_bad_rows)
    lines = [f"nli {line}" for line in describe(data)]
    if recipe.nli.loss == "mnrl":
        rows, limit = data.train.rows, recipe.nli.max_rows
        found = triplets(rows if limit is None else sample_by_premise(rows, limit, seed=recipe.seed))
        lines.append(f"nli train: {len(found):,} triplets of anchor, entailment and contradiction")
    return data, lines


def find_sts(recipe: Recipe) -> tuple[StsData, list[str]]:
    """The STS pairs, and the lines that say what was understood. Splits that cannot be scored are found out here."""
    data = load_sts(recipe.sts.data, score_range=recipe.sts.score_range, on_bad_rows=recipe.on_bad_rows)
    check_pairs(data.dev.rows, f"dev ({data.dev.name})")
    check_pairs(data.test.rows, f"test ({data.test.name})")
    return data, [f"sts {line}" for line in describe(data)]
