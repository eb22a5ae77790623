"""Which trials continue, which wait, and which are stopped; their processes follow a script."""

import threading
import time
from multiprocessing import Pipe

import pytest
import torch

from pipelines.inputs.load import load_inputs
from pipelines.steps.context import open_context
from sbert_prune.layers import LayerSelection
from sbert_prune.training.setup import Progress
from tests.tuning import in_workers
from tuning.artifacts import ArtifactRetention
from tuning.context import SearchContext
from tuning.messages import RungScore, TrainingRows, TrialReporter
from tuning.proposals import request_trial
from tuning.scheduler import run_trials
from tuning.settings import Aim, Limits
from tuning.space import Space
from tuning.study import CONTROL, REASON, enqueue, open_study, stored_trials

ENDED = "9.9 MB, over max_size_mb=inf"


class FixedSource:
    """Proposes selections in a fixed order."""

    def __init__(self, study, space, kept, *, controls=False):
        self.study, self.space, self.remaining, self.controls = study, space, list(kept), controls

    def next(self):
        if not self.remaining:
            return None
        selection = LayerSelection(self.remaining.pop(0), 12)
        enqueue(self.study, "given", self.space.params(selection), {CONTROL: True} if self.controls else {})
        return request_trial(self.study, self.space)


@pytest.fixture
def run_scripted(project, monkeypatch):
    """A function that runs trials by a script and returns them, in the order of their numbers."""
    recipe = project.recipe(layers="2")
    inputs = load_inputs(recipe)
    space, aim = Space(12, (2,)), Aim()

    def run(script, kept, *, min_complete=0, workers=1, controls=False):
        monkeypatch.setattr("tuning.scheduler.run_trial", script)
        study = open_study("s", None, aim, "random", 0)
        with open_context(recipe) as context:
            search = SearchContext(
                context=context,
                recipe=recipe,
                inputs=inputs,
                study=study,
                space=space,
                aim=aim,
                rows=TrainingRows(inputs.texts, None),
                artifacts=ArtifactRetention(context, recipe, inputs, aim, Limits(), study="study"),
            )
            source = FixedSource(study, space, kept, controls=controls)
            assert run_trials(search, source, workers=workers, min_complete=min_complete) == ""
        return stored_trials(study)

    return run


def reasons(trials):
    return [one.attribute(REASON) for one in trials]


BEST_FIRST = [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_a_trial_continues_once_it_is_in_the_better_half_and_those_that_wait_in_the_end_are_stopped(run_scripted):
    assert reasons(run_scripted(in_workers.with_memory, BEST_FIRST)) == [
        ENDED,  # waits at both rungs until others are worse
        "stopped at rung 2: dev 0.3000 is not in the upper half",
        "stopped at rung 1: dev 0.2000 is not in the upper half",
        "stopped at rung 1: dev 0.1000 is not in the upper half",
    ]


def test_a_better_trial_overtakes_those_that_wait(run_scripted):
    assert reasons(run_scripted(in_workers.with_memory, BEST_FIRST[::-1])) == [
        "stopped at rung 1: dev 0.1000 is not in the upper half",
        "stopped at rung 2: dev 0.2000 is not in the upper half",
        ENDED,
        ENDED,
    ]


def test_when_no_more_are_proposed_the_best_that_wait_continue_until_there_are_enough(run_scripted):
    trials = run_scripted(
        in_workers.with_memory, BEST_FIRST[:3], min_complete=1
    )  # a script makes no model, so that there are never enough

    assert reasons(trials) == [ENDED] * 3
    ends = [one.trial.datetime_complete for one in trials]
    assert ends == sorted(ends)


def test_where_memory_runs_short_the_first_continues_and_worse_ones_are_stopped_at_once(run_scripted):
    trials = run_scripted(in_workers.without_memory, BEST_FIRST)

    assert reasons(trials) == [
        ENDED,
        *(f"stopped at rung 1: dev 0.{tenth}000 is not in the upper half" for tenth in (3, 2, 1)),
    ]
    ends = [one.trial.datetime_complete for one in trials]
    assert ends == sorted(ends)


def test_a_control_never_waits(run_scripted):
    assert reasons(run_scripted(in_workers.without_memory, BEST_FIRST, controls=True)) == [ENDED] * 4


def test_a_trial_that_is_killed_while_it_waits_has_failed_and_the_others_continue(run_scripted):
    trials = run_scripted(in_workers.killed_while_waiting, BEST_FIRST[:2], min_complete=1)

    assert [one.state.name for one in trials] == ["FAIL", "PRUNED"]
    assert "SIGKILL" in trials[0].attribute(REASON)
    assert trials[1].attribute(REASON) == ENDED


def test_waiting_for_an_answer_does_not_count_as_training():
    ours, theirs = Pipe()
    reporter = TrialReporter(theirs, ("sts",), torch.device("cpu"))
    received = []

    def answer():
        received.append(ours.recv())
        time.sleep(0.5)
        ours.send(True)

    waiting = threading.Thread(target=answer)
    waiting.start()
    reporter.of("sts")(Progress(1, 3, 0.1, 0.1, 0.1, 1.0, 1.0, 0.7))
    waiting.join()

    assert isinstance(received[0], RungScore)
    assert received[0].has_memory
    assert reporter.seconds < 0.4
