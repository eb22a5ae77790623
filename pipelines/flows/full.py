"""`full`: one variant from base to registered version, beside its reference; or one for each of several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from pipelines.console import echo, report_facts, silence_libraries
from pipelines.flows.next_step import Advice, advise
from pipelines.flows.outlook import expect_variants
from pipelines.flows.summary import facts_of, summarise
from pipelines.flows.variant import find_or_build, find_or_build_reference, is_smaller
from pipelines.inputs.base import PruneInputs, find_model
from pipelines.inputs.load import Inputs, load_inputs
from pipelines.steps.context import describe_all, open_context
from pipelines.steps.evaluate import judge
from pipelines.steps.measures import Measures
from pipelines.steps.records import publish
from pipelines.steps.rivals import judge_rivals, judge_version
from pipelines.steps.train import log_fit, measure_text_fit
from sbert_prune.errors import TrackingError
from sbert_prune.evaluation.bootstrap import MARGIN, OverSeeds, over_seeds
from sbert_prune.evaluation.comparison import Judgement
from sbert_prune.inputs.texts import data_record
from sbert_prune.metrics import RETENTION, STS_TEST
from sbert_prune.models.tokenizer import load_tokenizer
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import REFERENCE, VARIANT, figures
from sbert_prune.report.charts import scatter
from sbert_prune.report.comparison import worth_pruning
from sbert_prune.report.curve import CURVE, point_of
from sbert_prune.report.html import Report
from sbert_prune.report.tables import table
from sbert_prune.system.table import aligned
from sbert_prune.tracking.secrets import masked_uri

if TYPE_CHECKING:
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run


def run_full(
    recipe: Recipe,
    inputs: Inputs | None = None,
    seeds: Sequence[int] = (),
    rivals: Mapping[str, SavedModel] | None = None,
    *,
    force: bool = False,
    keep_intermediate: bool = False,
) -> list[str]:
    """Make one variant, or one for each seed, and return the lines that `full` ends with.

    Args:
        recipe: The recipe.
        inputs: The base and the data; loaded if they are left out.
        seeds: Seeds that replace the recipe's.
        rivals: Models that the variant is compared with, by the names that the user gave.
        force: Whether a variant that exists is made again.
        keep_intermediate: Whether the models between the steps are logged as well.
    """
    inputs = inputs or load_inputs(recipe)
    silence_libraries()
    with open_context(recipe, force=force, keep_intermediate=keep_intermediate) as context:
        echo(f"store {masked_uri(context.store.uri)}; {context.hardware}")
        registry.check_may_register(context.store, recipe.registered_model)
        expect_variants(context, [(seeded, inputs) for seeded in map(recipe.with_seed, seeds)] or [(recipe, inputs)])
        if seeds:
            return run_seeds(context, recipe, inputs, seeds, rivals)
        made = make_variant(context, recipe, inputs, rivals)
        return [*summarise(context.store, made.variant, made.reference), *made.advice.lines()]


class Made(NamedTuple):
    """A variant that was made or found, its reference (itself where nothing was removed), and what to do with it."""

    variant: Version
    reference: Version
    advice: Advice


def make_variant(
    context: Context, recipe: Recipe, inputs: Inputs, rivals: Mapping[str, SavedModel] | None = None
) -> Made:
    """Make one variant under a run of its own, which gets the report; rivals are judged before anything is trained."""
    smaller = is_smaller(recipe, inputs)
    role = VARIANT if smaller else REFERENCE
    with context.under(run_name(recipe, inputs.pruning), {"role": role}, recipe) as (inner, run):
        log_data_checks(recipe, run, inputs)
        judged = judge_rivals(inner, recipe, inputs, rivals or {})
        reference = find_or_build_reference(inner, recipe, inputs, anew=context.force and not smaller)
        variant, report = find_or_build(inner, recipe, inputs, reference) if smaller else (reference, None)
        publish(run, variant, inputs)
        advice = advise(context.store, recipe, variant, reference)
        pictures = {}
        try:
            if judged:
                own = judge_version(inner, recipe, variant, inputs.exam)
                advice = replace(advice, rivals=worth_pruning(own, judged))
            known = registry.versions(context.store, recipe.registered_model, newest=registry.SHOWN)
            pictures["variants"] = scatter([*known, *(rival.version for rival in judged)])
        except TrackingError as error:  # only a part of the report is missing: the variant is registered
            echo(f"no comparison with rivals, no picture of all variants: {error}")
        shown = (variant, *([reference] if smaller else []), *(rival.version for rival in judged))
        rows = table(CURVE, [point_of(version).row() for version in shown])
        report = report or Report(f"# {run_name(recipe, inputs.pruning)}\n")
        report.led_by(advice.sentence(), advice.rivals, rows, **pictures).log(run)
    describe_all(context.store, recipe.registered_model)
    return Made(variant, reference, advice)


def log_data_checks(recipe: Recipe, run: Run, inputs: Inputs) -> None:
    """Log how well the base's tokenizer fits the texts, and the rows that train shares with dev and test."""
    base = inputs.pruning.base
    log_fit(run, measure_text_fit(load_tokenizer(base.folder), inputs.texts.sample(), recipe.max_seq_length))
    leaks_by_phase = {
        phase: leaks.as_dict() | {"left_out": 0 if recipe.keep_leaks else len(leaks.sentence_rows)}
        for phase, leaks in inputs.leaks.items()
    }
    run.log_json(leaks_by_phase, "leaks.json")


