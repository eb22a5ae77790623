"""A process, a run's sign of life and a folder for temporary files: who is dead, and what of theirs goes."""

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sbert_prune import heartbeat
from sbert_prune.heartbeat import SILENT_S, Heartbeat, Pulse
from sbert_prune.processes import Process
from sbert_prune.scratch import scratch_folder

ELSEWHERE = "0123456789ab"


@pytest.fixture
def child():
    """A process that waits, and says who it is."""
    code = "from sbert_prune.processes import Process; print(Process.own(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Process.parse(process.stdout.readline().strip())
        process.kill()


def test_a_process_can_be_told_by_another_while_it_runs_and_behind_its_end(child):
    process, told = child

    assert told.pid == process.pid
    assert told.runs is True
    process.kill()
    deadline = time.monotonic() + 10
    while told.runs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told.runs is False, "a process that its parent has not buried yet counts as one that runs"
    process.wait()
    assert told.runs is False


def test_a_number_that_another_process_has_now_is_not_the_process():
    own = Process.own()

    assert own.runs is True
    assert Process(own.machine, own.pid, own.since - 60_000).runs is False
    assert Process(own.machine, own.pid, own.since - 900).runs is True, "a clock that was set by a second kills a process"


def test_a_process_of_another_machine_cannot_be_seen():
    assert Process(ELSEWHERE, Process.own().pid, Process.own().since).runs is None


@pytest.mark.parametrize("text", ["", "abc", "0123456789ab-1", "0123456789AB-1-2", "0123456789ab-1-2-3", "0123456789ab--1-2"])
def test_what_names_no_process_is_none(text):
    assert Process.parse(text) is None


def test_what_is_written_is_read_again():
    own = Heartbeat.now()

    assert Process.parse(str(own.process)) == own.process
    assert Heartbeat.parse(str(own)) == Heartbeat(own.at.replace(microsecond=0), own.host, own.process)


@pytest.mark.parametrize("text", ["", "now here 0123456789ab-1-2", "2026-01-01T00:00:00+00:00 here", "2026-01-01T00:00:00+00:00 here x y"])
def test_what_is_no_heartbeat_is_none(text):
    assert Heartbeat.parse(text) is None


def test_silence_decides_about_another_machine_and_sight_about_this_one():
    now, own = datetime.now(UTC), Process.own()
    elsewhere, gone = Process(ELSEWHERE, 1, 1), Process(own.machine, own.pid, 1)
    long_ago = now - timedelta(seconds=SILENT_S + 5)

    assert Heartbeat(long_ago, "there", elsewhere).is_of_the_dead
    assert not Heartbeat(now - timedelta(seconds=SILENT_S - 5), "there", elsewhere).is_of_the_dead
    assert not Heartbeat(long_ago, "here", own).is_of_the_dead
    assert Heartbeat(now, "here", gone).is_of_the_dead


def test_every_open_run_gets_a_sign_of_life_and_a_closed_one_none(monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    signs: list[str] = []
    pulse = Pulse(lambda run_id, _: signs.append(run_id))

    pulse.begin("a")
    pulse.begin("b")
    time.sleep(0.3)
    assert {"a", "b"} == set(signs)
    pulse.end("a")
    time.sleep(0.1)
    signs.clear()
    time.sleep(0.1)
    assert set(signs) == {"b"}
    pulse.end("b")
    time.sleep(0.1)
    signs.clear()
    time.sleep(0.1)
    assert not signs
    pulse.begin("c")
    time.sleep(0.2)
    assert set(signs) == {"c"}
    pulse.end("c")


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
    kept = {f"sbert-prune-{living}-x1y2", f"sbert-prune-{ELSEWHERE}-1-1-x1y2", "sbert-prune-notes", "somebody-elses"}
    for name in (*kept, f"sbert-prune-{dead}-abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")

    with scratch_folder():
        pass

    left = {path.name for path in tmp_path.iterdir()}
    assert kept <= left
    assert f"sbert-prune-{dead}-abcd" not in left
