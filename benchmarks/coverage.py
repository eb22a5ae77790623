"""How often confidence intervals contain the true value: nominally 95 of 100 times.

    python benchmarks/coverage.py --simulations 500

Pairs are drawn from normal distributions; models are the true scores with noise. For several seeds, the plain
alternative is the interval of one seed, which does not include the variance between seeds.
"""

from __future__ import annotations

import click
import numpy as np

from sbert_prune.evaluation.bootstrap import Score, mean_of, over_seeds, resample
from sbert_prune.evaluation.correlation import ResampledSpearman

_RESAMPLES = 1000


@click.command()
@click.option("--simulations", default=500, show_default=True)
def main(simulations: int) -> None:
    """Print a line for each case."""
    rng = np.random.default_rng(0)
    for num_pairs in (20, 50, 200, 1000):
        for correlation in (0.6, 0.9):
            truth = 6 / np.pi * np.arcsin(correlation / 2)
            scores = [spearman(*correlated(rng, num_pairs, correlation)) for _ in range(simulations)]
            share = coverage(scores, truth)
            print(f"Spearman, {num_pairs} pairs, correlation {correlation}: {share:.3f}", flush=True)
    for num_pairs in (50, 200):
        differences = []
        for _ in range(simulations):
            gold = rng.random(num_pairs)
            first, second = (spearman(gold + 0.3 * rng.standard_normal(num_pairs), gold) for _ in range(2))
            differences.append(first.minus(second))
        worse = np.mean([difference.high < 0 for difference in differences])
        print(
            f"difference of two equal models, {num_pairs} pairs: {coverage(differences, 0.0):.3f}; "
            f"called worse {worse:.3f}",
            flush=True,
        )
    for num_seeds in (2, 3, 5):
        for deviation in (0.0, 0.01, 0.05):
            ours, single = [], []
            for _ in range(simulations):
                scores = seeded(rng, num_seeds, deviation)
                interval = over_seeds(scores)
                ours.append(interval.low <= 0.7 <= interval.high)
                single.append(scores[0])
            print(
                f"{num_seeds} seeds that deviate by {deviation}: {np.mean(ours):.3f}; "
                f"one seed's own {coverage(single, 0.7):.3f}",
                flush=True,
            )


def correlated(rng: np.random.Generator, num_pairs: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs from a normal distribution."""
    left, noise = rng.standard_normal((2, num_pairs))
    return left, correlation * left + np.sqrt(1 - correlation**2) * noise


def spearman(predicted: np.ndarray, gold: np.ndarray) -> Score:
    """Return a score with its resamples."""
    return resample({"s": ResampledSpearman(predicted, gold)}, len(gold), "pairs", resamples=_RESAMPLES)["s"]


def seeded(rng: np.random.Generator, num_seeds: int, deviation: float, num_rows: int = 300) -> list[Score]:
    """Return scores of models that differ by their seeds on rows that differ in difficulty; the truth is 0.7."""
    rows = 0.3 * rng.standard_normal(num_rows)
    values = [
        0.7 + seed + rows + 0.1 * rng.standard_normal(num_rows) for seed in deviation * rng.standard_normal(num_seeds)
    ]
    return [resample({"m": mean_of(value)}, num_rows, "rows", resamples=_RESAMPLES)["m"] for value in values]


def coverage(scores: list[Score], truth: float) -> float:
    """Return the share of the intervals that contain the true value."""
    return float(np.mean([score.low <= truth <= score.high for score in scores]))


if __name__ == "__main__":
    main()
