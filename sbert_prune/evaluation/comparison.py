"""The results of one model compared with those of its rivals on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sbert_prune.evaluation.bootstrap import MARGIN, Score, verdict
from sbert_prune.evaluation.measures import Measured
from sbert_prune.evaluation.robustness import BY_SPREAD
from sbert_prune.metrics import RETENTION, STS_TEST, metric_of


@dataclass(frozen=True, eq=False)
class Judgement:
    """The results of a model and of its rivals.

    Attributes:
        measured: Results of the model.
        rivals: Results by name: reference, base and champion, as far as they exist.
    """

    measured: Measured
    rivals: Mapping[str, Measured] = field(default_factory=dict)

    def differences(self, rival: str) -> dict[str, Score]:
        """Return the paired difference of the model to a rival in every score that both have."""
        rival_scores = self.rivals[rival].all_scores
        scores = self.measured.all_scores
        return {
            name: score.minus(rival_scores[name])
            for name, score in scores.items()
            if name in rival_scores and name not in BY_SPREAD
        }

    def retention(self) -> Score | None:
        """Return the share of the reference's score, or None without a reference or if its score is not positive."""
        reference = self.rivals.get("reference")
        if reference is None or STS_TEST not in reference.scores or STS_TEST not in self.measured.scores:
            return None
        reference_score = reference.scores[STS_TEST]
        return self.measured.scores[STS_TEST].over(reference_score) if reference_score.value > 0 else None

    def metrics(self) -> dict[str, float]:
        """Return plain numbers by metric name.

        Besides the metrics of the model: `quality/retention`, and for each rival `difference/RIVAL` (STS test, variant
        minus rival) with its interval and `difference/RIVAL_p_worse`, the probability that the variant is worse by more
        than a point.
        """
        metrics = self.measured.metrics()
        if (retention := self.retention()) is not None:
            # a ratio to a score that may be 0 has no interval
            is_positive = self.rivals["reference"].scores[STS_TEST].low > 0
            metrics |= with_ends(RETENTION, retention) if is_positive else {RETENTION: retention.value}
        for rival in self.rivals:
            if (difference := self.differences(rival).get(STS_TEST)) is not None:
                metrics |= with_ends(f"difference/{rival}", difference)
                metrics[f"difference/{rival}_p_worse"] = difference.probability_below(-MARGIN)
        return metrics

    def as_dict(self) -> dict[str, object]:
        """Return all results with their intervals, for `judgement.json`."""
        return {
            "scores": {name: _score_dict(score) for name, score in self.measured.all_scores.items()},
            "values": dict(self.measured.values),
            "margin": MARGIN,
            "differences": {
                rival: {
                    name: _score_dict(score)
                    | {"p_worse": gain(name, score).probability_below(-MARGIN), "verdict": verdict(gain(name, score))}
                    for name, score in self.differences(rival).items()
                }
                for rival in self.rivals
            },
            "notes": list(self.measured.notes),
        }


def gain(name: str, difference: Score) -> Score:
    """Return a difference with its sign flipped for metrics where lower is better, so that positive means better."""
    metric = metric_of(name)
    return difference.negated() if metric is not None and metric.less_is_better else difference


def with_ends(name: str, score: Score) -> dict[str, float]:
    """Return a score as three metrics: NAME, NAME_low and NAME_high."""
    return {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}


def _score_dict(score: Score) -> dict[str, float]:
    return {"value": score.value, "low": score.low, "high": score.high}
