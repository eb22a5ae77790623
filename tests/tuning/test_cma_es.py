"""CMA-ES learns from the results of a study, and neither stores its state nor reads one that is stored."""

import os
import pickle

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.storages.journal import JournalFileBackend

from tuning.cma_es import CmaEsSampler
from tuning.settings import Aim
from tuning.study import open_study

SPACE = {
    "share": FloatDistribution(0, 1),
    "rate": FloatDistribution(1e-6, 1e-2, log=True),
    "stepped": FloatDistribution(0, 1, step=0.25),
    "count": IntDistribution(1, 9),
    "even": IntDistribution(2, 20, step=2),
    "name": CategoricalDistribution(("a", "b")),
    "fixed": FloatDistribution(3, 3),
}


class Payload:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def value_at(params):
    return -((params["share"] - 0.3) ** 2) - (params["count"] / 9 - 0.5) ** 2


def run(study, trials=40):
    for _ in range(trials):
        trial = study.ask(SPACE)
        study.tell(trial, value_at(trial.params))
    return study


def database(folder):
    return f"sqlite:///{folder / 'shared.db'}"


def test_every_proposal_lies_in_the_space():
    study = run(optuna.create_study(direction="maximize", sampler=CmaEsSampler(0)))

    for trial in study.trials:
        assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(value)) for name, value in trial.params.items())
        assert isinstance(trial.params["count"], int)


def test_it_comes_closer_than_chance():
    errors = {
        name: sum(-value for trial in study.trials[60:] for value in trial.values)
        for name, sampler in (("cma-es", CmaEsSampler(0)), ("chance", RandomSampler(seed=0)))
        for study in [run(optuna.create_study(direction="maximize", sampler=sampler), trials=80)]
    }

    assert errors["cma-es"] < errors["chance"] / 2


def test_nothing_of_its_state_is_stored(uri, tmp_path):
    study = run(open_study("s", database(tmp_path), Aim(), "cmaes", 0), trials=20)

    assert [trial.system_attrs for trial in study.trials if trial.system_attrs] == []


@pytest.mark.parametrize("shared", [True, False])
def test_a_pickle_in_the_storage_runs_nothing(uri, tmp_path, shared):
    storage = database(tmp_path) if shared else None
    study = run(open_study("s", storage, Aim(), "cmaes", 0), trials=3)
    attribute = pickle.dumps(Payload(tmp_path / "code-was-run")).hex()
    trial = study.ask(SPACE)
    for prefix in ("cma:", "sepcma:", "cmawm:"):
        study._storage.set_trial_system_attr(trial._trial_id, f"{prefix}optimizer:0", attribute)
    study.tell(trial, 1.0)

    run(open_study("s", storage, Aim(), "cmaes", 0), trials=3)

    assert not (tmp_path / "code-was-run").exists()
    study.sampler = optuna.samplers.CmaEsSampler()
    study.ask(SPACE)
    assert (tmp_path / "code-was-run").exists()  # Optuna's own sampler does run it


def test_the_journal_has_no_snapshots_which_optuna_would_unpickle():
    assert not hasattr(JournalFileBackend, "load_snapshot")
