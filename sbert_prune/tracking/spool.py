"""A queue on disk for entries that the tracking store does not accept, delivered in order once it does."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

Kind = Literal["metrics", "params", "tags", "inputs", "outputs", "text", "bytes", "terminated"]

_PAUSE_S = 30.0  # before a failed store is tried again; training does not wait for it at every optimizer step
_MAX_PAUSE_S = 300.0  # the pause doubles up to this, because a store that hangs costs half a minute each time
_PORTION_S = 5.0  # of delivery at a time: a long queue is delivered in portions, so that training continues in between


@dataclass(frozen=True)
class Entry:
    """One thing to record about a run.

    Attributes:
        run_id: The run.
        kind: What it is.
        content: Values that JSON can represent; each metric with the time and step of its measurement.
        time_ms: Milliseconds since 1970.
    """

    run_id: str
    kind: Kind
    content: Any
    time_ms: int

    def to_line(self, store: str) -> str:
        """Return it as a line of JSON; `store` is for readers only."""
        values = {
            "store": store,
            "run_id": self.run_id,
            "kind": self.kind,
            "time_ms": self.time_ms,
            "content": self.content,
        }
        return json.dumps(values) + "\n"

    @classmethod
    def parse(cls, line: str) -> Entry | None:
        """Parse a line; return None if it is incomplete, because the process was killed or the disk was full."""
        try:
            values = json.loads(line if line.endswith("\n") else "")
            return cls(values["run_id"], values["kind"], values["content"], values["time_ms"])
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Fault:
    """Why a store has not accepted an entry.

    Attributes:
        message: The error.
        lasting: Whether it will never accept the entry.
        answered: Whether it answered at all, so that it may accept the entries of other runs.
    """

    message: str
    lasting: bool
    answered: bool


Send = Callable[[Entry], Fault | None]
"""Delivers an entry to a store and returns None if it was accepted. Delivering an entry twice must do no harm."""


@dataclass
class Account:
    """Counts of what happened to entries.

    Attributes:
        failures: How often the store failed to accept an entry that it may accept later.
        late: Entries that were delivered from the queue.
        refused: Descriptions of entries that the store will never accept.
    """

    failures: int = 0
    late: int = 0
    refused: list[str] = field(default_factory=list)


class Spool:
    """The queue of one store: a file for each process that has undelivered entries, locked while the process runs."""

    def __init__(self, folder: Path, store: str) -> None:
        """Prepare the queue; nothing is written yet.

        Args:
            folder: Created with the first entry, and removed with the last.
            store: A URI without password.
        """
        self.folder = folder
        self._store = store
        self._prefix = hashlib.sha256(store.encode()).hexdigest()[:12]
        self._own: Path | None = None
        self._locks: dict[Path, FileLock] = {}
        self._unwritten: list[str] = []

    @property
    def has_own(self) -> bool:
        """Whether entries of this process are queued."""
        return self._own is not None or bool(self._unwritten)

    def keep(self, entry: Entry) -> None:
        """Append an entry. If it cannot be written to disk, it stays in memory and is written with the next one."""
        self._unwritten.append(entry.to_line(self._store))
        with suppress(OSError):
            self._write()

    def offer(self, stays: Callable[[Entry], bool]) -> None:
        """Pass the entries of this process to `stays` in order, and remove those for which it returns False."""
        with suppress(OSError):
            self._write()
        if self._own is not None:
            self._offer_file(self._own, stays)
        if self._own is None:
            self._unwritten = [
                line for line in self._unwritten if (entry := Entry.parse(line)) is not None and stays(entry)
            ]

    def offer_inherited(self, stays: Callable[[Entry], bool]) -> None:
        """Do the same with the entries of processes that have ended, oldest first."""
        for path in sorted(self.folder.glob(f"{self._prefix}-*.jsonl")):
            with suppress(Timeout, OSError):  # its process is running and delivers it itself
                if path not in self._locks:
                    self._lock(path)
                if path != self._own:
                    self._offer_file(path, stays)

    def release(self) -> tuple[int, int]:
        """Unlock all files, so that other processes can deliver them.

        Returns how many entries are still queued, and how many are lost, because they could not be written.
        """
        rest = sum(1 for path in self._locks for _ in _read(path)), len(self._unwritten)
        for lock in self._locks.values():
            lock.release()
        self._locks, self._own, self._unwritten = {}, None, []
        return rest

    def _write(self) -> None:
        if not self._unwritten:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._own is None:
            self._own = self._lock(self.folder / f"{self._prefix}-{time.time_ns()}-{secrets.token_hex(4)}.jsonl")
        with self._own.open("a", encoding="utf-8") as file:
            file.write("\n" + "".join(self._unwritten))  # an interrupted write may have left an incomplete line
            file.flush()
            os.fsync(file.fileno())
        self._unwritten.clear()

    def _lock(self, path: Path) -> Path:
        lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        lock.acquire(timeout=0)
        self._locks[path] = lock
        return path

    def _offer_file(self, path: Path, stays: Callable[[Entry], bool]) -> None:
        queued = [stays(entry) for entry in _read(path)]
        with suppress(OSError):  # delivered entries are then delivered again later
            if not any(queued):
                self._delete(path)
            elif not all(queued):
                self._keep_only(path, queued)

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".partial").unlink(missing_ok=True)
        self._locks.pop(path).release()
        path.with_suffix(".lock").unlink(missing_ok=True)
        if path == self._own:
            self._own = None
        self.folder.rmdir()  # fails while it is not empty
        self.folder.parent.rmdir()

    def _keep_only(self, path: Path, queued: list[bool]) -> None:
        partial_path = path.with_suffix(".partial")
        with partial_path.open("w", encoding="utf-8") as rest:
            rest.writelines(
                entry.to_line(self._store) for entry, stays in zip(_read(path), queued, strict=True) if stays
            )
            rest.flush()
            os.fsync(rest.fileno())
        partial_path.replace(path)


def _read(path: Path) -> Iterator[Entry]:
    with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
        yield from (entry for line in file if (entry := Entry.parse(line)) is not None)


class Outbox:
    """Delivers entries to a store in order; queues those that it does not accept, and tries again after a pause.

    Attributes:
        mine: Counts of this process's entries.
        inherited: Counts of the entries that earlier processes left.
        spool: The queue.
    """

    def __init__(
        self,
        send: Send,
        spool: Spool,
        notify: Callable[[str], None],
        *,
        pause_s: float = _PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with a store that is assumed to answer.

        Args:
            send: Delivers an entry to the store.
            spool: The queue for entries that the store does not accept.
            notify: Called with a message when the store begins to fail.
            pause_s: Seconds before a failed store is tried again, the first time.
            clock: Returns the time in seconds, from any origin.
        """
        self.mine, self.inherited, self.spool = Account(), Account(), spool
        self._send, self._notify = send, notify
        self._first_pause_s, self._clock = pause_s, clock
        self._lock = threading.RLock()  # system metrics come from another thread
        self._pause_s = self._paused_until = 0.0

    def put(self, entry: Entry) -> None:
        """Deliver an entry, or queue it behind the others. Never raises because the store fails."""
        with self._lock:
            try:
                if (
                    self._clock() < self._paused_until
                    or not self._caught_up()
                    or self._send_one(entry, self.mine) is not None
                ):
                    self.spool.keep(entry)
                else:
                    self._pause_s = 0.0
            except (KeyboardInterrupt, SystemExit):
                self.spool.keep(entry)  # a signal interrupted the delivery
                raise

    def wake(self) -> None:
        """End the pause, because the store has answered another request."""
        self._paused_until = 0.0

    def deliver(self) -> None:
        """Try to deliver all queued entries, even during a pause."""
        with self._lock:
            stuck: set[str] = set()
            self.spool.offer(partial(self._stays, self.mine, math.inf, stuck))
            self.spool.offer_inherited(partial(self._stays, self.inherited, math.inf, stuck))

    def close(self) -> tuple[int, int]:
        """Try to deliver all queued entries once more, and leave the rest to the next process.

        Returns how many entries are still queued, and how many are lost.
        """
        with self._lock:
            self.deliver()
            return self.spool.release()

    def _caught_up(self) -> bool:
        if self.spool.has_own:
            self.spool.offer(partial(self._stays, self.mine, self._clock() + _PORTION_S, set()))
        return not self.spool.has_own

    def _stays(self, account: Account, until: float, stuck: set[str], entry: Entry) -> bool:
        """Deliver a queued entry; return whether it has to stay.

        Args:
            account: Where to count it.
            until: When to stop, by the clock.
            stuck: Runs with an entry that stays, so that their later ones stay too; "" if the store does not answer.
            entry: The entry.
        """
        if entry.run_id in stuck or "" in stuck or self._clock() >= until:
            return True
        fault = self._send_one(entry, account, late=True)
        if fault is not None:
            stuck.add(entry.run_id if fault.answered else "")
        return fault is not None

    def _send_one(self, entry: Entry, account: Account, *, late: bool = False) -> Fault | None:
        """Deliver an entry; return a fault if it has to be queued."""
        fault = self._send(entry)
        if fault is None:
            account.late += late
            return None
        if fault.lasting:
            account.refused.append(f"{entry.kind} of run {entry.run_id}: {fault.message}")
            return None
        account.failures += 1
        if account is self.mine or not fault.answered:
            self._pause(fault)
        return fault

    def _pause(self, fault: Fault) -> None:
        if not self._pause_s:
            self._notify(
                f"the tracking store does not accept data: entries are queued in {self.spool.folder} until it does "
                f"({fault.message})"
            )
        self._pause_s = min(max(2 * self._pause_s, self._first_pause_s), _MAX_PAUSE_S)
        self._paused_until = self._clock() + self._pause_s
