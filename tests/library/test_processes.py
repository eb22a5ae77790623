"""Processes, heartbeats and scratch folders: which processes have ended, and what is removed of them."""

import os
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sbert_prune.system.folders import scratch_folder
from sbert_prune.system.processes import Process
from sbert_prune.tracking.heartbeat import SILENT_S, Heartbeat, Pulse

ELSEWHERE = "0123456789ab"


@pytest.fixture
def child():
    """A process that waits, and its Process."""
    code = "from sbert_prune.system.processes import Process; print(Process.current(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Process.parse(process.stdout.readline().strip())
        process.kill()


def test_another_process_sees_whether_a_process_runs_or_has_ended(child):
    popen, process = child

    assert process.pid == popen.pid
    assert process.is_running is True
    popen.kill()
    os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie until `wait`
    assert process.is_running is False, "a zombie counts as running"
    popen.wait()
    assert process.is_running is False


def test_a_number_that_another_process_has_now_is_not_the_process():
    own = Process.current()

    assert own.is_running is True
    assert Process(own.machine, own.pid, own.started_ms - 60_000).is_running is False
    assert Process(own.machine, own.pid, own.started_ms - 900).is_running is True, (
        "setting the clock by a second ends a process"
    )


def test_a_process_of_another_machine_cannot_be_seen():
    assert Process(ELSEWHERE, Process.current().pid, Process.current().started_ms).is_running is None


@pytest.mark.parametrize(
    "text", ["", "abc", "0123456789ab-1", "0123456789AB-1-2", "0123456789ab-1-2-3", "0123456789ab--1-2"]
)
def test_what_names_no_process_is_none(text):
    assert Process.parse(text) is None


def test_what_is_written_is_read_again():
    own = Heartbeat.now()

    assert Process.parse(str(own.process)) == own.process
    assert Heartbeat.parse(str(own)) == Heartbeat(own.at.replace(microsecond=0), own.host, own.process)


@pytest.mark.parametrize(
    "text", ["", "now here 0123456789ab-1-2", "2026-01-01T00:00:00+00:00 here", "2026-01-01T00:00:00+00:00 here x y"]
)
def test_what_is_no_heartbeat_is_none(text):
    assert Heartbeat.parse(text) is None


def test_silence_decides_about_another_machine_and_sight_about_this_one():
    now, own = datetime.now(UTC), Process.current()
    elsewhere, gone = Process(ELSEWHERE, 1, 1), Process(own.machine, own.pid, 1)
    long_ago = now - timedelta(seconds=SILENT_S + 5)

    assert Heartbeat(long_ago, "there", elsewhere).is_of_dead_process
    assert not Heartbeat(now - timedelta(seconds=SILENT_S - 5), "there", elsewhere).is_of_dead_process
    assert not Heartbeat(long_ago, "here", own).is_of_dead_process
    assert Heartbeat(now, "here", gone).is_of_dead_process


class Signs:
    """The heartbeats that were sent: their runs, in order, and the thread of the last one."""

    def __init__(self):
        self.runs, self.giver = [], None
        self._changed = threading.Condition()

    def __call__(self, run_id, _):
        with self._changed:
            self.runs.append(run_id)
            self.giver = threading.current_thread()
            self._changed.notify_all()

    def next_until(self, is_enough):
        """Return the runs of the heartbeats from now on, as soon as they are enough."""
        with self._changed:
            begin = len(self.runs)
            assert self._changed.wait_for(lambda: is_enough(self.runs[begin:]), timeout=300)
            return self.runs[begin:]

    def await_the_end(self):
        """Wait until the thread of the last heartbeat has ended."""
        self.giver.join(timeout=300)
        assert not self.giver.is_alive()


@pytest.fixture
def signs():
    return Signs()


@pytest.fixture
def pulse(signs):
    """A pulse with negligible pauses, for the runs a and b."""
    pulse = Pulse(signs, every_s=0.001)
    yield pulse
    for run_id in ("a", "b"):
        pulse.end(run_id)


def test_every_open_run_gets_signs_of_life(pulse, signs):
    pulse.begin("a")
    pulse.begin("b")

    runs = signs.next_until(lambda runs: runs.count("a") >= 3 and runs.count("b") >= 3)

    assert set(runs) == {"a", "b"}


def test_a_closed_run_gets_no_sign_while_others_go_on(pulse, signs):
    pulse.begin("a")
    pulse.begin("b")
    signs.next_until(lambda runs: {"a", "b"} <= set(runs))

    pulse.end("a")
    later = signs.next_until(lambda runs: runs.count("b") >= 3)

    assert "a" not in later[later.index("b") :]  # before that, the round in progress


def test_signs_end_with_the_last_run_and_begin_with_the_next(pulse, signs):
    pulse.begin("a")
    signs.next_until(lambda runs: runs)
    first = signs.giver

    pulse.end("a")
    signs.await_the_end()
    pulse.begin("b")
    later = signs.next_until(lambda runs: runs)

    assert set(later) == {"b"}
    assert signs.giver is not first


def test_temporary_files_lie_in_one_folder_that_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with scratch_folder() as folder:
        Path(tempfile.mkdtemp(), "model").write_text("weights")
        assert list(tmp_path.iterdir()) == [folder]

    assert not list(tmp_path.iterdir())
    assert tempfile.gettempdir() == str(tmp_path)


def test_what_a_killed_process_left_goes_and_what_others_use_stays(tmp_path, monkeypatch, child):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _, living = child
    dead = Process(living.machine, living.pid, 1)
    kept = {f"sbert-prune-{living}-x1y2", f"sbert-prune-{ELSEWHERE}-1-1-x1y2", "sbert-prune-notes", "other-program"}
    for name in (*kept, f"sbert-prune-{dead}-abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")

    with scratch_folder():
        pass

    left = {path.name for path in tmp_path.iterdir()}
    assert kept <= left
    assert f"sbert-prune-{dead}-abcd" not in left
