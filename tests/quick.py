"""Leave slow parts, which have tests of their own, out of the commands that tests run."""

from functools import cache, partial

from matplotlib.figure import Figure
from pytest import MonkeyPatch  # noqa: PT013 - the type alone

from sbert_prune.evaluation.bootstrap import resample
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.models import roundtrip as reload
from sbert_prune.models.roundtrip import reload_in_fresh_process
from sbert_prune.tracking.runs import render


def draw_nothing(_figure: Figure, name: str) -> bytes:
    """Return an empty picture: laying out the figure would take as long as training here."""
    return _empty(name.rpartition(".")[2])


@cache
def _empty(kind: str) -> bytes:
    return render(Figure(figsize=(1, 1)), f"empty.{kind}")


def be_quick(patch: MonkeyPatch) -> None:
    """Measure speed with few calls, draw few resamples and no pictures, and reload a saved model in this process."""
    quick = partial(measure_speed, budget_s=0.01, singles=6, batches=1)
    patch.setattr("pipelines.steps.evaluate.measure_speed", quick)
    patch.setattr("sbert_prune.evaluation.dev_pairs.resample", partial(resample, resamples=1000))
    for module in ("pipelines.steps.judgement_log", "sbert_prune.report.html", "sbert_prune.tracking.runs"):
        patch.setattr(f"{module}.render", draw_nothing)
    for module in ("pipelines.steps.evaluate", "pipelines.steps.register"):
        patch.setattr(f"{module}.reload_in_fresh_process", partial(reload_in_fresh_process, run=reload.main))


def be_quick_here() -> None:
    """Apply `be_quick` until the end of this process."""
    be_quick(MonkeyPatch())
