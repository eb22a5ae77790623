"""A store that another process keeps locked, or that cannot be written: one message, which names the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import TestCase

import pytest

from sbert_prune.errors import TrackingError
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.reconcile import reconcile
from sbert_prune.tracking import locks
from sbert_prune.tracking.locks import check_usable, file_lock, holder_of
from sbert_prune.tracking.store import connect
from tests.pipelines.made_versions import NAME, add_version, call
from tests.pipelines.test_tracking_faults import read_only
from tests.stores import STORE

_WRITE_LOCK = "import sqlite3; held = sqlite3.connect({path!r}, isolation_level=None); held.execute('BEGIN IMMEDIATE')"
_COMMIT_LOCK = _WRITE_LOCK.replace("IMMEDIATE", "EXCLUSIVE")  # as while a process commits
_FILE_LOCK = "import filelock; held = filelock.FileLock({path!r}); held.acquire()"


@contextmanager
def stopped(code: str, path: Path) -> Iterator[int]:
    """Start a process that takes a lock, and stop it, as Ctrl-Z does. Yields its id."""
    command = [sys.executable, "-c", f"{code.format(path=str(path))}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TIMEOUT_S", 0.2)


@pytest.mark.parametrize("command", ["promote", "rollback"])
@pytest.mark.parametrize("lock", [(_WRITE_LOCK, STORE), (_FILE_LOCK, f"{STORE}.lock")], ids=["write", "start"])
@pytest.mark.usefixtures("uri", "impatient")
def test_a_stopped_process_that_holds_a_lock_is_named(tmp_path, command, lock):
    add_version(noise=0.05, size=80, role="reference")
    code, name = lock
    with stopped(code, tmp_path / name) as pid:
        result = call(command)

    assert result.exit_code == 2, result.output
    (line,) = result.output.splitlines()
    assert line.startswith("Error: The tracking store ")
    assert "locked" in line
    if Path("/proc/locks").exists():
        assert f"held by process {pid} (" in line
        assert f"which is stopped. Continue it: kill -CONT {pid}" in line


def test_history_is_read_beside_a_process_that_writes(uri, tmp_path, impatient):
    add_version(noise=0.05, size=80, role="reference")

    with stopped(_WRITE_LOCK, tmp_path / STORE):
        beside_a_write = call("history")
    with stopped(_COMMIT_LOCK, tmp_path / STORE):
        beside_a_commit = call("history")

    assert beside_a_write.exit_code == 0, beside_a_write.output
    assert beside_a_commit.exit_code == 2, beside_a_commit.output
    assert "mlflow.db is locked: it is held by" in beside_a_commit.output


def test_a_process_that_works_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "TIMEOUT_S", 0.01)
    waits: list[Path] = []
    monkeypatch.setattr(locks, "holder_of", lambda path: waits.append(path) or locks.Holder(1, "", is_stopped=False))
    lock = tmp_path / "lock"

    with file_lock(lock), pytest.raises(TrackingError, match=r"is held by process 1. Wait for it"), file_lock(lock):
        raise AssertionError("two hold one lock")

    assert len(waits) == 8


def test_a_file_that_nobody_locks_has_no_holder(tmp_path):
    (tmp_path / "x").touch()

    assert holder_of(tmp_path / "x") is None
    assert holder_of(tmp_path / "none") is None


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_database_that_becomes_read_only_is_one_message(uri, command):
    add_version(noise=0.05, size=80, role="reference")
    with read_only(), TestCase().assertNoLogs(level="ERROR"):
        result = call(command)

    assert result.exit_code == 2, result.output
    assert "readonly" in result.output
    assert "Traceback" not in result.output


def test_a_file_that_is_no_database_is_one_message(tmp_path):
    path = tmp_path / STORE
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(TrackingError, match=r"cannot be opened: file is not a database\. Restore"):
        check_usable(path, writes=True)


def test_a_store_that_stays_locked_is_given_up_by_the_clock(uri):
    add_version(noise=0.05, size=80, role="reference")
    store = connect()
    listing, times = list_all(store, NAME), iter(range(0, 1000, 10))
    store.client.set_registered_model_alias(NAME, "champion", "1")

    with read_only(), pytest.raises(TrackingError, match=r"could not be moved: .*readonly"):
        reconcile(store, listing, clock=lambda: float(next(times)))

    assert next(times) == 30, "the clock is read at the start and after each of two tries"
