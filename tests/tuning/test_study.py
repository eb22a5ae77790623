"""A study reports the states of its trials correctly, and resumes."""

import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from sbert_prune.errors import SearchError
from sbert_prune.system.processes import Process
from tuning.settings import SAMPLER_NAMES, Aim, Settings
from tuning.study import (
    ANSWERED,
    DIGEST,
    ORIGIN,
    PROCESS,
    RUN,
    SAMPLERS,
    STALE,
    close_stale,
    earlier_trial,
    enqueue,
    fail_and_requeue,
    journal_of,
    open_study,
    stored_trials,
    wait_for_claims,
)

SPACE = {"x": optuna.distributions.FloatDistribution(0, 1)}


@pytest.fixture
def study(uri):
    return open_study("s", None, Aim(), "tpe", 0)


def train(study, *, digest="d", **attributes):
    trial = study.ask(SPACE)
    for key, value in {RUN: f"run of {trial.number}", DIGEST: digest, **attributes}.items():
        trial.set_user_attr(key, value)
    return trial


def test_a_study_resumes_where_another_command_stopped(study):
    study.tell(train(study), 0.5)

    again = open_study("s", None, Aim(), "tpe", 0)

    assert [one.score for one in stored_trials(again)] == [0.5]


def test_the_sampler_does_not_repeat_itself_when_a_study_resumes(study):
    first = study.ask(SPACE).params
    again = open_study("s", None, Aim(), "tpe", 0).ask(SPACE).params

    assert first != again


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_every_sampler_proposes_and_takes_results(uri, name):
    study = open_study(name, None, Aim(), name, 0)
    for number in range(12):
        trial = study.ask(SPACE)
        if number % 3:
            study.tell(trial, trial.params["x"])
        else:
            study.tell(trial, state=TrialState.PRUNED)

    assert len({one.trial.params["x"] for one in stored_trials(study)}) > 6
    assert set(SAMPLER_NAMES) == set(SAMPLERS)


def test_trials_that_were_trained_count_and_no_others(study):
    study.tell(train(study), 0.5)
    study.tell(train(study), state=TrialState.PRUNED)
    study.tell(train(study), state=TrialState.FAIL)
    study.tell(train(study, **{ANSWERED: "trial 0"}), 0.5)
    study.tell(train(study, **{STALE: "gone"}), state=TrialState.FAIL)
    study.tell(study.ask(SPACE), state=TrialState.FAIL)
    train(study)

    assert [one.counts for one in stored_trials(study)] == [True, True, True, False, False, False, False]
    assert [one.is_complete for one in stored_trials(study)] == [True, *[False] * 6]


def test_an_earlier_trial_of_the_recipe_is_one_that_was_trained_or_is_in_training(study):
    study.tell(train(study, digest="a"), 0.5)
    train(study, digest="b")
    study.tell(train(study, digest="c", **{STALE: "gone"}), state=TrialState.FAIL)
    study.tell(train(study, digest="d", **{ANSWERED: "screening"}), state=TrialState.PRUNED)

    found = {digest: earlier_trial(study, digest, before=4) for digest in "abcde"}

    assert {digest: one.number for digest, one in found.items() if one} == {"a": 0, "b": 1}
    assert earlier_trial(study, "b", before=1) is None


def test_a_trial_whose_process_has_ended_fails_and_is_proposed_once_more(study):
    enqueue(study, "drop-top", {"x": 0.25})
    train(study)
    running = train(study)

    stale = close_stale(study, lambda run_id: run_id == f"run of {running.number}")

    assert [one.number for one in stale] == [0]
    assert [one.state for one in stored_trials(study)] == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    again = study.ask(SPACE)
    assert (again.params, again.user_attrs[ORIGIN]) == ({"x": 0.25}, "drop-top")


def test_two_commands_that_close_the_same_trial_queue_it_once(study):
    train(study)
    (found,) = stored_trials(study)

    for _ in range(2):
        fail_and_requeue(study, found)

    assert [one.state for one in stored_trials(study)] == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_waits_until_those_before_it_say_what_they_train(study):
    """Of two the same, the later one finds the earlier one, however long that one took to choose its settings."""
    first, second, ended = study.ask(SPACE), study.ask(SPACE), study.ask(SPACE)
    ended.set_user_attr(PROCESS, str(Process(Process.current().machine, 2**22 + 1, 0)))
    third = study.ask(SPACE)
    second.set_user_attr(DIGEST, "another")
    claimed = threading.Timer(0.2, first.set_user_attr, (DIGEST, "same"))
    claimed.start()

    wait_for_claims(study, third.number)

    assert earlier_trial(study, "same", before=third.number).number == first.number
    claimed.join()


