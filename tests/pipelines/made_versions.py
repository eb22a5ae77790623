"""Versions for tests, in a real registry, with made-up scores and the dev pairs that give these scores."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from scipy.stats import spearmanr

from pipelines.__main__ import main
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.evaluation.efficiency.timing import conditions_on
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import Version
from sbert_prune.tracking.logged_models import add_file
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import connect

NAME = "m"
PAIRS = 300
GOLD = np.random.default_rng(0).random(PAIRS)


def add_version(
    *, noise: float, size: float, role: str = "variant", recipe: str = "r", with_pairs: bool = True, **metrics: float
) -> str:
    """Register a version and return its number.

    Args:
        noise: Standard deviation of the noise that its cosines add to the gold scores.
        size: Megabytes on disk.
        role: Of the version.
        recipe: Names its reference and its pairs.
        with_pairs: Whether to store its dev pairs.
        metrics: Further metrics.
    """
    store = connect()
    cosines = GOLD + noise * np.random.default_rng(round(noise * 1000)).standard_normal(PAIRS)
    with open_run(store, "made by hand", {}) as run:
        logged = store.client.create_logged_model("0", "x", run.run_id).model_id
        if with_pairs:
            add_file(store, logged, FILE_NAME, DevPairs(f"dev of {recipe}", GOLD, cosines).to_json())
        with TemporaryDirectory() as folder:
            (Path(folder) / "model.sentence_transformer").mkdir()
            (Path(folder) / "model.sentence_transformer" / "model.safetensors").write_bytes(b"weights")
            store.client.log_model_artifacts(logged, folder)
        store.client.finalize_logged_model(logged, "READY")
        tags = {
            "role": role,
            "reference_key": recipe,
            "model_id": logged,
            "kept_layers": "0,1",
            "num_layers": "2",
            "depth": "12",
        }
        tags |= conditions_on(torch.device("cpu")).tags
        tags |= {"sts_dev_digest": f"dev of {recipe}", "sts_test_digest": f"test of {recipe}"}
        measured = {
            "sts_dev/spearman_cosine": float(spearmanr(cosines, GOLD)[0]),
            "size/disk_mb": size,
            "speed/latency_p50_ms": size / 10,
            "quality/retention": 1 - noise,
            "roundtrip/max_abs_diff": 0.0,
        }
        final = {name: float(value) for name, value in (measured | metrics).items() if not np.isnan(value)}
        return registry.register(store, Version(NAME, "", run.run_id, "None", tags, final), logged).version


def call(*arguments: str) -> Result:
    """Run a command on the registered model."""
    return CliRunner().invoke(main, [arguments[0], "--registered-model", NAME, *arguments[1:]])


def done(*arguments: str) -> str:
    """Run a command that must succeed, and return its output."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def stages(uri: str) -> dict[str, str]:
    """Return the stage of each version."""
    return {
        str(version.version): version.current_stage
        for version in MlflowClient(uri).search_model_versions(f"name='{NAME}'")
    }


def aliases(uri: str) -> dict[str, str]:
    """Return the version that each alias names."""
    return {alias: str(number) for alias, number in MlflowClient(uri).get_registered_model(NAME).aliases.items()}
