"""What was found about one model, beside what was found about its rivals on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sbert_prune.evaluation.bootstrap import MARGIN, Score, verdict
from sbert_prune.evaluation.measures import Measured
from sbert_prune.evaluation.robustness import BY_SPREAD, LESS_IS_BETTER
from sbert_prune.metrics import RETENTION, STS_TEST


@dataclass(frozen=True, eq=False)
class Judgement:
    """own: of the model.  rivals: of reference, base and champion, as far as there are such, by these names."""

    own: Measured
    rivals: Mapping[str, Measured] = field(default_factory=dict)

    def differences(self, rival: str) -> dict[str, Score]:
        """How much better the model is than a rival, draw by draw, in every score that both have."""
        theirs = self.rivals[rival].all_scores
        ours = self.own.all_scores
        return {
            name: score.minus(theirs[name]) for name, score in ours.items() if name in theirs and name not in BY_SPREAD
        }

    def retention(self) -> Score | None:
        """Share of the reference's score on the same pairs; None without a reference, or where its score is 0 or less."""
        reference = self.rivals.get("reference")
        if reference is None or STS_TEST not in reference.scores or STS_TEST not in self.own.scores:
            return None
        theirs = reference.scores[STS_TEST]
        return self.own.scores[STS_TEST].over(theirs) if theirs.value > 0 else None

    def metrics(self) -> dict[str, float]:
        """Plain numbers by their names in MLflow.

        Besides the model's own: `quality/retention`, and for each rival `difference/RIVAL` (STS test, variant less rival) with its
        interval and `difference/RIVAL_p_worse`, the probability that the variant is worse by more than a point.
        """
        found = self.own.metrics()
        if (retention := self.retention()) is not None:
            knows = (
                self.rivals["reference"].scores[STS_TEST].low > 0
            )  # else the share of a score that may be 0 has no ends
            found |= with_ends(RETENTION, retention) if knows else {RETENTION: retention.value}
        for rival in self.rivals:
            if (difference := self.differences(rival).get(STS_TEST)) is not None:
                found |= with_ends(f"difference/{rival}", difference)
                found[f"difference/{rival}_p_worse"] = difference.probability_below(-MARGIN)
        return found

    def as_dict(self) -> dict[str, object]:
        """Everything with its intervals, for `judgement.json`."""
        return {
            "scores": {name: _described(score) for name, score in self.own.all_scores.items()},
            "values": dict(self.own.values),
            "margin": MARGIN,
            "differences": {
                rival: {
                    name: _described(score)
                    | {"p_worse": gain(name, score).probability_below(-MARGIN), "verdict": verdict(gain(name, score))}
                    for name, score in self.differences(rival).items()
                }
                for rival in self.rivals
            },
            "notes": list(self.own.notes),
        }


def gain(name: str, difference: Score) -> Score:
    """A difference in a score as what it is worth: where less is better, less is a gain."""
    return difference.negated() if name in LESS_IS_BETTER else difference


def with_ends(name: str, score: Score) -> dict[str, float]:
    """A score as three metrics: NAME, NAME_low and NAME_high."""
    return {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}


def _described(score: Score) -> dict[str, float]:
    return {"value": score.value, "low": score.low, "high": score.high}