def test_a_trial_without_a_run_is_stale_when_its_process_is_gone(study):
    alive, ended = study.ask(SPACE), study.ask(SPACE)
    alive.set_user_attr(PROCESS, str(Process.current()))
    ended.set_user_attr(PROCESS, str(Process(Process.current().machine, 2**22 + 1, 0)))
    fresh = study.ask(SPACE)

    stale = close_stale(study, lambda _: False)

    assert [one.number for one in stale] == [ended.number]
    assert fresh.number not in [one.number for one in stale]


def test_a_storage_that_does_not_answer_is_reported_without_a_password(uri):
    with pytest.raises(SearchError, match=r"storage=postgresql://127.0.0.1:9/none cannot be used"):
        open_study("s", "postgresql://127.0.0.1:9/none", Aim(), "tpe", 0)
    with pytest.raises(SearchError, match="PGPASSWORD") as refused:
        Settings(Aim(), storage="postgresql://me:secret@127.0.0.1:9/none")
    assert "secret" not in str(refused.value)


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(SearchError, match="sampler=tpi"):
        Settings(Aim(), sampler="tpi")
    with pytest.raises(SearchError, match="cmaes supports one objective"):
        Settings(Aim("size_mb"), sampler="cmaes")
    with pytest.raises(SearchError, match="against=parameters"):
        Aim("parameters")


def test_the_time_to_read_trials_grows_with_their_number(study):
    """As a ratio: five times as many must not take thirty times as long."""

    def fill(count):
        for _ in range(count):
            study.add_trial(
                optuna.trial.create_trial(
                    params={"x": 0.5}, distributions=SPACE, value=0.5, user_attrs={RUN: "r", DIGEST: "d"}
                )
            )

    def seconds():
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            stored_trials(study)
            best = min(best, time.perf_counter() - began)
        return best

    fill(100)
    few = seconds()
    fill(400)

    assert seconds() < 30 * few + 0.05


TORN = b'{"op_code":8,"worker_id":"w","trial_id":0,"user_at'
TAILS = {
    "cut off": TORN,
    "zeros, as after a power failure": bytes(300),
    "cut off, and appended to since": TORN + b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":{"a":1}}\n',
    "zeros, and appended to since": bytes(9) + b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":{"a":1}}\n',
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_a_record_that_was_cut_off_costs_a_study_nothing_else(study, tail):
    study.tell(train(study), 0.5)
    with journal_of("s").open("ab") as file:
        file.write(tail)

    for _ in range(2):
        again = open_study("s", None, Aim(), "tpe", 0)
        again.tell(train(again), 0.25)

    assert [trial.score for trial in stored_trials(open_study("s", None, Aim(), "tpe", 0))] == [0.5, 0.25, 0.25]
    assert [path.name for path in journal_of("s").parent.iterdir()] == ["s.journal"]


def test_a_study_whose_file_was_cut_off_in_its_first_record_begins_anew(study):
    journal_of("s").write_bytes(TORN)

    assert stored_trials(open_study("s", None, Aim(), "tpe", 0)) == []


@pytest.mark.parametrize("line", [b"no record", b"[1]", b"", b"\xff\xfe"])
def test_a_journal_that_is_damaged_otherwise_is_named_with_its_line_and_left_alone(study, line):
    path = journal_of("s")
    damaged = path.read_bytes() + line + b"\n"
    path.write_bytes(damaged)

    with pytest.raises(SearchError, match=rf"{path} is damaged: its line 3 .* mv {path} {path}.damaged"):
        open_study("s", None, Aim(), "tpe", 0)

    assert path.read_bytes() == damaged


@pytest.mark.filterwarnings("ignore:The value of `grace_period`")  # a second is enough for a test
@pytest.mark.parametrize("target", [".sbert-prune/search/s.journal", "/nowhere/s.journal", None])
def test_a_lock_that_a_killed_command_has_left_is_released(study, monkeypatch, tmp_path, target):
    """Optuna links it to the journal, by a path that depends on the folder where the store's address is relative."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setattr("tuning.storage._LOCK_GRACE_S", 0.1)
    monkeypatch.setattr("optuna.storages.journal.JournalFileSymlinkLock.__init__.__defaults__", (1,))
    (tmp_path / ".sbert-prune" / "search" / "s.journal.lock").symlink_to(target or journal_of("s").absolute())

    again = open_study("s", None, Aim(), "tpe", 0)
    again.tell(train(again), 0.5)

    assert [trial.score for trial in stored_trials(again)] == [0.5]


def test_a_lock_of_a_command_at_work_is_awaited(study, tmp_path):
    lock = tmp_path / ".sbert-prune" / "search" / "s.journal.lock"
    lock.symlink_to("s.journal, by a path that leads nowhere")
    threading.Timer(0.2, lock.unlink).start()

    assert stored_trials(open_study("s", None, Aim(), "tpe", 0)) == []
