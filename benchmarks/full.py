"""Wall time of `full` and of a plain sentence-transformers script with the same training but no tracking.

    python benchmarks/full.py --rounds 3 -- --layers 6

Both run as processes of their own, in turn, with the arguments behind `--`. Budget: at most 0.8 of the plain script's
wall time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

ROOT = Path(__file__).parents[1]


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.argument("arguments", nargs=-1)
def main(rounds: int, arguments: tuple[str, ...]) -> None:
    """Run both in turn and print the wall seconds and the ratio of each round."""
    ratios = []
    for number in range(1, rounds + 1):
        with TemporaryDirectory() as folder:  # a fresh store: the first `full` of a recipe trains the reference too
            ours = seconds(folder, [sys.executable, "-m", "pipelines", "full", *arguments])
            plain = seconds(
                folder, [sys.executable, str(ROOT / "benchmarks" / "plain.py"), "--with-reference", *arguments]
            )
        ratios.append(ours / plain)
        print(f"round {number}: full {ours:.1f} s, plain {plain:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f} (budget 0.80), from {min(ratios):.2f} to {max(ratios):.2f}")


def seconds(folder: str, command: list[str]) -> float:
    """Return the wall time of a process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
