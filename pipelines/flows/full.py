"""`full`: one variant from base to registered version, beside the reference it is measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from pipelines.console import echo, silence_libraries
from pipelines.inputs.base import PruneInputs, find_model
from pipelines.inputs.load import Inputs, load_inputs
from pipelines.steps.evaluate import judge
from pipelines.steps.measures import Measures
from pipelines.steps.records import data_record
from sbert_prune.errors import TrackingError
from sbert_prune.evaluation.bootstrap import MARGIN, OverSeeds, over_seeds
from sbert_prune.evaluation.comparison import Judgement
from sbert_prune.metrics import RETENTION, STS_TEST
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.registry.version import REFERENCE, VARIANT
from sbert_prune.report.tables import table
from sbert_prune.tracking.store_uri import without_password

if TYPE_CHECKING:
    from pipelines.steps.context import Context
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run

    Make = Callable[[Context, Recipe, Inputs], tuple[Version, Version]]
    """Makes one variant; returns it and its reference."""


def run_seeds(
    context: Context, recipe: Recipe, inputs: Inputs, seeds: Sequence[int], name: str, make: Make
) -> list[str]:
    """Make a variant for each seed, each beside a reference of its own seed, and sum them up on a run above theirs.

    name: of all of them, without a seed.
    """
    listed = ",".join(map(str, seeds))
    with context.under(f"{name} seeds {listed}", {"seed": listed, "seeds": listed, "role": "seeds"}, recipe) as (
        inner,
        run,
    ):
        made = [make(inner, recipe.with_seed(seed), inputs) for seed in seeds]
        found = _summed_up(
            [_judged(inner, recipe.with_seed(seed), inputs, pair) for seed, pair in zip(seeds, made, strict=True)]
        )
        run.log_metrics(_means([variant for variant, _ in made]) | _metrics(found))
        for use, rows in inputs.splits.items():
            run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
        run.log_text(_page(seeds, made, found), "report.md")
    return [
        "",
        *_lines(seeds, found),
        *(f"model     seed {seed}: {variant.uri}" for seed, (variant, _) in zip(seeds, made, strict=True)),
    ]


def _judged(context: Context, recipe: Recipe, inputs: Inputs, made: tuple[Version, Version]) -> Judgement:
    """The scores of one seed again, from the embeddings that were kept."""
    variant, reference = made
    measures = Measures.of(inputs.exam, recipe).of_pairs()
    own = judge(context, recipe, find_model(variant.uri), measures)
    return Judgement(
        own,
        {}
        if reference.uri == variant.uri
        else {"reference": judge(context, recipe, find_model(reference.uri), measures)},
    )


def _summed_up(judgements: Sequence[Judgement]) -> dict[str, OverSeeds]:
    """Over all seeds: each score, the retention, and the difference to the reference."""
    found = {
        name: over_seeds([judgement.own.scores[name] for judgement in judgements]) for name in judgements[0].own.scores
    }
    retentions = [retention for judgement in judgements if (retention := judgement.retention()) is not None]
    if len(retentions) == len(judgements):
        found[RETENTION] = over_seeds(retentions)
        found["difference/reference"] = over_seeds(
            [judgement.differences("reference")[STS_TEST] for judgement in judgements]
        )
    return found


def _metrics(found: Mapping[str, OverSeeds]) -> dict[str, float]:
    ends = {
        f"{name}_{end}": getattr(score, end) for name, score in found.items() for end in ("low", "high", "deviation")
    }
    worse = {
        f"{name}_p_worse": score.probability_below(-MARGIN)
        for name, score in found.items()
        if name.startswith("difference/")
    }
    return {name: score.mean for name, score in found.items()} | ends | worse


def _means(variants: Sequence[Version]) -> dict[str, float]:
    """Of what has no resamples, size and speed among it."""
    shared = set.intersection(*(set(variant.metrics) for variant in variants))
    return {name: fmean(variant.metrics[name] for variant in variants) for name in sorted(shared)}


def _lines(seeds: Sequence[int], found: Mapping[str, OverSeeds]) -> list[str]:
    head = f"seeds     {', '.join(map(str, seeds))}: mean [95 % interval over pairs and seeds], deviation between seeds"
    lines = [f"{name:<40} {_told(score)}" for name, score in found.items()]
    if (difference := found.get("difference/reference")) is not None:
        worse = difference.probability_below(-MARGIN)
        lines.append(f"worse than the reference by more than {MARGIN:g} with probability {worse:.3f}")
    return [head, *lines]


def _told(score: OverSeeds) -> str:
    each = ", ".join(f"{value:.4f}" for value in score.values)
    return f"{score.mean:.4f} [{score.low:.4f}, {score.high:.4f}], {score.deviation:.4f} ({each})"


def _page(seeds: Sequence[int], made: Sequence[tuple[Version, Version]], found: Mapping[str, OverSeeds]) -> str:
    rows = [
        (
            name,
            f"{score.mean:.4f}",
            f"[{score.low:.4f}, {score.high:.4f}]",
            f"{score.deviation:.4f}",
            *(f"{value:.4f}" for value in score.values),
        )
        for name, score in found.items()
    ]
    models = "\n".join(
        f"- seed {seed}: {variant.uri}, against {reference.uri}"
        for seed, (variant, reference) in zip(seeds, made, strict=True)
    )
    header = ("score", "mean", "95 % interval", "deviation", *(f"seed {seed}" for seed in seeds))
    note = "The intervals hold for other pairs and other seeds: Student's t with Satterthwaite's degrees of freedom."
    return f"# {len(seeds)} seeds\n\n{models}\n\n{table(header, rows)}\n\n{note}\n"


def run_full(
    recipe: Recipe,
    inputs: Inputs | None = None,
    seeds: Sequence[int] = (),
    *,
    force: bool = False,
    keep_intermediate: bool = False,
) -> list[str]:
    """Make one variant, or one a seed, and return the lines that `full` ends with.

    force: makes a variant that is there already once more.  keep_intermediate: logs the models between the steps as well.
    """
    inputs = inputs or load_inputs(recipe)

    from pipelines.flows.summary import summarise
    from pipelines.steps.context import open_context
    from sbert_prune.registry.versions import check_may_register

    silence_libraries()
    with open_context(recipe.device, recipe.precision, force=force, keep=keep_intermediate) as context:
        echo(f"store {without_password(context.store.uri)}; {context.hardware}")
        check_may_register(context.store, recipe.registered_model)
        if seeds:
            name = run_name(recipe, inputs.pruning).removesuffix(f" s{recipe.seed}")
            return run_seeds(context, recipe, inputs, seeds, name, make_variant)
        variant, reference = make_variant(context, recipe, inputs)
        return summarise(context.store, variant, reference)


def make_variant(context: Context, recipe: Recipe, inputs: Inputs) -> tuple[Version, Version]:
    """Open the run of one variant and fill it; returns the variant and its reference."""
    from pipelines.flows.summary import draw_variants
    from pipelines.flows.variant import find_or_build, find_or_build_reference
    from pipelines.steps.context import describe_all
    from pipelines.steps.records import publish
    from sbert_prune.registry import versions as registry

    makes_smaller = inputs.pruning.drops_layers or recipe.vocabulary_limit.trims
    role = VARIANT if makes_smaller else REFERENCE
    with context.under(run_name(recipe, inputs.pruning), {"role": role}, recipe) as (inner, run):
        log_understood(recipe, run, inputs)
        reference = find_or_build_reference(inner, recipe, inputs, anew=context.force and not makes_smaller)
        variant = find_or_build(inner, recipe, inputs, reference) if makes_smaller else reference
        publish(run, variant, inputs)
        try:
            draw_variants(run, registry.versions(context.store, recipe.registered_model, newest=registry.SHOWN))
        except TrackingError as error:  # a picture less: the variant is registered
            echo(f"no picture of all variants: {error}")
    describe_all(context.store, recipe.registered_model)
    return variant, reference


def log_understood(recipe: Recipe, run: Run, inputs: Inputs) -> None:
    """Before anything is trained: how the base's tokenizer fits the texts, and what train shared with dev and test."""
    from pipelines.steps.train import log_fit, measure_text_fit, tokenizer_of

    base = inputs.pruning.base
    length = recipe.max_seq_length
    log_fit(run, measure_text_fit(tokenizer_of(base), inputs.texts.sample(), length))
    kept = recipe.keep_leaks
    run.log_json(
        {
            phase: leaks.as_dict() | {"left_out": 0 if kept else len(leaks.sentence_rows)}
            for phase, leaks in inputs.leaks.items()
        },
        "leaks.json",
    )


def run_name(recipe: Recipe, pruning: PruneInputs) -> str:
    """A run's name for people: "full L6 drop-top v8000 s42", with the phases where they are not the paper's."""
    phases = [] if recipe.phases == ("nli", "sts") else ["+".join(recipe.phases)]
    vocabulary = [f"v{recipe.vocabulary}"] if recipe.vocabulary_limit.trims else []
    return " ".join(["full", f"L{pruning.num_layers}", pruning.strategy, *vocabulary, *phases, f"s{recipe.seed}"])
