"""Failures from outside: wrong values in a list, processes that end, ctrl-C, databases that do not answer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.in_process import call
from tests.tuning.in_workers import folders_of, prepare_and_echo
from tuning.workers import WorkerPool, next_message

ROOT = Path(__file__).parents[2]

MISTAKES = [
    (["--space", "sts_loss=cosine/nonsense/cosent"], "space: sts_loss=nonsense cannot be tried"),
    (["--space", "sts_loss=cosine/cosine"], "write each value once"),
    (["--space", "sts_hard_negatives=true/false"], "space: sts_hard_negatives cannot vary"),
    (["--storage", "sqlite:////nowhere/x.db"], "storage=sqlite:////nowhere/x.db cannot be used"),
    (["--storage", "sqlite:///mlflow.db"], "is MLflow's own database"),
    (["--max-size-mb", "1"], "layers of quickstart take"),
    (["--rebuild", "1"], "There is no tracking store"),
    (["--rebuild", "first"], "rebuild=first is not the number of a version"),
]


@pytest.mark.parametrize(
    ("arguments", "answer"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_answered_before_anything_is_done(tmp_path, arguments, answer):
    done = call(tmp_path, "search", *arguments, module="tuning")

    assert done.exit_code == 2, done.exception
    assert answer in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_with_2_and_one_paragraph(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | {
        "PYTHONPATH": str(ROOT)
    }
    command = [sys.executable, "-m", "tuning", "search", "--rebuild", "first"]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("Error: rebuild=first is not the number of a version")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def echo_back(line, _task):
    line.send("ready")
    line.send(line.recv())


def test_the_line_shows_that_a_process_ended_before_it_was_answered():
    with WorkerPool() as pool:
        worker = pool.start(echo_back, None)
        assert next_message(worker) == "ready"
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.join()

        worker.send(True)

        assert next_message(worker) is None
        assert "SIGKILL" in worker.exit_reason()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_to_all_ends_no_trial(tmp_path, number):
    with WorkerPool() as pool:
        worker = pool.start(prepare_and_echo, tmp_path)
        assert next_message(worker) == str(tmp_path)

        os.kill(worker.process.pid, number)
        time.sleep(0.2)
        worker.send("still here")

        assert next_message(worker) == "still here"


COMMAND = """
import signal
from pipelines.console import prepare_process
from sbert_prune.system.folders import scratch_folder
from tests.tuning.in_workers import prepare_and_echo
from tuning.workers import WorkerPool, next_message

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run below nohup
prepare_process()
with scratch_folder() as folder, WorkerPool() as pool:
    worker = pool.start(prepare_and_echo, folder)
    print(next_message(worker), worker.process.pid, flush=True)
    next_message(worker)
"""


@pytest.mark.slow
def test_a_closed_terminal_ends_a_command_with_its_trials_and_leaves_no_folder():
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    scratch, trial = command.stdout.readline().split()
    folders = folders_of(command.pid)

    os.killpg(command.pid, signal.SIGHUP)  # a terminal sends it to all, the fork server among them

    assert (command.wait(), command.stdout.read()) == (129, "")
    assert len(folders) == 2, "one for temporary files, one for sockets"
    assert Path(scratch) in folders
    assert folders_of(command.pid) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(trial), 0)
