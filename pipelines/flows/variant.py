"""How a variant, or its reference, is made: found in the registry, or built step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pipelines.console import echo
from pipelines.inputs.base import find_model
from pipelines.progress import outlook
from pipelines.steps import evaluate, prune, register, train
from pipelines.steps.judgement_log import Verdict, copy_judgement, log_numbers, report_of
from pipelines.steps.keys import exam_tags, variant_key
from pipelines.steps.records import publish
from pipelines.steps.rivals import find_rivals
from sbert_prune.metrics import RETENTION
from sbert_prune.recipe.recipe import FULL_PRECISION
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import REFERENCE, VARIANT
from sbert_prune.tracking.logged_models import has_bytes
from sbert_prune.training.phases import PHASES

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.report.html import Report

    Built = tuple[Version, Report | None]
    """A version, and the report for the parent run; None without one."""


@dataclass(frozen=True)
class Reference:
    """The model that a variant is compared with, and that teaches it if the recipe names no other teacher.

    Attributes:
        version: Its version.
        model: Its files, fetched before anything is trained.
    """

    version: Version
    model: SavedModel

    @classmethod
    def of(cls, version: Version) -> Self:
        """Fetch the model of a version."""
        return cls(version, find_model(version.uri))


def find_or_build_reference(context: Context, recipe: Recipe, inputs: Inputs, *, anew: bool) -> Version:
    """Return the unpruned base after the same recipe; build it if there is none.

    Args:
        context: The command's context.
        recipe: The recipe of the variant.
        inputs: The inputs of the variant.
        anew: Whether to build it even if there is one.
    """
    whole_recipe, whole = whole_variant(recipe, inputs)
    depth, key = whole.pruning.num_layers, variant_key(whole_recipe, context.hardware, inputs)
    context.claim(key)
    version = None if anew else existing_reference(context, recipe, inputs)
    if version is not None:
        context.unfinished.discard(key)
        outlook().drop(key)
        echo(f"reference: version {version.version} of {version.name} is reused (run {version.run_id})")
        return version
    echo(f"reference: all {depth} layers are trained first, as there is none for this recipe and data")
    with context.under(f"reference L{depth} s{recipe.seed}", {"role": REFERENCE}, whole_recipe) as (inner, run):
        version, report = build(inner.for_variant(key), whole_recipe, whole, None)
        publish(run, version, inputs)
        if report is not None:
            report.log(run)
    return version


def whole_variant(recipe: Recipe, inputs: Inputs) -> tuple[Recipe, Inputs]:
    """Return recipe and inputs of a variant's reference, which keeps all layers."""
    depth = inputs.pruning.base.checkpoint.depth
    whole = replace(inputs.pruning, cuts=(str(depth),), strategy="none")
    return recipe.of_reference(depth), replace(inputs, pruning=whole)


def is_smaller(recipe: Recipe, inputs: Inputs) -> bool:
    """Return whether a variant differs from its reference."""
    return inputs.pruning.drops_layers or recipe.vocabulary_limit.trims or recipe.save_precision != FULL_PRECISION


def existing_reference(context: Context, recipe: Recipe, inputs: Inputs) -> Version | None:
    """Return the reference that the same variant was compared with before, else the one of its own recipe.

    The trials of a search are compared with the search's reference, whatever their settings. None where there is none,
    or its bytes are gone.
    """
    version = _find_reference(context, recipe, inputs)
    if version is not None and not has_bytes(context.store, version.tags.get("model_id", "")):
        echo(f"reference: the bytes of version {version.version} of {version.name} are gone, so it is trained again")
        return None
    return version


def existing_variant(context: Context, recipe: Recipe, inputs: Inputs) -> Version | None:
    """Return the variant of the same recipe, data, seed and code; None where there is none, or its bytes are gone."""
    if context.force:
        return None
    key = variant_key(recipe, context.hardware, inputs)
    version = registry.find_tagged(context.store, recipe.registered_model, "variant_key", key)
    if version is not None and not has_bytes(context.store, version.tags.get("model_id", "")):
        same = f"version {version.version} of {version.name} is the same"
        echo(f"variant: {same}, but its bytes are gone: it is made again")
        return None
    return version


def is_evaluated(version: Version, recipe: Recipe, inputs: Inputs) -> bool:
    """Return whether a version was evaluated on this data with these settings."""
    return version.tags.get("exam_key") == exam_tags(recipe, inputs.exam)["exam_key"]


def _find_reference(context: Context, recipe: Recipe, inputs: Inputs) -> Version | None:
    store, name, own_key = context.store, recipe.registered_model, inputs.reference_key(recipe)
    key = variant_key(recipe, context.hardware, inputs)
    earlier = None if context.force else registry.find_tagged(store, name, "variant_key", key)
    reference_keys = (earlier.tags.get("reference_key", own_key), own_key) if earlier is not None else (own_key,)
    for reference_key in reference_keys:
        if (version := registry.find_reference(store, name, reference_key)) is not None:
            return version
    return None