def run_name(recipe: Recipe, pruning: PruneInputs) -> str:
    """Return the name of a run: "full L6 drop-top v8000 s42", with the phases if they are not the paper's."""
    phases = [] if recipe.phases == ("nli", "sts") else ["+".join(recipe.phases)]
    vocabulary = [f"v{recipe.vocabulary}"] if recipe.vocabulary_limit.trims else []
    return " ".join(["full", f"L{pruning.num_layers}", pruning.strategy, *vocabulary, *phases, f"s{recipe.seed}"])


def run_seeds(
    context: Context, recipe: Recipe, inputs: Inputs, seeds: Sequence[int], rivals: Mapping[str, SavedModel] | None
) -> list[str]:
    """Make a variant and a reference for each seed, summarise them on a parent run, and return the lines to print."""
    listed = ",".join(map(str, seeds))
    name = run_name(recipe, inputs.pruning).removesuffix(f" s{recipe.seed}")
    tags = {"seed": listed, "seeds": listed, "role": "seeds"}
    with context.under(f"{name} seeds {listed}", tags, recipe) as (inner, run):
        recipes = [recipe.with_seed(seed) for seed in seeds]
        made = [make_variant(inner, seeded, inputs, rivals) for seeded in recipes]
        variants = [variant for variant, _, _ in made]
        judgements = [
            _judge_again(inner, seeded, inputs, variant, reference)
            for seeded, (variant, reference, _) in zip(recipes, made, strict=True)
        ]
        scores = _over_seeds(judgements)
        run.log_metrics(_means(variants) | _metrics(scores))
        for use, rows in inputs.splits.items():
            run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
        Report(_page(seeds, made, scores)).log(run)
        run.describe(f"{len(seeds)} seeds, each with a reference; means: {figures(_means(variants))}")
    report_facts(
        seeds=[
            {"seed": seed, "variant": facts_of(variant), "reference": facts_of(reference)}
            for seed, (variant, reference, _) in zip(seeds, made, strict=True)
        ],
        scores={
            name: {"mean": score.mean, "low": score.low, "high": score.high, "deviation": score.deviation}
            for name, score in scores.items()
        },
        run_id=run.run_id,
    )
    models = [f"model     seed {seed}: {variant.uri}" for seed, variant in zip(seeds, variants, strict=True)]
    return ["", *_lines(seeds, scores), *models]


