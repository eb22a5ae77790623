"""The artifacts of an evaluation: the report, its numbers as JSON, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipelines.steps.records import logged_id
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.evaluation.diagnostics import diagnose_broken_embeddings
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.report.charts import label_of, speed_chart
from sbert_prune.report.html import REPORT, Report
from sbert_prune.report.layers import HEADING, layer_rows, layers_chart
from sbert_prune.report.page import Page, Table
from sbert_prune.tracking.logged_models import add_file, read_file
from sbert_prune.tracking.runs import render
from sbert_prune.tracking.store import read_artifact

if TYPE_CHECKING:
    from sbert_prune.errors import RoundTripError
    from sbert_prune.evaluation.comparison import Judgement
    from sbert_prune.evaluation.diagnostics import Diagnostic
    from sbert_prune.evaluation.efficiency.flops import Flops
    from sbert_prune.evaluation.efficiency.speed import Speed
    from sbert_prune.layer_analysis.anatomy import Anatomy
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.tracking.runs import Run
    from sbert_prune.tracking.store import Store


@dataclass(frozen=True)
class Efficiency:
    """Speed, FLOPs and layers of a model.

    Attributes:
        speed: Speed, beside the base's.
        flops: Floating-point operations, beside the base's.
        layers: What each layer does.
        base_layers: The same for the base; None without one.
        split: The split on which layers were inspected.
    """

    speed: Speed
    flops: Flops
    layers: Anatomy
    base_layers: Anatomy | None
    split: str

    def metrics(self) -> dict[str, float]:
        """Return the metrics by their names in MLflow."""
        return self.speed.metrics() | self.flops.metrics()


@dataclass(frozen=True)
class Verdict:
    """The result of an evaluation.

    Attributes:
        source: The model.
        judgement: Its scores and those of its rivals.
        efficiency: Its speed, FLOPs and layers.
        diagnostics: What stands out in the results.
        metrics: Those that runs and versions are compared by.
        run_id: The run of the evaluation.
        dev_pairs: The model's score of each dev pair, as text; None without dev pairs.
    """

    source: SavedModel
    judgement: Judgement
    efficiency: Efficiency
    diagnostics: tuple[Diagnostic, ...]
    metrics: dict[str, float]
    run_id: str
    dev_pairs: str | None

    @property
    def conditions(self) -> dict[str, str]:
        """The conditions of its absolute times, as tags."""
        return self.efficiency.speed.conditions.tags

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """The pictures by file name, drawn once for all runs that log them."""
        efficiency, lineage = self.efficiency, lineage_of(self.source)
        layers = layers_chart(efficiency.layers, _base_layers(efficiency, lineage), lineage.selection, efficiency.split)
        figures = {"speed.png": speed_chart(efficiency.speed, efficiency.flops), "layers.png": layers}
        return {name: render(figure, name) for name, figure in figures.items()}


def _base_layers(efficiency: Efficiency, lineage: Lineage) -> Anatomy | None:
    """Return the base's layers if the model's kept layers are indices into them."""
    layers = efficiency.base_layers
    return layers if layers and layers.depth == lineage.base.depth else None


def log_numbers(run: Run, verdict: Verdict) -> None:
    """Log the numbers of a result as JSON."""
    judgement, efficiency = verdict.judgement, verdict.efficiency
    base = _base_layers(efficiency, lineage_of(verdict.source))
    run.log_json(
        judgement.as_dict() | {"signatures": [asdict(diagnostic) for diagnostic in verdict.diagnostics]},
        "judgement.json",
    )
    run.log_json({"model": efficiency.layers.as_dict(), "base": base.as_dict() if base else None}, "layers.json")
    run.log_json([asdict(cell) for cell in efficiency.speed.table], "speed.json")


def report_of(verdict: Verdict, metrics: Mapping[str, float], next_step: str = "") -> Report:
    """Return the report of a result.

    Args:
        verdict: The result.
        metrics: The logged metrics; those of size, speed and memory are shown.
        next_step: What to do with the model, if that is known.
    """
    source, efficiency = verdict.source, verdict.efficiency
    page = Page(
        title=_title(source),
        facts=_facts(source, efficiency),
        judgement=verdict.judgement,
        next_step=next_step,
        metrics={
            name: value
            for name, value in metrics.items()
            if name.startswith(("size/", "speed/", "memory/", "roundtrip/"))
        },
        diagnostics=verdict.diagnostics,
        more=(_speed_table(efficiency), _layers_table(efficiency, lineage_of(source).selection.kept)),
        pictures={"speed.png": "Speed beside the base", "layers.png": "Layers beside the base's"},
    )
    return Report(page.text(), verdict.pictures)


def copy_judgement(store: Store, run_id: str, run: Run) -> Report | None:
    """Log the numbers of an earlier evaluation again, and return its report; files that are gone are left out."""
    files = {name: read_artifact(store, run_id, name) for name in (REPORT, *_NUMBERS, *_PICTURES)}
    for name in _NUMBERS:
        if (content := files[name]) is not None:
            run.log_bytes(content, name)
    pictures = {name: content for name in _PICTURES if (content := files[name]) is not None}
    return Report(text.decode(), pictures) if (text := files[REPORT]) is not None else None


_NUMBERS, _PICTURES = ("judgement.json", "layers.json", "speed.json"), ("speed.png", "layers.png")


def _layers_table(efficiency: Efficiency, kept: Sequence[int]) -> Table:
    note = (
        f"On {efficiency.layers.num_pairs} pairs of {efficiency.split}. "
        "Behind a layer means: what the model cut there would give."
    )
    return Table("What each layer does", HEADING, layer_rows(efficiency.layers, kept), note)


def log_broken_embeddings(run: Run, source: SavedModel, error: RoundTripError) -> None:
    """Log a report for a model whose embeddings cannot be evaluated."""
    Report(f"# {_title(source)}\n\n## What stands out\n\n- {diagnose_broken_embeddings(error)}\n").log(run)


def _title(source: SavedModel) -> str:
    lineage = lineage_of(source)
    return f"Layers {lineage.selection} of {lineage.base.id}"


def _facts(source: SavedModel, efficiency: Efficiency) -> dict[str, str]:
    lineage = lineage_of(source)
    revision = f"@{lineage.base.revision}" if lineage.base.revision else ""
    return {
        "base": f"{lineage.base.id}{revision}",
        "layers": f"{lineage.selection} of {lineage.base.depth} ({lineage.strategy})",
        "weights": f"SHA-256 {source.checkpoint.sha256()[:16]}",
        "measured on": str(efficiency.speed.conditions),
    }


def _speed_table(efficiency: Efficiency) -> Table:
    rows = []
    for cell in efficiency.speed.table:
        base, ratio = cell.base_sentences_per_s, cell.speedup
        speedup = "-" if ratio is None else f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"
        rows.append((label_of(cell), f"{cell.sentences_per_s:,.0f}", "-" if base is None else f"{base:,.0f}", speedup))
    left_out = "; ".join(efficiency.speed.left_out)
    note = f"Left out, as they would take too long: {left_out}." if left_out else ""
    return Table("Speed by length and batch size", ("texts", "sentences/s", "base's", "speed-up"), rows, note)


_ROUNDING = 1e-4  # of a cosine: other batches change the fifth digit


def store_dev_pairs(store: Store, source: SavedModel, dev_pairs: str) -> None:
    """Store the scores of the dev pairs beside a model that is logged already; others get them at registration.

    Scores of other pairs are not replaced: a version may have been registered with them. Nor are scores that differ
    only by rounding: the version has their checksum.
    """
    model_id = logged_id(source)
    if model_id is None:
        return
    stored = read_file(store, model_id, FILE_NAME)
    before = DevPairs.parse(stored) if stored is not None else None
    now = DevPairs.parse(dev_pairs)
    if before is None or now is None or (before.digest == now.digest and not _equal(before, now)):
        add_file(store, model_id, FILE_NAME, dev_pairs)


def _equal(before: DevPairs, now: DevPairs) -> bool:
    return before.cosines.shape == now.cosines.shape and bool(
        np.allclose(before.cosines, now.cosines, rtol=0, atol=_ROUNDING)
    )
