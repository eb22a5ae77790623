"""`full`: one variant from base to registered version, beside the reference it is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import click

from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs import PruneInputs, find_model
from pipelines.loading import Inputs, load_inputs
from pipelines.parameters import PLAN, RECIPE_PARAMETERS, SEEDS, WRITE_RECIPE, flag, option, recipe_options
from sbert_prune.errors import RecipeError, TrackingError
from sbert_prune.metric_names import RETENTION
from sbert_prune.recipe import Recipe
from sbert_prune.recipe_dump import describe_recipe, recipe_written
from sbert_prune.store_uri import without_password

if TYPE_CHECKING:
    from pipelines.context import Context
    from sbert_prune.registry import Version
    from sbert_prune.saved_model import SavedModel
    from sbert_prune.tracking import Run


@click.command("full", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@option("write_recipe", WRITE_RECIPE)
@option("seeds", SEEDS)
@flag("plan", PLAN)
def command(recipe: Recipe, write_recipe: str | None, seeds: str | None, plan: bool) -> None:  # noqa: FBT001 - click hands it over by name
    """Prune, train NLI, train STS, evaluate, register: one variant, and its reference where there is none yet."""
    chosen = parse_seeds(seeds) if seeds else ()
    say(*describe_recipe(recipe))
    with recipe_written(recipe, Path(write_recipe)) if write_recipe is not None else nullcontext():
        inputs = load_inputs(recipe)
    say(*(plan_full(recipe, inputs) if plan else run_full(recipe, inputs, chosen)))
    if plan and chosen:
        say(f"seeds     all of this {len(chosen)} times, once for each of {seeds}")


def plan_full(recipe: Recipe, inputs: Inputs) -> list[str]:
    """What `full` would do, in lines for people."""
    from pipelines.plan import plan

    with TemporaryDirectory() as scratch:
        return plan(recipe, inputs, Path(scratch))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Two or more different seeds. Raises RecipeError."""
    parts = [part.strip() for part in text.split(",")]
    are_seeds = all(part.isascii() and part.isdecimal() and int(part) < 2**32 for part in parts)
    if not are_seeds or len(parts) < 2 or len(set(map(int, parts))) < len(parts):
        raise RecipeError(f"seeds={text}: write two or more different whole numbers, such as 1,2,3. For a single one there is seed=1.")
    return tuple(map(int, parts))


def run_full(recipe: Recipe, inputs: Inputs | None = None, seeds: Sequence[int] = ()) -> list[str]:
    """Make one variant, or one a seed, and return the lines that `full` ends with."""
    inputs = inputs or load_inputs(recipe)

    from pipelines.context import open_context
    from pipelines.summary import summarise

    quieten_libraries()
    with open_context(recipe) as context:
        say(f"store {without_password(context.store.uri)}; {context.hardware}")
        if seeds:
            from pipelines.over_seeds import run_seeds

            name = run_name(recipe, inputs.pruning).removesuffix(f" s{recipe.seed}")
            return run_seeds(context, inputs, seeds, name, make_variant)
        variant, reference = make_variant(context, inputs)
        return summarise(context.store, variant, reference)


def make_variant(context: Context, inputs: Inputs) -> tuple[Version, Version]:
    """Open the run of one variant and fill it; returns the variant and its reference."""
    from pipelines.summary import draw_variants
    from sbert_prune import registry

    recipe = context.recipe
    makes_smaller = inputs.pruning.drops_layers or recipe.vocabulary_limit.trims
    role = registry.VARIANT if makes_smaller else registry.REFERENCE
    with context.under(run_name(recipe, inputs.pruning), {"role": role}, recipe) as (inner, run):
        log_understood(inner, run, inputs)
        reference = find_or_build_reference(inner, inputs)
        variant = build(inner, inputs, Reference.of(reference)) if makes_smaller else reference
        publish(run, variant, inputs)
        try:
            draw_variants(run, registry.versions(context.store, recipe.registered_model))
        except TrackingError as error:  # a picture less: the variant is registered
            say(f"no picture of all variants: {error}")
    return variant, reference


def log_understood(context: Context, run: Run, inputs: Inputs) -> None:
    """Before anything is trained: how the base's tokenizer fits the texts, and what train shared with dev and test."""
    from pipelines.fitting import log_fit, look_at_fit, tokenizer_of

    base = inputs.pruning.base
    length = context.recipe.max_seq_length
    log_fit(run, look_at_fit(tokenizer_of(base), inputs.texts.sample(), length))
    kept = context.recipe.keep_leaks
    run.log_json(
        {phase: leaks.as_dict() | {"left_out": 0 if kept else len(leaks.sentence_rows)} for phase, leaks in inputs.leaks.items()},
        "leaks.json",
    )


def run_name(recipe: Recipe, pruning: PruneInputs) -> str:
    """A run's name for people: "full L6 drop-top v8000 s42", with the phases where they are not the paper's."""
    phases = [] if recipe.phases == ("nli", "sts") else ["+".join(recipe.phases)]
    vocabulary = [f"v{recipe.vocabulary}"] if recipe.vocabulary_limit.trims else []
    return " ".join(["full", f"L{pruning.num_layers}", pruning.strategy, *vocabulary, *phases, f"s{recipe.seed}"])