def _judge_again(context: Context, recipe: Recipe, inputs: Inputs, variant: Version, reference: Version) -> Judgement:
    """Return the scores of one seed with their resamples, from embeddings in the cache."""
    measures = Measures.of(inputs.exam, recipe).of_pairs()
    own = judge(context, recipe, find_model(variant.uri), measures)
    if reference.uri == variant.uri:
        return Judgement(own, {})
    return Judgement(own, {"reference": judge(context, recipe, find_model(reference.uri), measures)})


def _over_seeds(judgements: Sequence[Judgement]) -> dict[str, OverSeeds]:
    """Return each score, the retention, and the difference to the reference, over all seeds."""
    scores = {
        name: over_seeds([judgement.measured.scores[name] for judgement in judgements])
        for name in judgements[0].measured.scores
    }
    retentions = [retention for judgement in judgements if (retention := judgement.retention()) is not None]
    if len(retentions) == len(judgements):
        scores[RETENTION] = over_seeds(retentions)
        differences = [judgement.differences("reference")[STS_TEST] for judgement in judgements]
        scores["difference/reference"] = over_seeds(differences)
    return scores


def _metrics(scores: Mapping[str, OverSeeds]) -> dict[str, float]:
    means = {name: score.mean for name, score in scores.items()}
    ends = {
        f"{name}_{end}": getattr(score, end) for name, score in scores.items() for end in ("low", "high", "deviation")
    }
    worse = {
        f"{name}_p_worse": score.probability_below(-MARGIN)
        for name, score in scores.items()
        if name.startswith("difference/")
    }
    return means | ends | worse


def _means(variants: Sequence[Version]) -> dict[str, float]:
    """Return the means of the metrics that all variants have, including those without an interval, such as speed."""
    shared = set.intersection(*(set(variant.metrics) for variant in variants))
    return {name: fmean(variant.metrics[name] for variant in variants) for name in sorted(shared)}


def _lines(seeds: Sequence[int], scores: Mapping[str, OverSeeds]) -> list[str]:
    listed = ", ".join(map(str, seeds))
    head = f"seeds     {listed}: mean [95 % interval over pairs and seeds], deviation between seeds"
    lines = aligned((name, _score_text(score)) for name, score in scores.items())
    if (difference := scores.get("difference/reference")) is not None:
        worse = difference.probability_below(-MARGIN)
        lines.append(f"worse than the reference by more than {MARGIN:g} with probability {worse:.3f}")
    return [head, *lines]


def _score_text(score: OverSeeds) -> str:
    values = ", ".join(f"{value:.4f}" for value in score.values)
    return f"{score.mean:.4f} [{score.low:.4f}, {score.high:.4f}], {score.deviation:.4f} ({values})"


def _page(seeds: Sequence[int], made: Sequence[Made], scores: Mapping[str, OverSeeds]) -> str:
    """Return the report in Markdown: the variants with their references, and a table of the scores."""
    rows = [
        (
            name,
            f"{score.mean:.4f}",
            f"[{score.low:.4f}, {score.high:.4f}]",
            f"{score.deviation:.4f}",
            *(f"{value:.4f}" for value in score.values),
        )
        for name, score in scores.items()
    ]
    models = "\n".join(
        f"- seed {seed}: {variant.uri}, against {reference.uri}. {advice.sentence()}"
        for seed, (variant, reference, advice) in zip(seeds, made, strict=True)
    )
    header = ("score", "mean", "95 % interval", "deviation", *(f"seed {seed}" for seed in seeds))
    note = "The intervals hold for other pairs and other seeds: Student's t with Satterthwaite's degrees of freedom."
    return f"# {len(seeds)} seeds\n\n{_lines(seeds, scores)[-1]}\n\n{table(header, rows)}\n\n{note}\n\n{models}\n"
