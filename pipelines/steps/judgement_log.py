"""What judging leaves in its run besides metrics: the report, the numbers behind it, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipelines.steps.records import logged_id
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.evaluation.diagnostics import of_broken_embeddings
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.report.charts import label_of, speed_chart
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

REPORT = "report.md"


@dataclass(frozen=True)
class Efficiency:
    """What was measured on the model itself. base_layers: of the base, None where there is none.  split: that layers were efficiency at on."""

    speed: Speed
    flops: Flops
    layers: Anatomy
    base_layers: Anatomy | None
    split: str

    def metrics(self) -> dict[str, float]:
        """By their names in MLflow."""
        return self.speed.metrics() | self.flops.metrics()


@dataclass(frozen=True)
class Verdict:
    """What judging a model comes to.

    metrics: those that runs and versions are compared by.  run_id: of the run that judged.
    dev_pairs: what the model says of each, as text; None where there are none.
    """

    source: SavedModel
    judgement: Judgement
    efficiency: Efficiency
    signatures: tuple[Diagnostic, ...]
    metrics: dict[str, float]
    run_id: str
    dev_pairs: str | None

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """By their names as artifacts; drawn once, for each of the runs that shows them."""
        efficiency, lineage = self.efficiency, lineage_of(self.source)
        layers = layers_chart(efficiency.layers, _base_layers(efficiency, lineage), lineage.selection, efficiency.split)
        figures = {"speed.png": speed_chart(efficiency.speed, efficiency.flops), "layers.png": layers}
        return {name: render(figure, name) for name, figure in figures.items()}


def _base_layers(efficiency: Efficiency, lineage: Lineage) -> Anatomy | None:
    """Those of the base, where the model's kept layers are indices of it."""
    return (
        efficiency.base_layers
        if efficiency.base_layers and efficiency.base_layers.depth == lineage.base.depth
        else None
    )


def log_judgement(run: Run, verdict: Verdict, metrics: Mapping[str, float]) -> None:
    """Log the report with its pictures, and everything as JSON. metrics: of size, speed and memory, among others."""
    source, judgement, efficiency = verdict.source, verdict.judgement, verdict.efficiency
    lineage = lineage_of(source)
    base = _base_layers(efficiency, lineage)
    for name, picture in verdict.pictures.items():
        run.log_bytes(picture, name)
    run.log_json(
        judgement.as_dict() | {"signatures": [asdict(signature) for signature in verdict.signatures]}, "judgement.json"
    )
    run.log_json({"model": efficiency.layers.as_dict(), "base": base.as_dict() if base else None}, "layers.json")
    run.log_json([asdict(cell) for cell in efficiency.speed.table], "speed.json")
    page = Page(
        title=_title(source),
        facts=_facts(source, efficiency),
        judgement=judgement,
        metrics={
            name: value
            for name, value in metrics.items()
            if name.startswith(("size/", "speed/", "memory/", "roundtrip/"))
        },
        signatures=verdict.signatures,
        more=(_cells(efficiency), _layers(efficiency, lineage.selection.kept)),
        pictures={"speed.png": "Speed beside the base", "layers.png": "Layers beside the base's"},
    )
    run.log_text(page.text(), REPORT)


def copy_judgement(store: Store, run_id: str, run: Run) -> None:
    """Log once more what an earlier run has left by `log_judgement`; what is no longer there stays away."""
    for name in (REPORT, "judgement.json", "layers.json", "speed.json", "speed.png", "layers.png"):
        content = read_artifact(store, run_id, name)
        if content is not None:
            run.log_bytes(content, name)


def _layers(efficiency: Efficiency, kept: Sequence[int]) -> Table:
    note = f"On {efficiency.layers.num_pairs} pairs of {efficiency.split}. Behind a layer means: what the model cut there would give."
    return Table("What each layer does", HEADING, layer_rows(efficiency.layers, kept), note)


def log_ruin(run: Run, source: SavedModel, error: RoundTripError) -> None:
    """The report of a model whose embeddings cannot be judged."""
    run.log_text(f"# {_title(source)}\n\n## What stands out\n\n- {of_broken_embeddings(error)}\n", REPORT)


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


def _cells(efficiency: Efficiency) -> Table:
    rows = [
        (
            label_of(cell),
            f"{cell.sentences_per_s:,.0f}",
            "-" if cell.base_sentences_per_s is None else f"{cell.base_sentences_per_s:,.0f}",
            "-"
            if cell.speedup is None
            else f"{cell.speedup.value:.2f}x [{cell.speedup.low:.2f}, {cell.speedup.high:.2f}]",
        )
        for cell in efficiency.speed.table
    ]
    note = (
        f"Left out, as they would take too long: {'; '.join(efficiency.speed.left_out)}."
        if efficiency.speed.left_out
        else ""
    )
    return Table("Speed by length and batch size", ("texts", "sentences/s", "base's", "speed-up"), rows, note)


_ROUNDING = 1e-4  # of a cosine: batches that are put together otherwise change the fifth digit


def keep_beside(store: Store, source: SavedModel, dev_pairs: str) -> None:
    """A model that is logged already keeps what it says of the dev pairs; another one gets it when it is registered.

    What it says of other pairs stays: a version may have been registered by them. So does what differs by rounding alone: a seal is on it.
    """
    model_id = logged_id(source)
    if model_id is None:
        return
    kept = read_file(store, model_id, FILE_NAME)
    before, now = DevPairs.parse(kept) if kept is not None else None, DevPairs.parse(dev_pairs)
    if before is None or now is None or (before.digest == now.digest and not _same(before, now)):
        add_file(store, model_id, FILE_NAME, dev_pairs)


def _same(before: DevPairs, now: DevPairs) -> bool:
    return before.cosines.shape == now.cosines.shape and bool(
        np.allclose(before.cosines, now.cosines, rtol=0, atol=_ROUNDING)
    )
