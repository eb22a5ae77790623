"""`plan=true`: what a command would do, and how long that would take, told without doing it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import echo, silence_libraries
from pipelines.inputs.load import COPIES, teacher_layers
from pipelines.steps.records import as_sentence_model
from pipelines.steps.train import measure_text_fit, tokenizer_of
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import save_sentence_model, with_pooling
from sbert_prune.pruning import prune_checkpoint
from sbert_prune.registry import versions as registry
from sbert_prune.system.memory import peak_memory_mb
from sbert_prune.tracking.store import connect
from sbert_prune.tracking.store_uri import own_folder, sqlite_path, tracking_uri
from sbert_prune.training.device import choose_hardware
from sbert_prune.training.estimate import distil_part, estimate_training, nli_part, sts_part
from sbert_prune.training.teacher import Teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.estimate import Estimate, Part


@dataclass(frozen=True)
class Planned:
    """What making some variants would take. seconds: of training, by the model's name, all of its kind together.

    models: those that would be kept.
    """

    lines: tuple[str, ...]
    seconds: dict[str, float]
    models: tuple[SavedModel, ...]
    hardware: Hardware


def plan(variants: Sequence[tuple[Recipe, Inputs]], scratch: Path) -> list[str]:
    """Rows, optimizer steps, seconds, disk and what is reused; some optimizer steps are timed on copies, nothing is recorded.

    variants: of one base and the same data, which share a reference.
    """
    found = look_ahead(variants, scratch)
    time = for_people(sum(found.seconds.values()))
    lines = [
        *found.lines,
        f"time      {time} of training on {found.hardware}; evaluating, saving and registering come on top",
    ]
    lines += [
        f"memory    {peak_memory_mb(found.hardware.device):,.0f} MB at most in this rehearsal",
        *disk(found.models),
    ]
    return ["", *lines, "plan      nothing was trained or recorded; leave plan out to do it"]


def look_ahead(variants: Sequence[tuple[Recipe, Inputs]], scratch: Path) -> Planned:
    """The same, before it is summed up."""
    recipe, inputs = variants[0]
    silence_libraries()
    hardware = choose_hardware(recipe.device, recipe.precision)
    base = inputs.pruning.base
    measure_text_fit(tokenizer_of(base), inputs.texts.sample(), recipe.max_seq_length)
    reused = _reference(recipe, inputs)
    whole = _saved(base, recipe, scratch / "whole")
    lines, seconds = [f"reuse     {_told(reused)}"], dict[str, float]()
    models = [] if reused else [("reference", recipe.of_reference(base.checkpoint.depth), whole)]
    for number, (settings, found) in enumerate(variants):
        for cut in _cuts(settings, found):
            folder = scratch / str(number)
            variant = _saved(_cut(found, cut, folder), settings, folder / f"variant-{cut}")
            models.append((f"variant {variant.checkpoint.depth} layers", settings, variant))
    times = Counter(name for name, *_ in models)
    for name, settings, model in {model[0]: model for model in models}.values():  # as deep is as slow: timed once
        source = inputs.teacher or whole
        for phase in settings.phases:
            part = _part(phase, settings, inputs)
            teacher = None
            if phase == "distil":
                teacher = Teacher(source, teacher_layers(settings, lineage_of(model), source))
            elif getattr(settings, phase).distillation > 0:
                teacher = Teacher(source)
            fresh = as_sentence_model(model, settings)
            rehearsed = estimate_training(fresh, part, hardware, dev=inputs.texts.sts.dev.rows, teacher=teacher)
            lines.append(
                f"train     {name}, {phase}: {_of_phase(rehearsed)}{f', {times[name]} times' if times[name] > 1 else ''}"
            )
            seconds[name] = seconds.get(name, 0.0) + rehearsed.seconds * times[name]
    return Planned(tuple(lines), seconds, tuple(model for *_, model in models), hardware)


def _cuts(recipe: Recipe, inputs: Inputs) -> tuple[str, ...]:
    """The cuts that are healed: a schedule's first one is the reference where it keeps the whole depth."""
    pruning = inputs.pruning
    if not pruning.drops_layers and not recipe.vocabulary_limit.trims:
        return ()
    begins_whole = len(pruning.cuts) > 1 and pruning.cuts[0] == str(pruning.base.checkpoint.depth)
    return pruning.cuts[1:] if begins_whole else pruning.cuts


def _reference(recipe: Recipe, inputs: Inputs) -> Version | None:
    """The reference that would be reused; a store that is not there yet is not made for the question."""
    path = sqlite_path(tracking_uri())
    if path is not None and not path.is_file():
        return None
    return registry.find_reference(connect(notify=echo), recipe.registered_model, inputs.reference_key(recipe))


def _told(reused: Version | None) -> str:
    if reused is None:
        return "nothing: no reference for this recipe and data yet, so the whole base is trained first"
    return f"version {reused.version} of {reused.name} as the reference (run {reused.run_id})"


def _cut(inputs: Inputs, cut: str, scratch: Path) -> SavedModel:
    """The base cut to so many layers: which ones makes no difference to the time."""
    base = inputs.pruning.base
    one = replace(inputs.pruning, cuts=(cut,))
    selection = LayerSelection(tuple(range(one.num_layers)), base.checkpoint.depth)
    if not selection.dropped:
        return base
    folder = scratch / f"cut-{cut}"
    return SavedModel(str(folder), None, prune_checkpoint(base.folder, selection, folder, lineage=lineage_of(base)))


def _saved(model: SavedModel, recipe: Recipe, folder: Path) -> SavedModel:
    """A bare encoder as the sentence model that it will be."""
    sentence_model = with_pooling(
        as_sentence_model(model, recipe), recipe.pooling, max_seq_length=recipe.max_seq_length
    )
    save_sentence_model(sentence_model, folder, lineage_of(model))
    return SavedModel(str(folder), None, inspect_checkpoint(folder))


def _part(phase: str, recipe: Recipe, inputs: Inputs) -> Part:
    if phase == "distil":
        assert inputs.sentences is not None  # found with the other inputs
        return distil_part(inputs.sentences[0], recipe.distil)
    if phase == "sts":
        return sts_part(inputs.texts.sts.train.rows, recipe.sts)
    assert inputs.texts.nli is not None
    return nli_part(inputs.texts.nli.rows, recipe.nli, recipe.seed)


def _of_phase(found: Estimate) -> str:
    return (
        f"{found.examples:,} examples, {found.optimizer_steps:,} optimizer steps of {1000 * found.per_step:,.0f} ms"
        f"{f', {for_people(found.besides)} for dev and teacher' if found.besides >= 1 else ''}: {for_people(found.seconds)}"
    )


def for_people(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def disk(models: Sequence[SavedModel]) -> list[str]:
    """What stays, what is needed on the way, and what there is."""
    sizes = [sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file()) for model in models]
    needed, place = sum(sizes) + COPIES * max(sizes, default=0), own_folder().parent
    free = shutil.disk_usage(place).free
    short = "; that is not enough: free some, or work elsewhere" if needed > free else ""
    return [
        f"disk      {sum(sizes) / 1e6:,.0f} MB to keep, {needed / 1e6:,.0f} MB on the way; {free / 1e6:,.0f} MB are free in {place}{short}"
    ]
