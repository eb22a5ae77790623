"""10,000 paired resamples of an STS split, beside scipy in a loop: seconds of both, and the largest difference.

    python benchmarks/resampling.py --pairs 1379 --resamples 10000

Two models on the same pairs: the Spearman correlation of each resample for both, and their difference. The loop runs a
twentieth of the resamples, and its time is scaled up.
"""

from __future__ import annotations

import time

import click
import numpy as np
from scipy.stats import spearmanr

from sbert_prune.evaluation.bootstrap import draw_counts, resample
from sbert_prune.evaluation.correlation import ResampledSpearman

_SHARE = 20


@click.command()
@click.option("--pairs", default=1379, show_default=True)
@click.option("--resamples", default=10_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(pairs: int, resamples: int, rounds: int) -> None:
    """Print a line for each round."""
    rng = np.random.default_rng(0)
    gold = np.round(rng.random(pairs) * 5, 1)  # with ties, as human scores have them
    models = {name: gold + noise * rng.standard_normal(pairs) for name, noise in (("a", 1.2), ("b", 1.3))}
    for _ in range(rounds):
        started = time.perf_counter()
        scores = resample(
            {name: ResampledSpearman(model, gold) for name, model in models.items()},
            pairs,
            "pairs",
            resamples=resamples,
        )
        difference = scores["a"].minus(scores["b"])
        ours = time.perf_counter() - started
        few = max(1, resamples // _SHARE)
        started = time.perf_counter()
        looped = []
        for counts in draw_counts(pairs, few, 0):
            for drawn in counts:
                rows = np.repeat(np.arange(pairs), drawn.astype(int))
                looped.append(
                    float(np.subtract(*(spearmanr(models[name][rows], gold[rows]).statistic for name in ("a", "b"))))
                )
        theirs = (time.perf_counter() - started) * resamples / few
        agree = float(np.abs(difference.draws[:few] - looped).max())
        low, high = difference.interval()
        print(
            f"{resamples:,} resamples of {pairs:,} pairs, two models: {ours:.2f} s; "
            f"scipy in a loop {theirs:.0f} s ({ours / theirs:.3f}); "
            f"difference {difference.value:+.4f} [{low:+.4f}, {high:+.4f}], the two agree to {agree:.0e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
