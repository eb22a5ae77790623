"""What tests that run whole commands leave out of them, as it has tests of its own."""

from functools import partial

from pytest import MonkeyPatch  # noqa: PT013 - the type alone

from sbert_prune import reload
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.fresh_process import reload_in_fresh_process


def be_quick(patch: MonkeyPatch) -> None:
    """Measure speed by the fewest calls that it takes, and reload a saved model here instead of in a fresh process."""
    for module in ("pipelines.comparing", "pipelines.judging"):
        patch.setattr(f"{module}.measure_speed", partial(measure_speed, budget_s=0.1))
    for module in ("pipelines.judging", "pipelines.steps"):
        patch.setattr(f"{module}.reload_in_fresh_process", partial(reload_in_fresh_process, run=reload.main))