def find_or_build(context: Context, recipe: Recipe, inputs: Inputs, reference: Version) -> Built:
    """Return the variant of the same recipe, data, seed and code, and its report; build it if there is none.

    An earlier variant is evaluated again if the data or settings of the evaluation have changed.
    """
    key = variant_key(recipe, context.hardware, inputs)
    context.claim(key)
    if (version := existing_variant(context, recipe, inputs)) is None:
        return build(context.for_variant(key), recipe, inputs, Reference.of(reference))
    context.unfinished.discard(key)
    outlook().drop(key)
    same = f"version {version.version} of {version.name} is the same"
    echo(f"variant: {same}, and is reused (run {version.run_id}; force=true makes it again)")
    if not is_evaluated(version, recipe, inputs):
        return _evaluate_again(context, recipe, inputs, version, reference)
    made_on = exam_tags(recipe, inputs.exam)
    if not made_on.items() <= version.tags.items():  # an older release did not record the pairs
        version = registry.update(context.store, version, {}, made_on)
    if context.parent is not None:
        context.parent.set_tags({"reused_from": version.run_id})
        return version, copy_judgement(context.store, version.tags.get("evaluate_run_id", ""), context.parent)
    return version, None


def build(context: Context, recipe: Recipe, inputs: Inputs, reference: Reference | None) -> Built:
    """Build a variant: prune and train, once for each cut of the schedule; evaluate the saved model; register it.

    Args:
        context: The command's context.
        recipe: The recipe.
        inputs: The base and the data.
        reference: The variant's reference; None builds the reference itself.
    """
    model, cuts = inputs.pruning.base, cuts_to_train(inputs, has_reference=reference is not None)
    if reference is not None and cuts != inputs.pruning.cuts:
        version, depth = reference.version, inputs.pruning.cuts[0]
        echo(f"schedule: begins with version {version.version} of {version.name}, all {depth} layers healed")
        model = reference.model
    for number, layers in enumerate(cuts):
        model = prune.prune(context, recipe, model, layers, inputs.pruning, trims=number == 0)
        for phase in recipe.phases:
            model = train_phase(context, recipe, phase, model, inputs, reference=reference)
    evaluation = _evaluate(context, recipe, inputs, model, reference)
    metrics = evaluation.metrics
    if reference is None:
        metrics = metrics | {RETENTION: 1.0}  # the reference is its own measure
    made_by = {**evaluation.conditions, "evaluate_run_id": evaluation.run_id}
    tags = _tags(context, recipe, inputs, reference) | made_by
    version = register.register(context, recipe, model, metrics, tags, dev_pairs=evaluation.dev_pairs)
    report = _log_to_parent(context, evaluation, version)
    context.unfinished.discard(tags["variant_key"])
    return version, report


def train_phase(
    context: Context, recipe: Recipe, phase: str, model: SavedModel, inputs: Inputs, *, reference: Reference | None
) -> SavedModel:
    """Train one phase of the recipe; the reference teaches if no other teacher is named."""
    teacher = inputs.teacher
    if teacher is None and reference is not None and recipe.has_teacher:
        teacher = reference.model
    rows = PHASES[phase].rows(inputs.texts)
    assert rows is not None  # loaded with the other inputs
    return train.train(context, recipe, phase, model, rows, dev=inputs.texts.sts.dev, teacher=teacher)


def _evaluate(
    context: Context, recipe: Recipe, inputs: Inputs, model: SavedModel, reference: Reference | None
) -> Verdict | evaluate.EarlierEvaluation:
    rivals = find_rivals(context.store, recipe, inputs, model, reference.model if reference is not None else None)
    earlier = evaluate.find_earlier(context, recipe, model, inputs.exam, rivals)
    return earlier or evaluate.evaluate(context, recipe, model, inputs.exam, rivals)


def _evaluate_again(context: Context, recipe: Recipe, inputs: Inputs, version: Version, reference: Version) -> Built:
    """Evaluate an existing variant on data or with settings that are new to it: a trial of a search as well."""
    evaluation = _evaluate(context, recipe, inputs, find_model(version.uri), Reference.of(reference))
    tags = exam_tags(recipe, inputs.exam)
    if version.is_trial:
        tags["reference_key"] = reference.tags["reference_key"]
    recorded = register.RecordedEvaluation.of(evaluation, tags)
    version = register.record_evaluation(context.store, version, recorded)
    return version, _log_to_parent(context, evaluation, version)


def _log_to_parent(
    context: Context, evaluation: Verdict | evaluate.EarlierEvaluation, version: Version
) -> Report | None:
    """Log the numbers of an evaluation to the parent run as well, and return its report."""
    if context.parent is None:
        return None
    if not isinstance(evaluation, Verdict):
        return copy_judgement(context.store, evaluation.run_id, context.parent)
    log_numbers(context.parent, evaluation)
    return report_of(evaluation, version.metrics)


def cuts_to_train(inputs: Inputs, *, has_reference: bool) -> tuple[str, ...]:
    """Return the cuts to make.

    A schedule that begins with the whole depth starts from the reference, which is the whole model after training.
    """
    base, cuts = inputs.pruning.base, inputs.pruning.cuts
    begins_whole = has_reference and len(cuts) > 1 and cuts[0] == str(base.checkpoint.depth)
    return cuts[1:] if begins_whole else cuts


def _tags(context: Context, recipe: Recipe, inputs: Inputs, reference: Reference | None) -> dict[str, str]:
    own_key = inputs.reference_key(recipe)
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "variant_key": variant_key(recipe, context.hardware, inputs),
        **exam_tags(recipe, inputs.exam),
        "reference_key": reference.version.tags["reference_key"] if reference is not None else own_key,
        "sibling_key": inputs.sibling_key(recipe),
        "seed": str(recipe.seed),
        "role": VARIANT if reference is not None else REFERENCE,
    }
