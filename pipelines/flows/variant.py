"""How a variant, or the reference that it is held against, comes to be: found in the registry, or built step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pipelines.console import echo
from pipelines.inputs.base import find_model
from pipelines.steps import evaluate, prune, register, train
from pipelines.steps.judgement_log import Verdict, copy_judgement, log_judgement
from pipelines.steps.keys import exam_key, variant_key
from pipelines.steps.records import publish
from pipelines.steps.rivals import find_rivals
from sbert_prune.metrics import RETENTION
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import REFERENCE, VARIANT
from sbert_prune.tracking.logged_models import has_bytes

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version


@dataclass(frozen=True)
class Reference:
    """What a variant is held against, and learns from where nobody else teaches. model: fetched before anything is trained."""

    version: Version
    model: SavedModel

    @classmethod
    def of(cls, version: Version) -> Self:
        """Fetch it."""
        return cls(version, find_model(version.uri))


def find_or_build_reference(context: Context, recipe: Recipe, inputs: Inputs, *, anew: bool) -> Version:
    """The unpruned base after the same recipe: built once, then reused."""
    depth = inputs.pruning.base.checkpoint.depth
    whole_recipe = recipe.of_reference(depth)
    key = variant_key(whole_recipe, context.hardware, inputs)
    context.unfinished.claim(key, notify=echo)
    found = _find_reference(context, recipe, inputs)
    if found is not None and not has_bytes(context.store, found.tags.get("model_id", "")):
        echo(f"reference: the bytes of version {found.version} of {found.name} are gone, so it is trained again")
        found = None
    if found is not None and not anew:
        context.unfinished.discard(key)
        echo(f"reference: version {found.version} of {found.name} is reused (run {found.run_id})")
        return found
    echo(f"reference: all {depth} layers are trained first, as there is none for this recipe and data")
    whole = replace(inputs, pruning=replace(inputs.pruning, cuts=(str(depth),), strategy="none"))
    with context.under(f"reference L{depth} s{recipe.seed}", {"role": REFERENCE}, whole_recipe) as (inner, run):
        version = build(inner.making(key), whole_recipe, whole, None)
        publish(run, version, inputs)
    return version


def _find_reference(context: Context, recipe: Recipe, inputs: Inputs) -> Version | None:
    """The one that the same variant is held against already, as a search's trials are against the search's; else that of its own recipe."""
    store, name, own = context.store, recipe.registered_model, inputs.reference_key(recipe)
    earlier = (
        None
        if context.force
        else registry.find_tagged(store, name, "variant_key", variant_key(recipe, context.hardware, inputs))
    )
    keys = (earlier.tags.get("reference_key", own), own) if earlier is not None else (own,)
    return next((found for key in keys if (found := registry.find_reference(store, name, key)) is not None), None)


def find_or_build(context: Context, recipe: Recipe, inputs: Inputs, reference: Version) -> Version:
    """The variant that the same recipe, data, seed and code have made before; judged again where it is to be judged on something else."""
    key = variant_key(recipe, context.hardware, inputs)
    context.unfinished.claim(key, notify=echo)
    found = None if context.force else registry.find_tagged(context.store, recipe.registered_model, "variant_key", key)
    if found is not None and not has_bytes(context.store, found.tags.get("model_id", "")):
        echo(f"variant: version {found.version} of {found.name} is the same, but its bytes are gone: it is made again")
        found = None
    if found is None:
        return build(context.making(key), recipe, inputs, Reference.of(reference))
    context.unfinished.discard(key)
    echo(
        f"variant: version {found.version} of {found.name} is the same, and is reused (run {found.run_id}; force=true makes it again)"
    )
    if found.tags.get("exam_key") != exam_key(recipe, inputs.exam):
        return _judge_again(context, recipe, inputs, found, reference)
    if context.parent is not None:
        context.parent.set_tags({"reused_from": found.run_id})
        copy_judgement(context.store, found.tags.get("evaluate_run_id", ""), context.parent)
    return found


def build(context: Context, recipe: Recipe, inputs: Inputs, reference: Reference | None) -> Version:
    """The story: prune and heal in two phases, as often as the schedule says; judge what was saved; register it with its lineage."""
    model, cuts = _where_to_begin(inputs, reference)
    for place, layers in enumerate(cuts):
        model = prune.prune(context, recipe, model, layers, inputs.pruning, trims=place == 0)
        for phase in recipe.phases:
            model = heal(context, recipe, phase, model, inputs, reference)
    judged = _judge(context, recipe, inputs, model, reference)
    metrics = judged.metrics if reference is not None else judged.metrics | {RETENTION: 1.0}  # its own measure
    tags = _tags(context, recipe, inputs, reference) | {"evaluate_run_id": judged.run_id}
    version = register.register(context, recipe, model, metrics, tags, dev_pairs=judged.dev_pairs)
    _report(context, judged, version)
    context.unfinished.discard(tags["variant_key"])
    return version


def heal(
    context: Context, recipe: Recipe, phase: str, model: SavedModel, inputs: Inputs, reference: Reference | None
) -> SavedModel:
    """One phase of the recipe; the reference teaches where nobody else is named."""
    teacher = inputs.teacher
    if teacher is None and reference is not None and recipe.has_teacher:
        teacher = reference.model
    judged = train.Judged(inputs.texts.sts.dev, teacher)
    if phase == "distil":
        assert inputs.sentences is not None  # found with the other inputs
        return train.distil(context, recipe, model, inputs.sentences, judged)
    if phase == "sts":
        return train.train_sts(context, recipe, model, inputs.texts.sts.train, judged)
    assert inputs.texts.nli is not None
    return train.train_nli(context, recipe, model, inputs.texts.nli, judged)


def _judge(
    context: Context, recipe: Recipe, inputs: Inputs, model: SavedModel, reference: Reference | None
) -> Verdict | evaluate.Earlier:
    rivals = find_rivals(context.store, recipe, inputs, model, reference.model if reference is not None else None)
    earlier = evaluate.find_earlier(context, recipe, model, inputs.exam, rivals)
    return earlier or evaluate.evaluate(context, recipe, model, inputs.exam, rivals)


def _judge_again(context: Context, recipe: Recipe, inputs: Inputs, found: Version, reference: Version) -> Version:
    """A variant that is there already, judged on what it has not been judged on."""
    judged = _judge(context, recipe, inputs, find_model(found.uri), Reference.of(reference))
    tags = {"exam_key": exam_key(recipe, inputs.exam), "evaluate_run_id": judged.run_id}
    if found.is_trial:  # of a search, which has looked at dev alone
        tags |= {"role": VARIANT, "reference_key": reference.tags["reference_key"]}
    version = registry.update(context.store, found, judged.metrics, tags)
    _report(context, judged, version)
    return version


def _report(context: Context, judged: Verdict | evaluate.Earlier, version: Version) -> None:
    """What judging found, on the run above the steps."""
    if context.parent is None:
        return
    if isinstance(judged, Verdict):
        log_judgement(context.parent, judged, version.metrics)
    else:
        copy_judgement(context.store, judged.run_id, context.parent)


def _where_to_begin(inputs: Inputs, reference: Reference | None) -> tuple[SavedModel, tuple[str, ...]]:
    """A schedule that begins with the whole depth begins with the reference: that is the whole model, healed."""
    base, cuts = inputs.pruning.base, inputs.pruning.cuts
    if reference is not None and len(cuts) > 1 and cuts[0] == str(base.checkpoint.depth):
        version = reference.version
        echo(f"schedule: begins with version {version.version} of {version.name}, all {cuts[0]} layers healed")
        return reference.model, cuts[1:]
    return base, cuts


def _tags(context: Context, recipe: Recipe, inputs: Inputs, reference: Reference | None) -> dict[str, str]:
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "variant_key": variant_key(recipe, context.hardware, inputs),
        "exam_key": exam_key(recipe, inputs.exam),
        "reference_key": reference.version.tags["reference_key"]
        if reference is not None
        else inputs.reference_key(recipe),
        "sibling_key": inputs.sibling_key(recipe),
        "seed": str(recipe.seed),
        "role": VARIANT if reference is not None else REFERENCE,
        "sts_dev_digest": inputs.texts.sts.dev.digest[:16],
        "sts_test_digest": inputs.texts.sts.test.digest[:16],
    }
