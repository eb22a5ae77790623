"""The report of a search: how well each fidelity ranks, and which layers go with a better score."""

import optuna
import pytest

from sbert_prune.layers import LayerSelection
from tuning.charts import front_chart, history_chart, importances, layer_influences, layer_map
from tuning.report import tau_rows
from tuning.screening import Screened
from tuning.settings import Aim
from tuning.study import KEPT_LAYERS, METRICS, ORIGIN, RUN, RUNG_SCORES, StoredTrial


def trial_of(number, kept, score, rungs, state=optuna.trial.TrialState.COMPLETE):
    attributes = {
        KEPT_LAYERS: kept,
        RUNG_SCORES: [[rung, 1.0] for rung in rungs],
        METRICS: {"size/disk_mb": 10.0},
        ORIGIN: "random",
        RUN: "r",
    }
    trial = optuna.trial.create_trial(state=state, value=score, user_attrs=attributes)
    trial.number = number
    return StoredTrial(trial)


SCREENED = Screened(
    tuple(LayerSelection((layer,), 4) for layer in range(4)),
    {"untrained": (0.1, 0.2, 0.3, 0.4), "shared": (0.4, 0.3, 0.2, 0.1)},
    1.0,
)
COMPLETE = [trial_of(0, "0", 0.9, (0.1, 0.5)), trial_of(1, "1", 0.8, (0.3, 0.4)), trial_of(2, "2", 0.7, (0.2, 0.3))]


def test_each_fidelity_is_compared_with_the_next_and_with_full_training():
    assert tau_rows(COMPLETE, SCREENED) == [
        ("untrained", "shared", "-1.00", "-1.00", "3"),
        ("shared", "rung 1", "-0.33", "+1.00", "3"),
        ("rung 1", "rung 2", "-0.33", "-0.33", "3"),
        ("rung 2", "full training", "+1.00", "+1.00", "3"),
    ]


def test_without_a_screening_there_are_rungs_alone_and_too_few_trials_have_no_tau():
    assert [row[0] for row in tau_rows(COMPLETE, None)] == ["rung 1", "rung 2"]
    assert tau_rows(COMPLETE[:2], None)[0][2] == "-"


def test_a_layers_difference_is_the_mean_with_it_less_that_without():
    complete = [trial_of(0, "0,1", 0.9, ()), trial_of(1, "0,2", 0.7, ()), trial_of(2, "1,2", 0.6, ())]

    found = layer_influences(complete, 4)

    differences = {layer: influence.difference for layer, influence in found.items()}
    assert differences == {0: pytest.approx(0.2), 1: pytest.approx(0.05), 2: pytest.approx(-0.25)}
    assert [influence.num_with for influence in found.values()] == [2, 2, 2]


@pytest.mark.parametrize(("effect", "is_noise"), [(0.5, False), (0.005, True)])
def test_a_layers_influence_is_noise_where_it_is_small_beside_the_spread_of_trials(effect, is_noise):
    complete = [trial_of(number, str(number % 2), effect * (number % 2) + number / 100, ()) for number in range(8)]

    assert [influence.is_noise for influence in layer_influences(complete, 4).values()] == [is_noise] * 2


def test_the_pictures_show_every_trial():
    stopped = trial_of(3, "3", None, (0.2,), optuna.trial.TrialState.PRUNED)

    assert len(layer_map(COMPLETE, 4).axes[0].get_yticklabels()) == 3
    assert len(history_chart([*COMPLETE, stopped]).axes[0].collections) == 2 + len(COMPLETE)


def test_a_front_is_drawn_where_there_are_two_points_or_more():
    smaller = trial_of(3, "3", 0.6, ())
    smaller.trial.user_attrs[METRICS] = {"size/disk_mb": 5.0}

    assert front_chart(COMPLETE, Aim()) is None
    assert front_chart([*COMPLETE, smaller], Aim()).axes[0].get_xlabel() == "size on disk (MB)"


def test_importances_of_layers_are_summed_up_and_missing_ones_are_none():
    study = optuna.create_study(direction="maximize")
    assert importances(study) == {}
    for _ in range(12):
        trial = study.ask()
        score = trial.suggest_float("priority_00", 0, 1) + 0 * trial.suggest_float("priority_01", 0, 1)
        trial.suggest_float("sts_scale", 0, 1)
        study.tell(trial, score)

    found = importances(study)

    assert set(found) == {"layers", "sts_scale"}
    assert found["layers"] > found["sts_scale"]
