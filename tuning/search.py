"""`search`: choose which layers to keep, and how to train them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.full import parse_seeds
from pipelines.commands.options import (
    PLAN,
    RECIPE_PARAMETERS,
    Parameter,
    flag,
    json_option,
    number,
    option,
    recipe_options,
)
from pipelines.console import Command, echo, report_facts, silence_libraries
from pipelines.inputs.base import full_name
from pipelines.inputs.load import check_disk_space, load_inputs
from sbert_prune.errors import SearchError
from sbert_prune.models.architectures import architecture_of
from sbert_prune.recipe.dump import describe_recipe
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.tracking.secrets import masked_uri
from sbert_prune.tracking.store_uri import check_store
from tuning.constraints import within_size
from tuning.settings import AGAINST, SAMPLER_NAMES, SCREENINGS, Aim, Limits, Settings
from tuning.space import space_of
from tuning.storage import check_storage

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from tuning.space import Space

_NOT_OPTIONS = {"recipe", "layers", "strategy", "schedule"}

LAYERS = Parameter("layers", "How many layers to keep: 6, 2..6 or any; or which (0,2,4-7), to search settings alone.")
TRIALS = Parameter(None, "Total number of trials, with those of earlier commands.", default="20")
SPACE = Parameter(
    None,
    "What varies besides: sts_learning_rate=1e-5..1e-3,sts_loss=cosine/cosent; layers for nothing; the learning rates "
    "when left out.",
)
AGAINST_PARAMETER = Parameter(
    None, "Weigh the dev score against it: the Pareto front of both.", f"[{'|'.join(AGAINST)}]"
)
MAX_SIZE = Parameter(None, "Megabytes on disk that a variant may have at most.")
MAX_LATENCY = Parameter(None, "Milliseconds that one sentence may take at most, on this machine.")
SAMPLER = Parameter(None, "What proposes trials.", f"[{'|'.join(SAMPLER_NAMES)}]", "tpe")
SCREENING = Parameter(
    None, "shared (weights trained once for all selections), untrained, or none.", f"[{'|'.join(SCREENINGS)}]", "shared"
)
WORKERS = Parameter(None, "Trials at once on this machine.", default="1")
STORAGE = Parameter(
    None, "A database for the study, such as postgresql://USER@HOST/NAME; a journal beside the store when left out."
)
KEEP_MODELS = Parameter(None, "How many of the best keep their bytes, besides the Pareto front.", default="3")
MAX_GB = Parameter(None, "Most gigabytes that kept bytes may take.")
FINALISTS = Parameter(None, "How many of the best are trained with further seeds.", default="3")
CONTROLS = Parameter(
    None,
    "How many selections that need no search are trained to measure the benefit, 0 for none; when left out, as many as "
    "fit into a fifth of the trials' training time.",
)
FINAL_SEEDS = Parameter(None, "Seeds of the finalists, such as 1,2,3; the recipe's and the next when left out.")
REBUILD = Parameter(None, "The number of a version whose bytes were deleted: trains it again, and searches nothing.")


def _numbers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that are numbers."""
    for name, parameter, low in (
        *(("max_gb", MAX_GB, 0), ("keep_models", KEEP_MODELS, 0), ("controls", CONTROLS, 0)),
        *(("finalists", FINALISTS, 1), ("workers", WORKERS, 1)),
        *(("max_latency_ms", MAX_LATENCY, 0), ("max_size_mb", MAX_SIZE, 0), ("trials", TRIALS, 1)),
    ):
        command = number(name, parameter, low=low)(command)
    return command


