"""`sweep`: variants of several depths and strategies, and the curve of quality against size and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.flows.full import make_variant
from pipelines.flows.outlook import expect_variants
from pipelines.flows.summary import where_report
from pipelines.progress import outlook
from pipelines.steps.keys import variant_key
from pipelines.steps.rivals import judge_rivals, judge_version
from sbert_prune.errors import SbertPruneError, TrackingError
from sbert_prune.inputs.texts import data_record
from sbert_prune.metrics import SIZE, SPEEDUP, STS_DEV, STS_TEST
from sbert_prune.report.comparison import worth_pruning
from sbert_prune.report.curve import CURVE, Point, curve_rows, depth_curve, knee_of, point_of
from sbert_prune.report.html import Report
from sbert_prune.report.tables import table
from sbert_prune.system.table import table_lines

if TYPE_CHECKING:
    from pipelines.flows.next_step import Advice
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run

_DRAWN = (STS_DEV, STS_TEST, SIZE, SPEEDUP)


def sweep(
    context: Context, variants: list[tuple[Recipe, Inputs]], rivals: Mapping[str, SavedModel] | None = None
) -> list[str]:
    """Make every variant under one run, and return the lines to print.

    Each selection of layers is made once. A variant that fails is reported, and the others are made.

    Args:
        context: The command's context.
        variants: Recipes with their inputs, the deepest first.
        rivals: Models that the variants are compared with, by the names that the user gave.

    Raises:
        SbertPruneError: All variants failed; the error is that of the first.
    """
    depths = list(dict.fromkeys(inputs.pruning.num_layers for _, inputs in variants))
    strategies = list(dict.fromkeys(recipe.strategy for recipe, _ in variants))
    recipe, first = variants[0]
    listed = {"depths": ",".join(map(str, depths)), "strategies": ",".join(strategies)}
    name = f"sweep L{listed['depths']} {listed['strategies']} s{recipe.seed}"
    with context.under(name, {"step": "sweep", "role": "sweep", **listed}, recipe) as (inner, run):
        for use, rows in first.splits.items():
            run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
        judged = judge_rivals(inner, recipe, first, rivals or {})
        points, advice, failures = _make(inner, variants)
        if not points:
            raise next(iter(failures.values()))
        smallest = smallest_good(points, advice)
        lead = _lead(smallest, advice)
        if judged:
            point = smallest or max(points, key=lambda point: point.version.metrics.get(STS_DEV, -1.0))
            own = judge_version(inner, recipe, point.version, first.exam)
            lead = f"{lead} {worth_pruning(own, judged)}"
        points += [point_of(rival.version) for rival in judged]
        return [*_publish(run, points, failures, lead), where_report(context.store, run.run_id)]


def _make(
    context: Context, variants: list[tuple[Recipe, Inputs]]
) -> tuple[list[Point], dict[str, Advice], dict[str, SbertPruneError]]:
    """Return the points of the curve, what to do with each version by its URI, and the errors by variant."""
    expect_variants(context, variants)
    points: dict[str, Point] = {}
    advice: dict[str, Advice] = {}
    failures: dict[str, SbertPruneError] = {}
    for recipe, inputs in variants:
        pruning = inputs.pruning
        name = f"{recipe.strategy} to {pruning.num_layers} layers"
        key = pruning.described
        if key in points:
            point = points[key]
            outlook().drop(variant_key(recipe, context.hardware, inputs))
            points[key] = Point(point.num_layers, (*point.strategies, recipe.strategy), point.version)
            echo(f"{name} keeps {key}, as {point.strategies[0]} does: {point.version.uri}")
            continue
        try:
            made = make_variant(context, recipe, inputs)
        except TrackingError:
            raise
        except SbertPruneError as error:
            failures[name] = error
            echo(f"{name} could not be made: {error}")
        else:
            points[key] = Point(pruning.num_layers, (recipe.strategy,), made.variant)
            advice[made.variant.uri] = made.advice
        finally:
            outlook().drop(variant_key(recipe, context.hardware, inputs))
    return list(points.values()), advice, failures


def smallest_good(points: Sequence[Point], advice: Mapping[str, Advice]) -> Point | None:
    """Return the smallest variant that is as good as its reference by the default policy; None without one."""
    good = [point for point in points if not point.version.is_reference and advice[point.version.uri].is_good]
    return min(good, key=lambda point: (point.version.metrics[SIZE], -point.version.metrics[STS_DEV]), default=None)


def _lead(smallest: Point | None, advice: Mapping[str, Advice]) -> str:
    """Return the smallest depth that the default policy promotes, and what to do."""
    if smallest is not None:
        depth, uri = f"{smallest.num_layers} layers ({', '.join(smallest.strategies)})", smallest.version.uri
        return f"The smallest that is as good as the reference: {depth}, {uri}. {advice[uri].sentence()}"
    better = next((f" Try: `{one.command}`" for one in advice.values() if one.refused and one.command), "")
    return f"No depth of this sweep is certain to be as good as the reference, by the default policy.{better}"


def _publish(run: Run, points: list[Point], failures: dict[str, SbertPruneError], lead: str) -> list[str]:
    """Log table, picture and numbers to the run, and return the lines to print."""
    knee = knee_of(points)
    bend = "none: fewer than three points, or a straight line"
    if knee is not None:
        model = f"{knee.num_layers} layers ({', '.join(knee.strategies)}), {knee.version.uri}"
        bend = f"{model}: below it, the dev score falls faster than the size"
        run.set_tags({"knee": knee.version.uri})
    run.describe(f"{len(points)} variants; knee of the curve: {bend}")
    missing = [f"not made  {name}: {error}" for name, error in failures.items()]
    rows = curve_rows(points)
    lines = "\n".join(f"- {line}" for line in (f"Knee: {bend}.", *missing))
    Report(f"# The depth curve\n\n{lines}\n").led_by(lead, table(CURVE, rows), curve=depth_curve(points)).log(run)
    run.log_json([_numbers(point) for point in points], "curve.json")
    for point in points:
        if point.version.is_rival:
            continue  # its name may not be one of a metric
        metrics = point.version.metrics
        series = {
            f"curve/{strategy}/{name}": metrics[name]
            for strategy in point.strategies
            for name in _DRAWN
            if name in metrics
        }
        run.log_series([(point.num_layers, series)])
    return ["", *table_lines(CURVE, rows), "", *missing, f"knee      {bend}", f"verdict   {lead}"]


def _numbers(point: Point) -> dict[str, object]:
    tags = point.version.tags
    return {
        "layers": point.num_layers,
        "strategies": list(point.strategies),
        "kept_layers": tags.get("kept_layers"),
        "model": point.version.uri,
        "metrics": point.version.metrics,
    }
