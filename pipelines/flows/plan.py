"""`plan=true`: print what a command would do, and how long it would take, without doing it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import echo, silence_libraries
from pipelines.flows.survey import Cut, Survey
from pipelines.inputs.load import COPIES
from pipelines.progress import format_duration
from pipelines.steps.checkpointing import Unfinished
from pipelines.steps.context import Context
from pipelines.steps.train import measure_text_fit
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import save_sentence_model
from sbert_prune.models.tokenizer import load_tokenizer
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


def plan(variants: Sequence[tuple[Recipe, Inputs]], scratch: Path, *, force: bool = False) -> list[str]:
    """Return the plan as lines: rows, optimizer steps, seconds, memory, disk and what is reused.

    Some optimizer steps are timed on copies; nothing is recorded.

    Args:
        variants: Recipes of one base with their inputs; they have the same data.
        scratch: A folder for the copies.
        force: Whether the command would make again what exists.
    """
    hardware = _prepare(*variants[0])
    survey = Survey(_context(hardware, scratch, force=force), _subfolder(scratch, "survey"))
    for recipe, inputs in variants:
        survey.add(recipe, inputs)
    estimated = _estimate(survey, hardware, variants[0][1], scratch)
    seconds = sum(estimated.seconds.values())
    time = f"{format_duration(seconds)} of training" if any(cut.phases for cut in survey.cuts) else "nothing is trained"
    return [
        "",
        *estimated.lines,
        f"time      {time} on {hardware}; evaluating, saving and registering come on top",
        f"memory    {peak_memory_mb(hardware.device):,.0f} MB at most in this estimate",
        *disk_lines(estimated.models),
        "plan      nothing was trained or recorded; leave plan out to do it",
    ]


def estimate_trials(recipe: Recipe, inputs: Inputs, scratch: Path) -> Plan:
    """Estimate the training of one variant, which a search does for each trial, and of the reference if there is none.

    Args:
        recipe: The recipe of the variant.
        inputs: Its inputs.
        scratch: A folder for copies of models.
    """
    hardware = _prepare(recipe, inputs)
    survey = Survey(_context(hardware, scratch, force=False), _subfolder(scratch, "survey"))
    survey.add_reference(recipe, inputs)
    layers = str(inputs.pruning.num_layers)
    survey.cuts.append(Cut(f"variant {layers} layers", recipe, inputs, layers, dict.fromkeys(recipe.phases, 0)))
    return _estimate(survey, hardware, inputs, scratch)


def _prepare(recipe: Recipe, inputs: Inputs) -> Hardware:
    """Print how well the tokenizer fits the texts, and return the hardware."""
    silence_libraries()
    measure_text_fit(load_tokenizer(inputs.pruning.base.folder), inputs.texts.sample(), recipe.max_seq_length)
    return choose_hardware(recipe.device, recipe.precision)


def _context(hardware: Hardware, scratch: Path, *, force: bool) -> Context | None:
    """Return what the command would look in; None for a store that does not exist yet, which is not created."""
    path = sqlite_path(tracking_uri())
    if path is not None and not path.is_file():
        return None
    return Context(connect(notify=echo), hardware, scratch, Unfinished(own_folder() / "unfinished"), force=force)


def _estimate(survey: Survey, hardware: Hardware, inputs: Inputs, scratch: Path) -> Plan:
    """Time some optimizer steps of each kind of model and phase: models of the same depth take the same time."""
    depth = str(inputs.pruning.base.checkpoint.depth)
    whole: SavedModel | None = None
    lines, seconds, models = [f"reuse     {line}" for line in survey.reused], dict[str, float](), list[SavedModel]()
    kinds: dict[str, list[Cut]] = {}
    for cut in survey.cuts:
        kinds.setdefault(cut.name, []).append(cut)
    for name, cuts in kinds.items():
        recipe = cuts[0].recipe
        model = _cut(recipe, inputs, cuts[0].layers, _subfolder(scratch, f"kind-{len(models)}"))
        models += [model] * len(cuts)
        for phase in recipe.phases:
            continued = [cut.phases[phase] for cut in cuts if phase in cut.phases]
            if not continued:
                continue
            if whole is None and recipe.has_teacher and inputs.teacher is None:
                whole = _cut(recipe, inputs, depth, _subfolder(scratch, "whole"))
            fresh = Variant.load(model, recipe)
            teacher = teacher_of(recipe, phase, fresh.lineage, inputs.teacher or whole)
            part = _part(phase, recipe, inputs)
            estimate = estimate_training(fresh.model, part, hardware, dev=inputs.texts.sts.dev.rows, teacher=teacher)
            lines.append(f"train     {name}, {phase}: {_estimate_text(estimate)}{_times(continued)}")
            left = sum(max(0.0, estimate.seconds - step * estimate.per_step) for step in continued)
            seconds[name] = seconds.get(name, 0.0) + left
    return Plan(tuple(lines), seconds, tuple(models), hardware)


def _times(continued: Sequence[int]) -> str:
    """Return how often a phase is trained, and from which optimizer steps it continues."""
    times = f", {len(continued)} times" if len(continued) > 1 else ""
    steps = [f"{step:,}" for step in continued if step]
    return times + (f"; continues after optimizer step {', '.join(steps)}" if steps else "")


def _subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _cut(recipe: Recipe, inputs: Inputs, cut: str, folder: Path) -> SavedModel:
    """Save the base with as many layers as a cut keeps: which ones makes no difference to the time."""
    base = inputs.pruning.base
    num_layers = replace(inputs.pruning, cuts=(cut,)).num_layers
    selection = LayerSelection(tuple(range(num_layers)), base.checkpoint.depth)
    variant = cut_layers(recipe, base, selection, strategy=recipe.strategy, scratch=folder.parent)
    save_sentence_model(variant.model, folder / "model", variant.lineage.saved_as(recipe.save_precision))
    return SavedModel(str(folder / "model"), None, inspect_checkpoint(folder / "model"))


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