@click.command("search", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name not in _NOT_OPTIONS))
@option("layers", LAYERS)
@_numbers
@option("space", SPACE)
@option("against", AGAINST_PARAMETER)
@option("sampler", SAMPLER)
@option("screening", SCREENING)
@option("storage", STORAGE, unset="journal")
@option("seeds", FINAL_SEEDS)
@option("rebuild", REBUILD)
@flag("plan", PLAN)
@json_option
def search(recipe: Recipe, layers: str | None, plan: bool, rebuild: str | None, **options: Any) -> None:
    """Let Optuna choose which layers to keep and how to train them; the best becomes a variant, and the challenger."""
    if rebuild is not None:
        if not (rebuild.isdecimal() and int(rebuild) > 0):
            raise SearchError(f"rebuild={rebuild} is not the number of a version. Give a number such as 3.")
        check_store(must_exist=True)
        from tuning.rebuild import rebuild_version

        lines = rebuild_version(recipe, rebuild)
        report_facts(rebuilt=full_name(rebuild, recipe))
        echo(*lines)
        return
    if layers is not None:
        recipe = recipe.keeping(layers, recipe.strategy)
    settings = _settings(options)
    if settings.storage is not None:
        check_storage(settings.storage)
    inputs, space = _load(recipe, settings.aim, options["space"])
    recipe = recipe.keeping(str(space.counts[-1]), "drop-top")
    if plan:
        from tuning.plan import plan_search

        lines = plan_search(recipe, inputs, space, settings)
        report_facts(plan=lines[1:])
        echo(*lines)
        return
    check_disk_space(recipe, inputs)
    echo(*run_search(recipe, inputs, space, settings))


_COUNTS = ("trials", "workers", "finalists", "controls")
_TEXTS = ("sampler", "screening", "storage")


def _settings(options: dict[str, Any]) -> Settings:
    """Return the settings, checked before anything heavy is imported. Raises SearchError."""
    for name in (*_COUNTS, "keep_models"):
        if options[name] is not None and not options[name].is_integer():
            raise SearchError(f"{name}={options[name]:g}: write a whole number.")
    limits: dict[str, Any] = {"max_gb": options["max_gb"]}
    if options["keep_models"] is not None:
        limits["keep_models"] = int(options["keep_models"])
    set_options = {name: value for name, value in options.items() if value is not None}
    numbers: dict[str, Any] = {name: int(set_options[name]) for name in _COUNTS if name in set_options}
    texts: dict[str, Any] = {name: set_options[name] for name in _TEXTS if name in set_options}
    return Settings(
        aim=Aim(options["against"], options["max_size_mb"], options["max_latency_ms"]),
        seeds=parse_seeds(options["seeds"]) if options["seeds"] else (),
        limits=Limits(**limits),
        **numbers,
        **texts,
    )


def _load(recipe: Recipe, aim: Aim, axes: str | None) -> tuple[Inputs, Space]:
    """Return the inputs of the deepest selection and the space within the size limit.

    Raises:
        SearchError: The space cannot be searched, or nothing fits the limit.
        SelectionError: The encoder does not have the listed layers.
    """
    from pipelines.inputs.base import find_base

    base = find_base(recipe.keeping("1", "drop-top")).base
    checkpoint = base.checkpoint
    first_stays = bool(architecture_of(str(checkpoint.config["model_type"])).first_lacks)
    space = space_of(recipe, checkpoint.depth, first_stays=first_stays, axes=axes)
    trims = recipe.vocabulary_limit.trims or any(path == "vocabulary" for path, _ in space.axes)
    space = within_size(space, base, aim, trims=trims)
    echo(*describe_recipe(recipe))
    inputs = load_inputs(recipe.keeping(str(space.counts[-1]), "drop-top"))
    return replace(inputs, pruning=replace(inputs.pruning, texts=inputs.texts)), space


def run_search(recipe: Recipe, inputs: Inputs, space: Space, settings: Settings) -> list[str]:
    """Search, and return the last lines for the user."""
    from pipelines.steps.context import open_context
    from sbert_prune.registry.versions import check_may_register
    from tuning.flow import search as run

    silence_libraries()
    with open_context(recipe) as context:
        echo(f"store {masked_uri(context.store.uri)}; {context.hardware}")
        check_may_register(context.store, recipe.registered_model)
        return run(context, recipe, inputs, space, settings)
