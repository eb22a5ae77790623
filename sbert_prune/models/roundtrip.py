"""The round trip: a saved model is loaded in a new process, and its embeddings are compared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_prune.errors import RoundTripError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import PROBES, check_embeddings, embed
from sbert_prune.system.memory import peak_memory_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a process that loaded a saved model reported.

    Memory is in units of 1,000,000 bytes.

    Attributes:
        max_abs_diff: Largest absolute difference between its embeddings of PROBES and the expected ones.
        peak_mb: Peak memory of the process, which loaded the model on a CPU and embedded 32 sentences at once.
        libraries_mb: Peak memory before the model was loaded: Python, torch, Transformers.
    """

    max_abs_diff: float
    peak_mb: float
    libraries_mb: float

    def metrics(self) -> dict[str, float]:
        """Return the values by their names in MLflow."""
        return {
            "roundtrip/max_abs_diff": self.max_abs_diff,
            "memory/peak_mb": self.peak_mb,
            "memory/libraries_mb": self.libraries_mb,
        }


def run_reload(folder: Path, out: Path) -> None:
    """Run this module in a new process.

    Raises:
        RoundTripError: The process fails.
    """
    command = [sys.executable, "-m", "sbert_prune.models.roundtrip", str(folder), str(out)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if completed.returncode != 0:
        last_line = completed.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RoundTripError(f"A fresh process cannot load {folder}: {last_line[0]}")


def reload_in_fresh_process(
    folder: Path,
    expected: NDArray[np.float32],
    *,
    tolerance: float = 1e-5,
    run: Callable[[Path, Path], None] = run_reload,
) -> ReloadReport:
    """Load a saved model in a new process, embed PROBES there, and compare the embeddings.

    Args:
        folder: The saved model.
        expected: Its embeddings of PROBES before it was saved. *Shape:* (probes, dim)
        tolerance: The largest absolute difference allowed.
        run: Loads the model of a folder and writes the same file as `main`.

    Raises:
        RoundTripError: The process fails, or the difference is above the tolerance.
    """
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "reload.npz"
        run(folder.resolve(), out)
        with np.load(out) as arrays:
            embeddings, peak_mb, libraries_mb = (arrays[name] for name in ("embeddings", "peak_mb", "libraries_mb"))
    difference = check_same(folder, embeddings, expected, tolerance=tolerance)
    return ReloadReport(difference, float(peak_mb), float(libraries_mb))


def check_same(
    folder: Path, embeddings: NDArray[np.float32], expected: NDArray[np.float32], *, tolerance: float = 1e-5
) -> float:
    """Compare a reloaded model's embeddings of PROBES with the expected ones; return the largest absolute difference.

    Raises:
        RoundTripError: The difference is above the tolerance, or the embeddings are not usable.
    """
    check_embeddings(embeddings, f"The model saved in {folder}")
    same_shape = embeddings.shape == expected.shape
    difference = float(np.abs(embeddings - expected).max()) if same_shape else float("inf")
    if difference > tolerance:
        raise RoundTripError(
            f"The model saved in {folder} differs when it is loaded again: its embeddings differ by {difference:.2g} "
            f"(allowed {tolerance:.0e}). It is not registered."
        )
    return difference


_BATCH = 32


def main(folder: str | Path, out: str | Path) -> None:
    """Write the embeddings of PROBES and the process's peak memory, before loading the model and after 32 sentences.

    The model is loaded without any options of ours, as a user would load it; only one whose config asks for half
    precision is loaded in float32, in which it was evaluated.
    """
    checkpoint = inspect_checkpoint(Path(folder))
    asks_for = checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype")
    options = {"dtype": "float32"} if checkpoint.half_precision and asks_for != "float32" else {}
    libraries_mb = peak_memory_mb()
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs=options)
    embeddings = embed(model, PROBES)
    embed(model, list(islice(cycle(PROBES), _BATCH)))
    np.savez(out, embeddings=embeddings, libraries_mb=libraries_mb, peak_mb=peak_memory_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
