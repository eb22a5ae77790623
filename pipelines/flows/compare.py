"""The step that compares several saved models."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import TYPE_CHECKING

from pipelines.flows.summary import where_report
from pipelines.steps.evaluate import READS, judge
from pipelines.steps.measures import Measures
from pipelines.steps.records import as_sentence_model, size_metrics
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.report.comparison import Compared, comparison_chart, comparison_page, comparison_rows, difference_rows
from sbert_prune.report.tables import table_lines

if TYPE_CHECKING:
    from pipelines.inputs.exam import Exam
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe

_SHOWN = ("size/parameters", "size/disk_mb", "speed/latency_p50_ms", "speed/sentences_per_s", "speed/speedup")


def compare(context: Context, recipe: Recipe, sources: Mapping[str, SavedModel], exam: Exam) -> list[str]:
    """Measure each model, log the comparison, and return it in lines for people. Speed-ups are over the first.

    sources: by the names that people gave them.
    """
    measures = Measures.of(exam, recipe)
    first = next(iter(sources.values()))
    with context.step("compare", {"models": ", ".join(sources)}, recipe, reads=READS) as run:
        models = [
            Compared(
                label,
                name,
                judge(context, recipe, source, measures),
                _size_and_speed(context, recipe, source, first, measures),
            )
            for label, (name, source) in zip(ascii_uppercase, sources.items(), strict=False)
        ]
        run.log_figure(comparison_chart(models), "compare.png")
        run.log_text(comparison_page(models, "compare.png"), "report.md")
        run.log_json(
            [{"model": model.label, "uri": model.uri, **model.measured.metrics(), **model.metrics} for model in models],
            "compare.json",
        )
    return [
        "",
        *(f"  {model.label}: {model.uri}" for model in models),
        *table_lines(("metric", *(model.label for model in models)), comparison_rows(models)),
        *table_lines(("metric", "model", f"less {models[0].label}", "P(worse)", "it is"), difference_rows(models)),
        where_report(context.store, run.run_id),
    ]


def _size_and_speed(
    context: Context, recipe: Recipe, source: SavedModel, first: SavedModel, measures: Measures
) -> dict[str, float]:
    device = context.hardware.device
    model, base = (as_sentence_model(each, recipe).to(device) for each in (source, first))
    base.max_seq_length = min(base.max_seq_length, model.max_seq_length)
    found = (
        size_metrics(model, source)
        | measure_speed(model, None if source is first else base, measures.sentences).metrics()
    )
    return {metric: found[metric] for metric in _SHOWN if metric in found}
