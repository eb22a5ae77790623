"""`plan=true`: print what a command would do, and how long it would take, without doing it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import echo, silence_libraries
from pipelines.inputs.load import COPIES
from pipelines.steps.train import measure_text_fit, tokenizer_of
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import save_sentence_model
from sbert_prune.registry import versions as registry
from sbert_prune.system.memory import peak_memory_mb
from sbert_prune.tracking.store import connect
from sbert_prune.tracking.store_uri import own_folder, sqlite_path, tracking_uri
from sbert_prune.training.device import choose_hardware
from sbert_prune.training.estimate import Part, estimate_training
from sbert_prune.training.phases import PHASES
from sbert_prune.variant import Variant, cut_layers, teacher_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.estimate import Estimate


@dataclass(frozen=True)
class Plan:
    """What making some variants would take.

    Attributes:
        lines: What is reused, and the training of each model and phase.
        seconds: Seconds of training by kind of model, such as "reference".
        models: The models that would be saved.
        hardware: The device and the precision.
    """

    lines: tuple[str, ...]
    seconds: dict[str, float]
    models: tuple[SavedModel, ...]
    hardware: Hardware


def plan(variants: Sequence[tuple[Recipe, Inputs]], scratch: Path) -> list[str]:
    """Return the plan as lines: rows, optimizer steps, seconds, memory, disk and what is reused.

    Some optimizer steps are timed on copies; nothing is recorded.

    Args:
        variants: Recipes of one base with their inputs; they have the same data and share a reference.
        scratch: A folder for the copies.
    """
    estimated = estimate_variants(variants, scratch)
    hardware = estimated.hardware
    time = format_duration(sum(estimated.seconds.values()))
    return [
        "",
        *estimated.lines,
        f"time      {time} of training on {hardware}; evaluating, saving and registering come on top",
        f"memory    {peak_memory_mb(hardware.device):,.0f} MB at most in this estimate",
        *disk_lines(estimated.models),
        "plan      nothing was trained or recorded; leave plan out to do it",
    ]


def estimate_variants(variants: Sequence[tuple[Recipe, Inputs]], scratch: Path) -> Plan:
    """Estimate what making some variants would take. The arguments are those of `plan`."""
    recipe, inputs = variants[0]
    silence_libraries()
    hardware = choose_hardware(recipe.device, recipe.precision)
    base = inputs.pruning.base
    measure_text_fit(tokenizer_of(base), inputs.texts.sample(), recipe.max_seq_length)
    reused = _find_reference(recipe, inputs)
    whole = _cut(recipe, inputs, str(base.checkpoint.depth), scratch / "whole")
    lines, seconds = [f"reuse     {_reuse_text(reused)}"], dict[str, float]()
    models = [] if reused else [("reference", recipe.of_reference(base.checkpoint.depth), whole)]
    for number, (variant_recipe, variant_inputs) in enumerate(variants):
        for cut in _trained_cuts(variant_recipe, variant_inputs):
            variant = _cut(variant_recipe, variant_inputs, cut, scratch / f"variant-{number}-{cut}")
            models.append((f"variant {variant.checkpoint.depth} layers", variant_recipe, variant))
    counts = Counter(name for name, *_ in models)
    distinct = {name: (model_recipe, model) for name, model_recipe, model in models}
    for name, (model_recipe, model) in distinct.items():  # models of the same depth take the same time
        source = inputs.teacher or whole
        for phase in model_recipe.phases:
            part = _part(phase, model_recipe, inputs)
            fresh = Variant.load(model, model_recipe)
            teacher = teacher_of(model_recipe, phase, fresh.lineage, source)
            estimate = estimate_training(fresh.model, part, hardware, dev=inputs.texts.sts.dev.rows, teacher=teacher)
            times = f", {counts[name]} times" if counts[name] > 1 else ""
            lines.append(f"train     {name}, {phase}: {_estimate_text(estimate)}{times}")
            seconds[name] = seconds.get(name, 0.0) + estimate.seconds * counts[name]
    return Plan(tuple(lines), seconds, tuple(model for *_, model in models), hardware)


def _trained_cuts(recipe: Recipe, inputs: Inputs) -> tuple[str, ...]:
    """Return the cuts that are followed by training; a first cut to the whole depth is the reference."""
    pruning = inputs.pruning
    if not pruning.drops_layers and not recipe.vocabulary_limit.trims:
        return ()
    begins_whole = len(pruning.cuts) > 1 and pruning.cuts[0] == str(pruning.base.checkpoint.depth)
    return pruning.cuts[1:] if begins_whole else pruning.cuts


def _find_reference(recipe: Recipe, inputs: Inputs) -> Version | None:
    """Return the reference that would be reused; a store that does not exist yet is not created."""
    path = sqlite_path(tracking_uri())
    if path is not None and not path.is_file():
        return None
    return registry.find_reference(connect(notify=echo), recipe.registered_model, inputs.reference_key(recipe))


def _reuse_text(reused: Version | None) -> str:
    if reused is None:
        return "nothing: no reference for this recipe and data yet, so the whole base is trained first"
    return f"version {reused.version} of {reused.name} as the reference (run {reused.run_id})"


def _cut(recipe: Recipe, inputs: Inputs, cut: str, folder: Path) -> SavedModel:
    """Save the base with as many layers as a cut keeps: which ones makes no difference to the time."""
    base = inputs.pruning.base
    num_layers = replace(inputs.pruning, cuts=(cut,)).num_layers
    selection = LayerSelection(tuple(range(num_layers)), base.checkpoint.depth)
    variant = cut_layers(recipe, base, selection, strategy=recipe.strategy, scratch=folder.parent)
    save_sentence_model(variant.model, folder, variant.lineage)
    return SavedModel(str(folder), None, inspect_checkpoint(folder))


def _part(phase: str, recipe: Recipe, inputs: Inputs) -> Part:
    rows = PHASES[phase].rows(inputs.texts)
    assert rows is not None  # loaded with the other inputs
    return Part(phase, rows.rows, recipe.settings_of(phase), recipe.seed)


def _estimate_text(estimate: Estimate) -> str:
    besides = f", {format_duration(estimate.besides)} for dev and teacher" if estimate.besides >= 1 else ""
    return (
        f"{estimate.examples:,} examples, {estimate.optimizer_steps:,} optimizer steps of "
        f"{1000 * estimate.per_step:,.0f} ms{besides}: {format_duration(estimate.seconds)}"
    )


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def disk_lines(models: Sequence[SavedModel]) -> list[str]:
    """Return the line about disk space: what models keep, what making them needs, and what is free."""
    sizes = [model.checkpoint.num_bytes() for model in models]
    needed, folder = sum(sizes) + COPIES * max(sizes, default=0), own_folder().parent
    free = shutil.disk_usage(folder).free
    advice = "; that is not enough: free some, or work elsewhere" if needed > free else ""
    return [
        f"disk      {sum(sizes) / 1e6:,.0f} MB to keep, {needed / 1e6:,.0f} MB on the way; "
        f"{free / 1e6:,.0f} MB are free in {folder}{advice}"
    ]
