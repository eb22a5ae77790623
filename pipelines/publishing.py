"""What the run above the steps repeats of them, so that runs compare without opening children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.steps.records import data_record

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run

_SHOWN = ("base", "kept_layers", "depth", "num_layers", "strategy", "vocabulary", "seed", "role")


def publish(run: Run, version: Version, inputs: Inputs) -> None:
    """Repeat what was chosen, read, made and measured."""
    run.set_tags({key: version.tags[key] for key in _SHOWN if key in version.tags} | {"model": version.uri})
    run.log_params({"kept_layers": version.tags["kept_layers"]})
    for use, rows in inputs.splits.items():
        run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
    run.log_output(version.tags["model_id"])
    run.log_metrics(version.metrics)
