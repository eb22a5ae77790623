"""`sweep`: variants of several depths and strategies, and the curve of quality against size and speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.flows.full import make_variant
from pipelines.flows.summary import where_report
from sbert_prune.errors import SbertPruneError, TrackingError
from sbert_prune.inputs.texts import data_record
from sbert_prune.metrics import STS_DEV, STS_TEST
from sbert_prune.report.curve import CURVE, Point, curve_rows, depth_curve, knee_of
from sbert_prune.report.tables import table
from sbert_prune.system.table import table_lines

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run

_DRAWN = (STS_DEV, STS_TEST, "size/disk_mb", "speed/speedup")


def sweep(context: Context, variants: list[tuple[Recipe, Inputs]]) -> list[str]:
    """Make every variant under one run, and return the lines to print.

    Each selection of layers is made once. A variant that fails is reported, and the others are made.

    Args:
        context: The command's context.
        variants: Recipes with their inputs, the deepest first.

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
        points, failures = _make(inner, variants)
        if not points:
            raise next(iter(failures.values()))
        return [*_publish(run, points, failures), where_report(context.store, run.run_id)]


def _make(context: Context, variants: list[tuple[Recipe, Inputs]]) -> tuple[list[Point], dict[str, SbertPruneError]]:
    """Return the points of the curve, and the errors by variant."""
    points: dict[str, Point] = {}
    failures: dict[str, SbertPruneError] = {}
    for recipe, inputs in variants:
        pruning = inputs.pruning
        name = f"{recipe.strategy} to {pruning.num_layers} layers"
        key = pruning.described
        if key in points:
            point = points[key]
            points[key] = Point(point.num_layers, (*point.strategies, recipe.strategy), point.version)
            echo(f"{name} keeps {key}, as {point.strategies[0]} does: {point.version.uri}")
            continue
        try:
            version, _ = make_variant(context, recipe, inputs)
        except TrackingError:
            raise
        except SbertPruneError as error:
            failures[name] = error
            echo(f"{name} could not be made: {error}")
        else:
            points[key] = Point(pruning.num_layers, (recipe.strategy,), version)
    return list(points.values()), failures


def _publish(run: Run, points: list[Point], failures: dict[str, SbertPruneError]) -> list[str]:
    """Log table, picture and numbers to the run, and return the lines to print."""
    knee = knee_of(points)
    bend = "none: fewer than three points, or a straight line"
    if knee is not None:
        model = f"{knee.num_layers} layers ({', '.join(knee.strategies)}), {knee.version.uri}"
        bend = f"{model}: below it, the dev score falls faster than the size"
        run.set_tags({"knee": knee.version.uri})
    run.describe(f"{len(points)} variants; knee of the curve: {bend}")
    missing = [f"not made  {name}: {error}" for name, error in failures.items()]
    notes = "\n".join(f"- {line}" for line in missing)
    written = table(CURVE, curve_rows(points))
    run.log_text(
        f"# The depth curve\n\n![Quality against size and speed](curve.png)\n\n{written}\n\nKnee: {bend}.\n\n{notes}\n",
        "report.md",
    )
    run.log_figure(depth_curve(points), "curve.png")
    run.log_json([_numbers(point) for point in points], "curve.json")
    for point in points:
        metrics = point.version.metrics
        series = {
            f"curve/{strategy}/{name}": metrics[name]
            for strategy in point.strategies
            for name in _DRAWN
            if name in metrics
        }
        run.log_series([(point.num_layers, series)])
    return ["", *table_lines(CURVE, curve_rows(points)), "", *missing, f"knee      {bend}"]


def _numbers(point: Point) -> dict[str, object]:
    tags = point.version.tags
    return {
        "layers": point.num_layers,
        "strategies": list(point.strategies),
        "kept_layers": tags.get("kept_layers"),
        "model": point.version.uri,
        "metrics": point.version.metrics,
    }
