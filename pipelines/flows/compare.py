"""The `compare` step: measure several saved models on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import TYPE_CHECKING

from pipelines.console import report_facts
from pipelines.flows.summary import where_report
from pipelines.steps.evaluate import READS, judge, size_and_speed
from pipelines.steps.measures import Measures
from sbert_prune.evaluation.bootstrap import MARGIN, verdict
from sbert_prune.evaluation.comparison import gain
from sbert_prune.registry.version import figures
from sbert_prune.report.comparison import (
    Compared,
    comparison_chart,
    comparison_page,
    comparison_rows,
    difference_rows,
    differences,
)
from sbert_prune.report.html import Report
from sbert_prune.system.table import table_lines

if TYPE_CHECKING:
    from pipelines.inputs.exam import Exam
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe

_SHOWN = ("size/parameters", "size/disk_mb", "speed/latency_p50_ms", "speed/sentences_per_s", "speed/speedup")


def compare(context: Context, recipe: Recipe, sources: Mapping[str, SavedModel], exam: Exam) -> list[str]:
    """Measure each model, log the comparison, and return the lines to print.

    Args:
        context: The command's context.
        recipe: Sets what is measured.
        sources: The models by the names that the user gave; all are compared with the first.
        exam: The data to evaluate on.
    """
    measures = Measures.of(exam, recipe)
    first = next(iter(sources.values()))
    with context.step("compare", {"models": ", ".join(sources)}, recipe, reads=READS) as run:
        models = [
            Compared(
                label,
                name,
                judge(context, recipe, source, measures),
                _shown(size_and_speed(context, recipe, source, first, measures)),
            )
            for label, (name, source) in zip(ascii_uppercase, sources.items(), strict=False)
        ]
        Report(comparison_page(models, "compare.png"), {"compare.png": comparison_chart(models)}).log(run)
        results = [(model, {**model.measured.metrics(), **model.metrics}) for model in models]
        run.describe("\n".join(f"- {model.label}: {model.uri}, {figures(metrics)}" for model, metrics in results))
        rows = [{"model": model.label, "uri": model.uri, **metrics} for model, metrics in results]
        run.log_json(rows, "compare.json")
    report_facts(
        models=rows,
        differences=[
            {"metric": name, "model": label, "p_worse": gain(name, score).probability_below(-MARGIN)}
            | {"value": score.value, "low": score.low, "high": score.high, "verdict": verdict(gain(name, score))}
            for name, by_label in differences(models).items()
            for label, score in by_label.items()
        ],
    )
    return [
        "",
        *(f"  {model.label}: {model.uri}" for model in models),
        *table_lines(("metric", *(model.label for model in models)), comparison_rows(models)),
        *table_lines(("metric", "model", f"less {models[0].label}", "P(worse)", "it is"), difference_rows(models)),
        where_report(context.store, run.run_id),
    ]


def _shown(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in _SHOWN if name in metrics}
