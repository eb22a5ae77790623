"""The metrics, one row each: what it is, its unit, which way is better, and where it is repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

STS_DEV = "sts_dev/spearman_cosine"
"""The metric that decides between variants."""

STS_TEST = "sts_test/spearman_cosine"
"""The main quality metric of a finished variant."""

RETENTION = "quality/retention"
SIZE = "size/disk_mb"
LATENCY = "speed/latency_p50_ms"
SPEEDUP = "speed/speedup"
ROUNDTRIP = "roundtrip/max_abs_diff"


@dataclass(frozen=True)
class Metric:
    """One metric, or several of one kind. Its interval, where it has one, is logged as NAME_low and NAME_high.

    Attributes:
        name: Its name in MLflow; `*` stands for a split, a data set or a kind of change.
        help: What it is.
        unit: Its unit or range; "" for a count.
        less_is_better: Whether a lower value is better.
        repeats: What the parent run and the version repeat, so that variants are compared by it.
    """

    name: str
    help: str
    unit: str = ""
    less_is_better: bool = False
    repeats: Literal["nothing", "value", "value and interval"] = "value"

    @property
    def prefix(self) -> str:
        """What its name and those of its kind begin with, such as "speed/" or "sts_"."""
        fixed, _, _ = self.name.partition("*")
        return f"{fixed.partition('/')[0]}/" if "/" in fixed else fixed


def _detail(name: str, what: str, unit: str = "") -> Metric:
    """Return a metric that only the run of its step has."""
    return Metric(name, what, unit, repeats="nothing")


def _main(name: str, what: str, unit: str = "") -> Metric:
    """Return a metric that is repeated with its interval."""
    return Metric(name, what, unit, repeats="value and interval")


def _cost(name: str, what: str, unit: str = "") -> Metric:
    """Return a metric of which less is better."""
    return Metric(name, what, unit, less_is_better=True)


METRICS = (
    _main("sts_*/spearman_cosine", "Spearman correlation of the cosines with the annotators' scores", "-1 to 1"),
    Metric("sts_*/pearson_cosine", "Pearson correlation of the same", "-1 to 1"),
    _main(RETENTION, "share of the reference's test score, on the same pairs"),
    _main("difference/*_p_worse", "probability that the model is worse than this rival by more than a point", "0 to 1"),
    _main("difference/*", "test score less that of the reference, the base as it was, or the champion", "-2 to 2"),
    Metric("classification/*_accuracy", "accuracy on frozen embeddings; `_knn_`: by nearest neighbours", "0 to 1"),
    Metric("classification/*_macro_f1", "mean F1 of the classes, likewise", "0 to 1"),
    Metric("retrieval/*_recall_at_1", "share of sentences whose nearest other sentence is their partner", "0 to 1"),
    Metric("retrieval/*_mrr", "mean reciprocal rank of the partner", "0 to 1"),
    Metric("robustness/*_noticed", "share of pairs that show a change of the meaning", "0 to 1"),
    Metric("robustness/negation_drop", "loss of mean cosine where a sentence is negated", "-2 to 2"),
    Metric("robustness/numbers_drop", "loss of mean cosine where a digit is changed", "-2 to 2"),
    Metric("robustness/scrambled_drop", "loss of mean cosine where all words are reordered", "-2 to 2"),
    _cost("robustness/*_drop", "loss of Spearman where the meaning stays", "-2 to 2"),
    Metric("mteb/*", "main score of a task of `mteb`"),
    _cost("geometry/anisotropy", "mean cosine of two unrelated sentences", "-1 to 1"),
    Metric("geometry/effective_rank", "how many directions the embeddings use"),
    _cost("geometry/first_direction", "share of the variance in the largest direction", "0 to 1"),
    _cost(SIZE, "size of the folder on disk", "10^6 bytes"),
    _cost("size/*parameters", "parameters: all, word embeddings, layers, others"),
    _cost("speed/latency_*_ms", "latency of one sentence at a time (median, 95th, 99th percentile)", "ms"),
    Metric("speed/sentences_per_s", "sentences in batches of 32 of like length", "1/s"),
    _main(SPEEDUP, "speed of the model over that of its base, both timed in turn"),
    Metric("speed/speedup_limit", "the speed-up if only the matrix products took time"),
    _cost("speed/flops_per_sentence", "multiplications and additions of the matrix products"),
    Metric("speed/threads", "threads of the measurement"),
    _cost("memory/*_mb", "memory of a fresh process: peak, and the share of the libraries", "10^6 bytes"),
    _cost(ROUNDTRIP, "largest difference of an embedding after saving and reloading"),
    _detail("sts_*/num_pairs", "pairs of the split"),
    _detail("sts_*/*_dot", "correlation of dot products", "-1 to 1"),
    _detail("sts_*/*_euclidean", "correlation of negative Euclidean distances", "-1 to 1"),
    _detail("sts_*/*_manhattan", "correlation of negative Manhattan distances", "-1 to 1"),
    _detail("sts_*/*_spearman_cosine", "Spearman within a genre, or a file of it, of 20 pairs or more", "-1 to 1"),
    _detail("classification/*", "numbers of rows and classes, and the regularisation that was chosen"),
    _detail("retrieval/*_queries", "sentences that search"),
    _detail("robustness/*_affected", "pairs that the change applies to"),
    _detail("*/loss", "mean loss since the last report of a phase"),
    _detail("*/dev_score", "Spearman on the dev pairs during a phase", "-1 to 1"),
    _detail("*/learning_rate", "learning rate of the last optimizer step"),
    _detail("*/gradient_norm", "mean norm of the gradient before clipping"),
    _detail("*/sentences_per_s", "sentences that a phase trains on", "1/s"),
    _detail("*/peak_memory_mb", "peak memory of the training process", "10^6 bytes"),
    _detail("*/rows", "rows of a phase"),
    _detail("*/skipped_rows", "rows that could not be used"),
    _detail("*/leaks", "train rows that dev or test has too, and that were left out"),
    _detail("text/*", "how the tokenizer fits the texts: unknown pieces, pieces a word, lost marks, truncated texts"),
    _detail("vocabulary/*", "effect of trimming the vocabulary on size and held-out text"),
    _detail("importance/score", "importance of each layer, by its index"),
    _detail("training/seconds", "seconds that a trial trained", "s"),
    _detail("look/*", "dev score and seconds of a trial at each rung"),
    _detail("search/*", "counts of trials, best dev score, and the benefit of a search"),
)
"""The metrics; the first row whose name matches counts. `system/*` are MLflow's own."""


def metric_of(name: str) -> Metric | None:
    """Return the row of a metric, also for the ends of its interval; None for an unknown one."""
    return next((metric for metric in METRICS if fnmatchcase(_stem(name), metric.name)), None)


def _stem(name: str) -> str:
    return name.removesuffix("_low").removesuffix("_high")


def headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are repeated on the parent run and the version."""
    return {name: value for name, value in metrics.items() if _is_headline(name)}


def without_intervals(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics without intervals and probabilities, each a chart in MLflow; the test's interval stays."""
    return {
        name: value
        for name, value in metrics.items()
        if _stem(name) == STS_TEST or name == _stem(name).removesuffix("_p_worse")
    }


@cache
def _is_headline(name: str) -> bool:
    metric = metric_of(name)
    if metric is None:
        return False
    return metric.repeats == "value and interval" or (metric.repeats == "value" and name == _stem(name))
