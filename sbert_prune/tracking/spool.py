"""A queue on disk for entries that the tracking store does not accept, delivered once it does.

The records of a run are delivered in order. An artifact waits for no other entry, and none waits for it: its files may
go to another place, which can be full or gone while the records are accepted.
"""

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
Channel = Literal["records", "artifacts"]
"""Where an entry goes. Artifacts are delivered only while records are: their run has to be asked where."""

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

    @property
    def channel(self) -> Channel:
        """Where it goes."""
        return "artifacts" if self.kind in {"text", "bytes"} else "records"

    @property
    def lane(self) -> str:
        """Entries of the same lane are delivered in order: the records of a run, and the contents of one artifact."""
        return f"{self.run_id}/{self.content['name']}" if self.channel == "artifacts" else self.run_id

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
        answered: Whether it answered at all, so that it may accept the entries of other lanes.
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
        self._prefix = queue_prefix(store)
        self._own: Path | None = None
        self._locks: dict[Path, FileLock] = {}
        self._unwritten: list[str] = []

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

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of all processes, without those that could not be written."""
        for path in sorted(self.folder.glob(f"{self._prefix}-*.jsonl")):
            yield from _read(path)

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


def queue_prefix(store: str) -> str:
    """Return the beginning of the names of a store's files in the queue, by its address without password."""
    return hashlib.sha256(store.encode()).hexdigest()[:12]


def _read(path: Path) -> Iterator[Entry]:
    with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
        yield from (entry for line in file if (entry := Entry.parse(line)) is not None)


@dataclass
class _Pause:
    """The pause of a channel that failed: its length in seconds, and its end by the clock."""

    length_s: float = 0.0
    until: float = 0.0


_REFUSERS: dict[Channel, str] = {
    "records": "the tracking store does not accept data",
    "artifacts": "the artifact store does not accept files",
}


class Outbox:
    """Delivers entries to a store; queues those that it does not accept, and tries again after a pause.

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
        self._pauses: dict[Channel, _Pause] = {"records": _Pause(), "artifacts": _Pause()}
        self._queued: dict[str, Channel] = {}  # the lanes in which entries of this process wait

    def put(self, entry: Entry) -> None:
        """Deliver an entry, or queue it behind the others of its lane. Never raises because the store fails."""
        with self._lock:
            try:
                if self._must_wait(entry) or self._send_one(entry, self.mine) is not None:
                    self._keep(entry)
                elif entry.channel not in self._queued.values():
                    self._pauses[entry.channel].length_s = 0.0
            except (KeyboardInterrupt, SystemExit):
                self._keep(entry)  # a signal interrupted the delivery
                raise

    def wake(self) -> None:
        """End the pause of records, because the store has answered another request."""
        self._pauses["records"].until = 0.0

    def queued_ends(self) -> frozenset[str]:
        """Return the ids of the runs whose end is queued, by whichever process: they have ended."""
        return frozenset(entry.run_id for entry in self.spool.entries() if entry.kind == "terminated")

    def deliver(self) -> None:
        """Try to deliver all queued entries, even during a pause."""
        with self._lock:
            stuck: set[str] = set()
            self._offer_own(math.inf, stuck)
            self.spool.offer_inherited(partial(self._stays, self.inherited, math.inf, stuck))

    def close(self) -> tuple[int, int]:
        """Try to deliver all queued entries once more, and leave the rest to the next process.

        Returns how many entries are still queued, and how many are lost.
        """
        with self._lock:
            self.deliver()
            return self.spool.release()

    def _keep(self, entry: Entry) -> None:
        self.spool.keep(entry)
        self._queued[entry.lane] = entry.channel

    def _must_wait(self, entry: Entry) -> bool:
        """Deliver a portion of what is queued and may be tried again; return whether the entry has to be queued."""
        now = self._clock()
        paused: set[str] = {channel for channel, pause in self._pauses.items() if now < pause.until}
        if "records" not in paused and set(self._queued.values()) - paused:
            self._offer_own(now + _PORTION_S, paused)
        return bool(paused & {"records", entry.channel}) or entry.lane in self._queued

    def _offer_own(self, until: float, stuck: set[str]) -> None:
        staying: dict[str, Channel] = {}

        def stays(entry: Entry) -> bool:
            if self._stays(self.mine, until, stuck, entry):
                staying[entry.lane] = entry.channel
            return entry.lane in staying

        self.spool.offer(stays)
        self._queued = staying

    def _stays(self, account: Account, until: float, stuck: set[str], entry: Entry) -> bool:
        """Deliver a queued entry; return whether it has to stay.

        Args:
            account: Where to count it.
            until: When to stop, by the clock.
            stuck: Lanes with an entry that stays, so that their later ones stay too, and channels that do not answer.
            entry: The entry.
        """
        if stuck & {"records", entry.channel, entry.lane} or self._clock() >= until:
            return True
        fault = self._send_one(entry, account, late=True)
        if fault is not None:
            stuck.add(entry.lane if fault.answered else entry.channel)
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
            self._pause(entry.channel, fault)
        return fault

    def _pause(self, channel: Channel, fault: Fault) -> None:
        pause = self._pauses[channel]
        if not pause.length_s:
            queue = f"entries are queued in {self.spool.folder} until it does"
            self._notify(f"{_REFUSERS[channel]}: {queue} ({fault.message})")
        pause.length_s = min(max(2 * pause.length_s, self._first_pause_s), _MAX_PAUSE_S)
        pause.until = self._clock() + pause.length_s
