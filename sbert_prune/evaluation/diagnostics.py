"""Known failures of a variant, detected from its metrics, with advice for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean

from sbert_prune.metrics import STS_DEV, STS_TEST

_NARROW = 0.9
_LARGE = 0.05
_MUCH_MORE = 3
_DISAGREE = 0.03
_FAR_FROM_LIMIT = 0.6

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A detected failure. seen: the numbers that show it.  advice: what to try."""

    name: str
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.seen}. Try: {self.advice}."


@dataclass(frozen=True)
class Evidence:
    """The metrics of a variant and of the models that it is compared with.

    Attributes:
        variant: Metrics of the variant.
        reference: Metrics of the reference.
        base: Metrics of the base.
        siblings: STS test score by strategy, of variants of the same recipe with the same number of layers.
    """

    variant: Metrics
    reference: Metrics = field(default_factory=dict)
    base: Metrics = field(default_factory=dict)
    siblings: Mapping[str, float] = field(default_factory=dict)

    def lost(self, name: str) -> float | None:
        """Return the loss against the reference, or None if one of the two was not measured."""
        return self.reference[name] - self.variant[name] if name in self.variant and name in self.reference else None


def find_diagnostics(evidence: Evidence) -> list[Diagnostic]:
    """Return the detected failures, most severe first."""
    return [diagnostic for check in _CHECKS for diagnostic in check(evidence)]


def diagnose_broken_embeddings(error: Exception) -> Diagnostic:
    """Return the diagnostic for embeddings that are not finite or all equal; nothing else can be measured on them."""
    return Diagnostic(
        "broken embeddings",
        str(error).rstrip("."),
        "a learning rate ten times lower, precision=float32, more warm-up; and check the loss curve of the last phase",
    )


def _narrow(evidence: Evidence) -> Iterator[Diagnostic]:
    anisotropy = evidence.variant.get("geometry/anisotropy")
    if anisotropy is not None and anisotropy > _NARROW:
        yield Diagnostic(
            "nearly collapsed",
            f"two sentences that have nothing to do with each other have a cosine of {anisotropy:.2f} on average",
            "an NLI phase with in-batch negatives (nli_loss=mnrl), which drives sentences apart; "
            "sts_loss=cosent, which uses only the order of the pairs; a lower learning rate",
        )


def _worse_than_untouched(evidence: Evidence) -> Iterator[Diagnostic]:
    if (
        STS_TEST in evidence.base
        and STS_TEST in evidence.variant
        and evidence.variant[STS_TEST] < evidence.base[STS_TEST]
    ):
        yield Diagnostic(
            "worse than the base as it was",
            f"STS test {evidence.variant[STS_TEST]:.4f}, the untouched base {evidence.base[STS_TEST]:.4f}",
            "keeping more layers; distillation (phases=nli,distil,sts); a lower learning rate",
        )


def _angles_lost(evidence: Evidence) -> Iterator[Diagnostic]:
    sts, classes = evidence.lost(STS_TEST), _classification_loss(evidence)
    if sts is not None and classes is not None and sts >= _LARGE and sts >= _MUCH_MORE * classes:
        yield Diagnostic(
            "similarity lost, information kept",
            f"STS test lost {sts:.3f}, classification {classes:.3f}: the embeddings still contain the information, "
            "but their angles no longer express it",
            "more STS epochs, or distillation from the reference (sts_distillation=1): "
            "the last phases determine the angles",
        )


def _information_lost(evidence: Evidence) -> Iterator[Diagnostic]:
    sts, classes = evidence.lost(STS_TEST), _classification_loss(evidence)
    if sts is not None and classes is not None and classes >= _LARGE and classes >= _MUCH_MORE * sts:
        yield Diagnostic(
            "similarity kept, information lost",
            f"classification lost {classes:.3f}, STS test {sts:.3f}: the embeddings fit the STS pairs and contain less "
            "information about other texts",
            "distillation on sentences of your own domain (phases=nli,distil,sts with distil_data=FILE); "
            "fewer STS epochs; more layers",
        )


def _classification_loss(evidence: Evidence) -> float | None:
    names = [
        name
        for name in evidence.variant
        if name.startswith("classification/") and name.endswith("_accuracy") and "_knn_" not in name
    ]
    lost = [loss for name in names if (loss := evidence.lost(name)) is not None]
    return mean(lost) if lost else None


def _chosen_by_chance(evidence: Evidence) -> Iterator[Diagnostic]:
    dev, test = evidence.lost(STS_DEV), evidence.lost(STS_TEST)
    if dev is not None and test is not None and test - dev >= _LARGE:
        yield Diagnostic(
            "dev promises more than test keeps",
            f"against the reference it lost {dev:.3f} on dev and {test:.3f} on test",
            "more dev pairs; dev pairs of the same kind as test; fewer choices made on dev",
        )


def _strategies_disagree(evidence: Evidence) -> Iterator[Diagnostic]:
    if len(evidence.siblings) > 1 and max(evidence.siblings.values()) - min(evidence.siblings.values()) >= _DISAGREE:
        ranked = sorted(evidence.siblings.items(), key=lambda entry: -entry[1])
        yield Diagnostic(
            "strategies disagree",
            "which layers stay matters here: " + ", ".join(f"{name} {score:.4f}" for name, score in ranked),
            f"the best of them ({ranked[0][0]}), or a search over the layers",
        )


def _less_robust(evidence: Evidence) -> Iterator[Diagnostic]:
    from sbert_prune.evaluation.perturbations import PERTURBATIONS

    more = {
        name: evidence.variant[metric] - evidence.reference[metric]
        for name, kind in PERTURBATIONS.items()
        if kind.keeps_meaning
        and (metric := f"robustness/{name}_drop") in evidence.variant
        and metric in evidence.reference
    }
    worst = {name: loss for name, loss in more.items() if loss >= _LARGE}
    if worst:
        yield Diagnostic(
            "less robust than the reference",
            ", ".join(
                f"{name.replace('_', ' ')} cost {loss:.3f} more"
                for name, loss in sorted(worst.items(), key=lambda entry: -entry[1])
            ),
            "distillation on sentences as your users write them (distil_data=FILE); more layers next to the embeddings",
        )


def _slow(evidence: Evidence) -> Iterator[Diagnostic]:
    speedup, limit = (evidence.variant.get(f"speed/{name}") for name in ("speedup", "speedup_limit"))
    if speedup is not None and limit is not None and limit > 1.2 and speedup < _FAR_FROM_LIMIT * limit:
        yield Diagnostic(
            "slower than its size allows",
            f"{speedup:.2f}x the base's speed, where its multiplications alone would allow {limit:.2f}x",
            "larger batches, and fewer threads on a shared machine: for short sentences, tokenising and starting each "
            "layer cost more than computing it",
        )


_CHECKS: Sequence[Callable[[Evidence], Iterator[Diagnostic]]] = (
    _narrow,
    _worse_than_untouched,
    _angles_lost,
    _information_lost,
    _chosen_by_chance,
    _less_robust,
    _strategies_disagree,
    _slow,
)
