"""`full`: one variant from base to registered version, beside the reference it is measured against."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs import PruneInputs, check_machine, find_base, find_nli, find_sts
from pipelines.parameters import RECIPE_PARAMETERS, recipe_options
from sbert_prune.layers import LayerSelection
from sbert_prune.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.context import Context
    from sbert_prune.data.sources import NliData, StsData
    from sbert_prune.registry import Version
    from sbert_prune.tracking import Run


@click.command("full", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
def command(recipe: Recipe) -> None:
    """Prune, train NLI, train STS, evaluate, register: one variant, and its reference where there is none yet."""
    say(*run_full(recipe))


@dataclass(frozen=True)
class Inputs:
    """All that `full` reads, checked before anything is trained."""

    pruning: PruneInputs
    nli: NliData
    sts: StsData

    def reference_key(self, recipe: Recipe) -> str:
        """Names what a variant and its reference share: base, data and all settings but the choice of layers."""
        splits = (self.nli.train, self.sts.train, self.sts.dev, self.sts.test)
        parts = (recipe.reference_digest, self.pruning.base.checkpoint.sha256(), *(rows.digest for rows in splits))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def run_full(recipe: Recipe) -> list[str]:
    """Make one variant and return the ten lines that `full` ends with."""
    inputs = load_inputs(recipe)

    from pipelines.context import open_context
    from pipelines.summary import draw_variants, summarise
    from sbert_prune import registry

    quieten_libraries()
    selection = inputs.pruning.selection
    with open_context(recipe) as context:
        say(f"store {context.store.uri}; {context.hardware}")
        name = run_name(recipe, selection, inputs.pruning.strategy)
        with context.under(name, {"role": registry.VARIANT if selection.dropped else registry.REFERENCE}, recipe) as (inner, run):
            reference = find_or_build_reference(inner, inputs)
            variant = reference if not selection.dropped else build(inner, inputs, reference)
            publish(run, variant, inputs)
            draw_variants(run, registry.versions(context.store, recipe.registered_model))
        return summarise(context.store, variant, reference)


def load_inputs(recipe: Recipe) -> Inputs:
    """Find the base, choose the layers, parse all data, and say what was understood."""
    check_machine(recipe)
    pruning = find_base(recipe)
    nli, nli_lines = find_nli(recipe)
    sts, sts_lines = find_sts(recipe)
    say(
        f"base {pruning.base.uri}: keep {pruning.selection} of {pruning.selection.depth} layers ({pruning.strategy})",
        *nli_lines,
        *sts_lines,
    )
    return Inputs(pruning, nli, sts)


def run_name(recipe: Recipe, selection: LayerSelection, strategy: str) -> str:
    """A run's name for people: "full L6 drop-top s42"."""
    return f"full L{selection.num_layers} {strategy} s{recipe.seed}"


def find_or_build_reference(context: Context, inputs: Inputs) -> Version:
    """The unpruned base after the same recipe: built once, then reused."""
    from sbert_prune import registry

    recipe = context.recipe
    found = registry.find_reference(context.store, recipe.registered_model, inputs.reference_key(recipe))
    if found is not None:
        say(f"reference: version {found.version} of {found.name} is reused (run {found.run_id})")
        return found
    everything = LayerSelection.all(inputs.pruning.base.checkpoint.depth)
    say(f"reference: none yet for this recipe and data, so all {everything.depth} layers are trained first")
    whole = Inputs(PruneInputs(inputs.pruning.base, everything, "none"), inputs.nli, inputs.sts)
    whole_recipe = recipe.with_layers(str(everything.depth))
    with context.under(f"reference L{everything.depth} s{recipe.seed}", {"role": registry.REFERENCE}, whole_recipe) as (inner, run):
        version = build(inner, whole, None)
        publish(run, version, inputs)
    return version


def build(context: Context, inputs: Inputs, reference: Version | None) -> Version:
    """The story: prune, heal in two phases, judge what was saved, register it with its lineage."""
    from pipelines import steps
    from sbert_prune import registry

    score = reference.metrics["sts_test/spearman_cosine"] if reference else None
    pruned = steps.prune(context, inputs.pruning)
    after_nli = steps.train_nli(context, pruned, inputs.nli.train)
    healed = steps.train_sts(context, after_nli, inputs.sts.train)
    splits = {"dev": inputs.sts.dev, "test": inputs.sts.test}
    metrics = steps.evaluate(context, healed, splits, base=inputs.pruning.base, reference_score=score)
    tags = {
        "recipe": context.recipe.name,
        "recipe_digest": context.recipe.digest,
        "reference_key": inputs.reference_key(context.recipe),
        "seed": str(context.recipe.seed),
        "role": registry.VARIANT,
        "sts_dev_digest": inputs.sts.dev.digest[:16],
        "sts_test_digest": inputs.sts.test.digest[:16],
    }
    if reference is None:
        tags["role"] = registry.REFERENCE
        metrics["quality/retention"] = 1.0  # its own measure
    return steps.register(context, healed, metrics, tags)


def publish(run: Run, version: Version, inputs: Inputs) -> None:
    """Repeat on the parent run what was chosen, read, made and measured, so that runs compare without opening children."""
    from pipelines.records import data_record

    shown = ("base", "kept_layers", "depth", "num_layers", "strategy", "seed", "role")
    run.set_tags({key: version.tags[key] for key in shown if key in version.tags} | {"model": version.uri})
    run.log_params({"kept_layers": version.tags["kept_layers"]})
    run.log_data(data_record(inputs.nli.train), "training")
    run.log_data(data_record(inputs.sts.train), "training")
    run.log_data(data_record(inputs.sts.dev), "testing")
    run.log_data(data_record(inputs.sts.test), "testing")
    run.log_output(version.tags["model_id"])
    run.log_metrics(version.metrics)
