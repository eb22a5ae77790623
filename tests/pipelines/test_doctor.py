"""`doctor` runs every check, prints the commands that fix problems, and never hangs."""

import logging
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from pipelines.doctor.device import inspect_torch, judge
from pipelines.doctor.findings import Check, Finding, Remedy, finding_from_error, run_checks
from sbert_prune.errors import DataError
from tests.in_process import call

ROOT = Path(__file__).parents[2]


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Return a function that runs the command in this process, in an empty folder, offline; torch is checked here."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)

    def inspect_here(device, precision, parameters):
        return judge(inspect_torch(device, precision), parameters, has_driver=False)

    monkeypatch.setattr("pipelines.doctor.checks.check_device", inspect_here)
    return partial(call, tmp_path, "doctor", HF_HUB_OFFLINE="1")


@pytest.fixture
def silent():
    """Return the port of a server that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_fresh_folder_with_the_quickstart_has_nothing_to_mend(tmp_path):
    """The command runs in a separate process."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HF_"))}
    environment = {**kept, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "pipelines", "doctor"]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " fail " not in done.stdout
    assert "quickstart: bert, 12 layers, 3.9 M parameters" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_fails_is_listed_with_its_command_and_ends_with_2_while_everything_else_is_looked_at(tmp_path, doctor):
    (tmp_path / "mlflow.db").write_text("not a database")

    done = doctor("--recipe", "marathi", "--base-model", "nowhere", "--nli-data", "nli.csv")

    assert done.exit_code == 2, done.exception
    assert "Traceback" not in done.stderr
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.split("To fix")[0].splitlines() if line}
    assert [rows[name] for name in ("python", "packages", "torch")] == ["ok", "ok", "ok"]
    assert [rows[name] for name in ("store", "base_model", "nli_data", "sts_data")] == ["fail"] * 4
    assert f"\n      mv {tmp_path}/mlflow.db {tmp_path}/mlflow.db.damaged\n" in done.stdout
    assert "github.com/l3cube-pune/MarathiNLP" in done.stdout
    assert (tmp_path / "mlflow.db").read_text() == "not a database"


def test_a_server_that_never_answers_holds_nobody_up_and_its_password_is_not_shown(doctor, silent, monkeypatch):
    monkeypatch.setattr("pipelines.doctor.server._TIMEOUT_S", 0.2)

    done = doctor(MLFLOW_TRACKING_URI=f"http://ann:secret@127.0.0.1:{silent}")  # it comes back at all

    assert done.exit_code == 2, done.exception
    assert f"http://127.0.0.1:{silent} does not answer in time" in done.stdout
    assert "secret" not in done.output


def test_the_logger_of_retries_has_its_level_back_afterwards(doctor, monkeypatch):
    logger, during = logging.getLogger("sbert_prune.hub.retry"), []

    def check_level():
        during.append(logger.level)
        return [Finding("level", "ok", "")]

    monkeypatch.setattr("pipelines.doctor.checks.checks_for", lambda _: [Check("level", check_level)])
    before = logger.level

    done = doctor()

    assert done.exit_code == 0, done.output
    assert during == [logging.ERROR]
    assert logger.level == before != logging.ERROR


def test_one_check_that_fails_or_hangs_takes_no_other_along():
    never = threading.Event()
    checks = [
        Check("broken", partial(_raise, KeyError("x"))),
        Check("refused", partial(_raise, DataError("x.csv is empty. Fill it.")), Remedy("", "")),
        Check("hangs", lambda: never.wait() and [], Remedy("It hangs.", "kill it"), timeout_s=0.2),
        Check("imports slowly", lambda: never.wait() and [], timeout_s=0.2),
        Check("sound", lambda: [Finding("sound", "ok", "well")]),
    ]

    found = run_checks(checks)  # it comes back at all
    never.set()

    assert [(finding.check, finding.state) for finding in found] == [
        ("broken", "warn"),
        ("refused", "fail"),
        ("hangs", "fail"),
        ("imports slowly", "warn"),
        ("sound", "ok"),
    ]
    assert found[0].found == "could not be checked (KeyError: 'x')"
    assert (found[2].found, found[2].command) == ("no answer within 0.2 s", "kill it")
    assert "not done within 0.2 s" in found[3].found
    assert "bug" not in found[3].advice


def _raise(error):
    raise error


def test_an_error_is_told_as_what_was_found_and_what_to_do():
    finding = finding_from_error(
        "sts_data", DataError("x.csv is empty (0 bytes); expected rows. Copy it again. Then try."), "cp a b"
    )

    assert finding == Finding(
        "sts_data", "fail", "x.csv is empty (0 bytes); expected rows.", "Copy it again. Then try.", "cp a b"
    )