def find_or_build_reference(context: Context, inputs: Inputs) -> Version:
    """The unpruned base after the same recipe: built once, then reused."""
    from sbert_prune import registry

    recipe = context.recipe
    found = registry.find_reference(context.store, recipe.registered_model, inputs.reference_key(recipe))
    if found is not None:
        say(f"reference: version {found.version} of {found.name} is reused (run {found.run_id})")
        return found
    depth = inputs.pruning.base.checkpoint.depth
    say(f"reference: none yet for this recipe and data, so all {depth} layers are trained first")
    whole = replace(inputs, pruning=replace(inputs.pruning, cuts=(str(depth),), strategy="none"))
    with context.under(f"reference L{depth} s{recipe.seed}", {"role": registry.REFERENCE}, recipe.of_reference(depth)) as (inner, run):
        version = build(inner, whole, None)
        publish(run, version, inputs)
    return version


@dataclass(frozen=True)
class Reference:
    """What a variant is held against, and learns from where nobody else teaches. model: fetched before anything is trained."""

    version: Version
    model: SavedModel

    @classmethod
    def of(cls, version: Version) -> Self:
        """Fetch it."""
        return cls(version, find_model(version.uri))


def build(context: Context, inputs: Inputs, reference: Reference | None) -> Version:
    """The story: prune and heal in two phases, as often as the schedule says; judge what was saved; register it with its lineage."""
    from pipelines import cutting, judging, steps
    from pipelines.judgement_log import log_judgement
    from pipelines.rivals import find_rivals

    model, cuts = _where_to_begin(inputs, reference)
    for place, layers in enumerate(cuts):
        model = cutting.prune(context, model, layers, inputs.pruning, trims=place == 0)
        for phase in context.recipe.phases:
            model = heal(context, phase, model, inputs, reference)
    rivals = find_rivals(context, inputs, model, reference.model if reference is not None else None)
    verdict = judging.evaluate(context, model, inputs.exam, rivals)
    metrics = verdict.metrics if reference is not None else verdict.metrics | {RETENTION: 1.0}  # its own measure
    version = steps.register(context, model, metrics, _tags(context.recipe, inputs, is_reference=reference is None))
    if context.parent is not None:
        log_judgement(context.parent, verdict, version.metrics)
    return version


def heal(context: Context, phase: str, model: SavedModel, inputs: Inputs, reference: Reference | None) -> SavedModel:
    """One phase of the recipe; the reference teaches where nobody else is named."""
    from pipelines import healing

    teacher = inputs.teacher
    if teacher is None and reference is not None and context.recipe.has_teacher:
        teacher = reference.model
    judged = healing.Judged(inputs.texts.sts.dev, teacher)
    if phase == "distil":
        assert inputs.sentences is not None  # found with the other inputs
        return healing.distil(context, model, inputs.sentences, judged)
    if phase == "sts":
        return healing.train_sts(context, model, inputs.texts.sts.train, judged)
    assert inputs.texts.nli is not None
    return healing.train_nli(context, model, inputs.texts.nli, judged)


def _where_to_begin(inputs: Inputs, reference: Reference | None) -> tuple[SavedModel, tuple[str, ...]]:
    """A schedule that begins with the whole depth begins with the reference: that is the whole model, healed."""
    base, cuts = inputs.pruning.base, inputs.pruning.cuts
    if reference is not None and len(cuts) > 1 and cuts[0] == str(base.checkpoint.depth):
        version = reference.version
        say(f"schedule: begins with version {version.version} of {version.name}, all {cuts[0]} layers healed")
        return reference.model, cuts[1:]
    return base, cuts


def _tags(recipe: Recipe, inputs: Inputs, *, is_reference: bool) -> dict[str, str]:
    from sbert_prune import registry

    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "reference_key": inputs.reference_key(recipe),
        "sibling_key": inputs.sibling_key(recipe),
        "seed": str(recipe.seed),
        "role": registry.REFERENCE if is_reference else registry.VARIANT,
        "sts_dev_digest": inputs.texts.sts.dev.digest[:16],
        "sts_test_digest": inputs.texts.sts.test.digest[:16],
    }


def publish(run: Run, version: Version, inputs: Inputs) -> None:
    """Repeat on the parent run what was chosen, read, made and measured, so that runs compare without opening children."""
    from pipelines.records import data_record

    shown = ("base", "kept_layers", "depth", "num_layers", "strategy", "vocabulary", "seed", "role")
    run.set_tags({key: version.tags[key] for key in shown if key in version.tags} | {"model": version.uri})
    run.log_params({"kept_layers": version.tags["kept_layers"]})
    for use, rows in inputs.splits.items():
        run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
    run.log_output(version.tags["model_id"])
    run.log_metrics(version.metrics)
