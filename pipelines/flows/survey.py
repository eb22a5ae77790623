"""What `full` and `sweep` would reuse and what they would train: the steps of `variant.build`, looked up, not run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.flows.variant import (
    cuts_to_train,
    existing_reference,
    existing_variant,
    is_evaluated,
    is_smaller,
    whole_variant,
)
from pipelines.inputs.base import find_model
from pipelines.steps.keys import prune_key, variant_key
from pipelines.steps.reuse import look_up_step
from pipelines.steps.train import train_key
from sbert_prune.errors import SbertPruneError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import save_sentence_model
from sbert_prune.registry.version import Version
from sbert_prune.strategies import choose_layers
from sbert_prune.training.phases import PHASES
from sbert_prune.variant import cut_layers, teacher_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe


@dataclass(frozen=True)
class Cut:
    """A model that would be made: the base with fewer layers, then trained.

    Attributes:
        name: What kind of model it is, such as "reference" or "variant 6 layers".
        recipe: Its recipe.
        inputs: Its inputs.
        layers: The layers to keep.
        phases: The phases to train, with the optimizer step that each continues after; the others are reused.
    """

    name: str
    recipe: Recipe
    inputs: Inputs
    layers: str
    phases: dict[str, int]


@dataclass
class Survey:
    """Looks up what a command would find, one variant after the other.

    Attributes:
        context: The store, the hardware and the unfinished work to look in; None without a store.
        scratch: A folder for models that are cut to know the keys of the steps after them.
        reused: What is reused, as lines.
        cuts: The models that would be made.
    """

    context: Context | None
    scratch: Path
    reused: list[str] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    _planned: dict[str, SavedModel | None] = field(default_factory=dict)

    def add(self, recipe: Recipe, inputs: Inputs) -> None:
        """Look up a variant and its reference."""
        smaller = is_smaller(recipe, inputs)
        reference = self.add_reference(recipe, inputs, anew=self._is_forced and not smaller)
        if not smaller:
            return
        version = existing_variant(self.context, recipe, inputs) if self.context is not None else None
        if version is None:
            self.add_variant(recipe, inputs, reference)
            return
        again = "" if is_evaluated(version, recipe, inputs) else "; it is evaluated again, on other data or settings"
        self._note(f"{_named(version, f'the variant of {inputs.pruning.num_layers} layers')}{again}")

    def add_reference(self, recipe: Recipe, inputs: Inputs, *, anew: bool = False) -> Version | SavedModel | None:
        """Look up the reference of a variant; return its version, or its model if that is known before it is made."""
        version = existing_reference(self.context, recipe, inputs) if self.context is not None and not anew else None
        if version is not None:
            self._note(_named(version, "the reference"))
            return version
        whole_recipe, whole = whole_variant(recipe, inputs)
        key = inputs.reference_key(recipe)
        if key not in self._planned:
            why = "force=true makes the reference again" if anew else "no reference for this recipe and data yet"
            self._note(f"nothing: {why}, so the whole base is trained first")
            self._planned[key] = self._build("reference", whole_recipe, whole, None)
        return self._planned[key]

    def add_variant(self, recipe: Recipe, inputs: Inputs, reference: Version | SavedModel | None) -> None:
        """Look up the steps of a variant that is not registered."""
        if isinstance(reference, Version):
            try:
                reference = find_model(reference.uri)
            except SbertPruneError:  # the command would report it
                reference = None
        self._build("variant", recipe, inputs, reference)

    @property
    def _is_forced(self) -> bool:
        return self.context is not None and self.context.force

    def _build(self, kind: str, recipe: Recipe, inputs: Inputs, reference: SavedModel | None) -> SavedModel | None:
        """Follow the steps of `variant.build`, and return the model if all of them are reused.

        Args:
            kind: "variant" or "reference".
            recipe: The recipe.
            inputs: The base and the data.
            reference: The model of a variant's reference; None where it is not known before it is made.
        """
        cuts = cuts_to_train(inputs, has_reference=kind == "variant")
        model = inputs.pruning.base if cuts == inputs.pruning.cuts else reference
        steps = _Steps(self.context, recipe, inputs, reference, self.scratch)
        for number, layers in enumerate(cuts):
            num_layers = replace(inputs.pruning, cuts=(layers,)).num_layers
            name = f"variant {num_layers} layers" if kind == "variant" else kind
            model = steps.prune(model, layers, trims=number == 0)
            phases: dict[str, int] = {}
            for phase in recipe.phases:
                model, done = steps.train(model, phase)
                if model is None:
                    phases[phase] = done
            self.cuts.append(Cut(name, recipe, inputs, layers, phases))
            for step in steps.take_found():
                self._note(f"{step}, for the {name}")
        return model

    def _note(self, line: str) -> None:
        if line not in self.reused:
            self.reused.append(line)


class _Steps:
    """Looks up the steps of one variant. A model is None where it would be made anew."""

    def __init__(
        self, context: Context | None, recipe: Recipe, inputs: Inputs, reference: SavedModel | None, scratch: Path
    ) -> None:
        self._context, self._recipe, self._inputs, self._scratch = context, recipe, inputs, scratch
        self._teacher = inputs.teacher or (reference if recipe.has_teacher else None)
        if context is not None:
            self._context = context.for_variant(variant_key(recipe, context.hardware, inputs))
        self._found: list[str] = []

    def take_found(self) -> list[str]:
        """Return the steps that were found since the last call."""
        taken, self._found = self._found, []
        return taken

    def prune(self, source: SavedModel | None, layers: str, *, trims: bool) -> SavedModel | None:
        """Return the pruned model: an earlier one, else one that is cut in the scratch folder."""
        context, recipe, pruning = self._context, self._recipe, self._inputs.pruning
        if context is None or context.force or source is None:
            return None
        if (step := look_up_step(context, prune_key(recipe, source, layers, pruning, trims=trims))) is not None:
            self._found.append(f"step prune of run {step.run_id}")
            return step.model
        selection = choose_layers(layers, strategy=recipe.strategy, depth=source.checkpoint.depth)
        if selection is None or (trims and recipe.vocabulary_limit.trims):
            return None  # measuring layers and counting pieces take too long for a plan
        folder = self._scratch / f"pruned-{len(list(self._scratch.iterdir()))}"
        variant = cut_layers(recipe, source, selection, strategy=pruning.strategy, scratch=self._scratch)
        save_sentence_model(variant.model, folder, variant.lineage)
        return SavedModel(str(folder), None, inspect_checkpoint(folder))

    def train(self, source: SavedModel | None, phase: str) -> tuple[SavedModel | None, int]:
        """Return the trained model, or the optimizer step of the last checkpoint."""
        context, recipe, texts = self._context, self._recipe, self._inputs.texts
        needs_teacher = recipe.has_teacher and recipe.settings_of(phase).distillation > 0
        if context is None or context.force or source is None or (needs_teacher and self._teacher is None):
            return None, 0
        rows = PHASES[phase].rows(texts)
        assert rows is not None  # loaded with the other inputs
        teacher = teacher_of(recipe, phase, lineage_of(source), self._teacher)
        key = train_key(context, recipe, phase, source, rows, dev=texts.sts.dev, teacher=teacher)
        if (step := look_up_step(context, key)) is not None:
            self._found.append(f"step {PHASES[phase].step} of run {step.run_id}")
            return step.model, 0
        return None, context.unfinished.checkpointed(key)


def _named(version: Version, purpose: str) -> str:
    return f"version {version.version} of {version.name} as {purpose} (run {version.run_id})"
