"""A saved model proved in a process that knows nothing of this one."""

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
from sbert_prune.models.sentence import PROBES, check_embeddings, embed
from sbert_prune.system.memory import peak_memory_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FreshProcess:
    """max_abs_diff: of the embeddings of PROBES to what they were.

    peak_mb: the most memory that the process ever held; it loaded the model on a CPU and embedded 32 sentences at once.
    libraries_mb: the most until the model was loaded: Python, torch, Transformers. In units of 1,000,000 bytes.
    """

    max_abs_diff: float
    peak_mb: float
    libraries_mb: float

    def metrics(self) -> dict[str, float]:
        """By their names in MLflow."""
        return {
            "roundtrip/max_abs_diff": self.max_abs_diff,
            "memory/peak_mb": self.peak_mb,
            "memory/libraries_mb": self.libraries_mb,
        }


def run_reload(folder: Path, out: Path) -> None:
    """Run this module in a new process. Raises RoundTripError when it fails."""
    command = [sys.executable, "-m", "sbert_prune.models.roundtrip", str(folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RoundTripError(f"A fresh process cannot load {folder}: {last[0]}")


def reload_in_fresh_process(
    folder: Path, expected: NDArray[np.float32], *, tolerance: float = 1e-5, run: Callable[[Path, Path], None] = run_reload
) -> FreshProcess:
    """Reload a saved model in a new process, embed PROBES there, and compare with what is expected.

    run: reloads the model of a folder and writes what `main` writes.

    Raises RoundTripError when the process fails or the largest absolute difference is above the tolerance.
    """
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "found.npz"
        run(folder.resolve(), out)
        with np.load(out) as arrays:
            found, peak_mb, libraries_mb = arrays["embeddings"], float(arrays["peak_mb"]), float(arrays["libraries_mb"])
    return FreshProcess(check_same(folder, found, expected, tolerance=tolerance), peak_mb, libraries_mb)


def check_same(folder: Path, found: NDArray[np.float32], expected: NDArray[np.float32], *, tolerance: float = 1e-5) -> float:
    """The largest absolute difference of what another process said of PROBES. Raises RoundTripError when it is above the tolerance."""
    check_embeddings(found, f"The model saved in {folder}")
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if difference > tolerance:
        raise RoundTripError(
            f"The model saved in {folder} does not come back as it was: its embeddings differ by {difference:.2g} "
            f"(allowed {tolerance:.0e}). It is not registered."
        )
    return difference


_BATCH = 32


def main(folder: str | Path, out: str | Path) -> None:
    """Write the embeddings of PROBES, and the process's peak memory before the model came and after a batch of 32 sentences.

    Nothing but the folder's own files is used: no option of ours can hide what a user would see.
    """
    libraries_mb = peak_memory_mb()
    model = SentenceTransformer(str(folder), device="cpu")
    embeddings = embed(model, PROBES)
    embed(model, list(islice(cycle(PROBES), _BATCH)))
    np.savez(out, embeddings=embeddings, libraries_mb=libraries_mb, peak_mb=peak_memory_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
