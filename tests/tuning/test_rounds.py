"""Which trials go on, which wait, and which are stopped; their processes follow a script."""

import threading
import time
from multiprocessing import Pipe

import pytest
import torch

from pipelines.inputs.load import load_inputs
from pipelines.steps.context import open_context
from sbert_prune.layers import LayerSelection
from sbert_prune.training.setup import Progress
from tests.tuning import children
from tuning.artifacts import ArtifactRetention
from tuning.context import SearchContext
from tuning.messages import Rows, RungScore, TrialReporter
from tuning.proposals import ask
from tuning.scheduler import run_trials
from tuning.settings import Aim, Limits
from tuning.space import Space
from tuning.study import CONTROL, REASON, enqueue, held, open_study

ENDED = "9.9 MB, over max_size_mb=inf"


class Given:
    """Proposes selections in an order."""

    def __init__(self, study, space, kept, *, controls=False):
        self.study, self.space, self.left, self.controls = study, space, list(kept), controls

    def next(self):
        if not self.left:
            return None
        selection = LayerSelection(self.left.pop(0), 12)
        enqueue(self.study, "given", self.space.params(selection), {CONTROL: True} if self.controls else {})
        return ask(self.study, self.space)


@pytest.fixture
def rounds(project, monkeypatch):
    """Lets trials follow a script; returns their reasons, in the order of their numbers."""
    recipe = project.recipe(layers="2")
    inputs = load_inputs(recipe)
    space, aim = Space(12, (2,)), Aim()

    def run(script, kept, *, wanted=0, workers=1, controls=False):
        monkeypatch.setattr("tuning.scheduler.run_trial", script)
        study = open_study("s", None, aim, "random", 0)
        rows = Rows(inputs.texts, None, None)
        with open_context(recipe.device, recipe.precision) as context:
            bench = SearchContext(
                context,
                recipe,
                inputs,
                study,
                space,
                aim,
                rows,
                ArtifactRetention(context, recipe, inputs, aim, Limits()),
                {},
                frozenset(),
                {},
            )
            assert run_trials(bench, Given(study, space, kept, controls=controls), workers, wanted) == ""
        return held(study)

    return run


def reasons(trials):
    return [one.say(REASON) for one in trials]


BEST_FIRST = [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_a_trial_goes_on_once_it_is_among_the_better_half_and_what_waits_in_the_end_is_stopped(rounds):
    assert reasons(rounds(children.roomy, BEST_FIRST)) == [
        ENDED,  # waits at both looks until others are worse
        "stopped after look 2: dev 0.3000 is not in the upper half",
        "stopped after look 1: dev 0.2000 is not in the upper half",
        "stopped after look 1: dev 0.1000 is not in the upper half",
    ]


def test_whoever_comes_better_passes_by_those_that_wait(rounds):
    assert reasons(rounds(children.roomy, BEST_FIRST[::-1])) == [
        "stopped after look 1: dev 0.1000 is not in the upper half",
        "stopped after look 2: dev 0.2000 is not in the upper half",
        ENDED,
        ENDED,
    ]


def test_when_no_more_are_proposed_the_best_that_wait_go_on_until_there_are_enough(rounds):
    trials = rounds(children.roomy, BEST_FIRST[:3], wanted=1)  # a script makes no model, so that there are never enough

    assert reasons(trials) == [ENDED] * 3
    ends = [one.trial.datetime_complete for one in trials]
    assert ends == sorted(ends)


def test_where_memory_runs_short_the_first_goes_on_and_worse_ones_are_stopped_at_once(rounds):
    trials = rounds(children.crowded, BEST_FIRST)

    assert reasons(trials) == [ENDED, *(f"stopped after look 1: dev 0.{tenth}000 is not in the upper half" for tenth in (3, 2, 1))]
    ends = [one.trial.datetime_complete for one in trials]
    assert ends == sorted(ends)


def test_a_control_never_waits(rounds):
    assert reasons(rounds(children.crowded, BEST_FIRST, controls=True)) == [ENDED] * 4


def test_a_trial_that_dies_while_it_waits_has_failed_and_the_others_go_on(rounds):
    trials = rounds(children.mortal, BEST_FIRST[:2], wanted=1)

    assert [one.state.name for one in trials] == ["FAIL", "PRUNED"]
    assert "SIGKILL" in trials[0].say(REASON)
    assert trials[1].say(REASON) == ENDED


def test_waiting_for_an_answer_is_no_training():
    ours, theirs = Pipe()
    teller = TrialReporter(theirs, ("sts",), torch.device("cpu"))
    heard = []

    def answer():
        heard.append(ours.recv())
        time.sleep(0.5)
        ours.send(True)

    waiting = threading.Thread(target=answer)
    waiting.start()
    teller.of("sts")(Progress(1, 3, 0.1, 0.1, 0.1, 1.0, 1.0, 0.7))
    waiting.join()

    assert isinstance(heard[0], RungScore)
    assert heard[0].has_room
    assert teller.seconds < 0.4
