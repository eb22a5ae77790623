"""What a tracking store does not take is kept on disk, in order, until it does."""

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

_PAUSE_S = (
    30.0  # for so long a store that failed is not asked again: training does not wait for it at every optimizer step
)
_LONGEST_PAUSE_S = 300.0  # a pause doubles up to this, as a store that hangs costs half a minute each time
_AT_ONCE_S = 5.0  # what a long failure has left is delivered in portions, so that training goes on in between


@dataclass(frozen=True)
class Entry:
    """One thing to record about a run.

    content: plain values that JSON holds; each metric with the time and step of its measurement.  time_ms: since 1970.
    """

    run_id: str
    kind: Kind
    content: Any
    time_ms: int

    def to_line(self, store: str) -> str:
        """As a line of JSON; `store` is there for people who read it."""
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
        """The entry of a line; None for one that a killed process or a full disk broke off."""
        try:
            values = json.loads(line if line.endswith("\n") else "")
            return cls(values["run_id"], values["kind"], values["content"], values["time_ms"])
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Fault:
    """Why a store has not taken an entry. lasting: it never will.  answered: it spoke, so it may take the entries of other runs."""

    message: str
    lasting: bool
    answered: bool


Send = Callable[[Entry], Fault | None]
"""Gives an entry to a store; None when it was taken. An entry that is given twice must do no harm."""


@dataclass
class Account:
    """What became of entries. failures: how often the store did not answer.  late: entries delivered all the same.  refused: in words."""

    failures: int = 0
    late: int = 0
    refused: list[str] = field(default_factory=list)


class Spool:
    """The undelivered entries of one store: a file for each process that has some, locked while the process lives."""

    def __init__(self, folder: Path, store: str) -> None:
        """folder: is made when something is kept, and goes with the last of it.  store: a URI without password."""
        self.folder = folder
        self._store = store
        self._prefix = hashlib.sha256(store.encode()).hexdigest()[:12]
        self._own: Path | None = None
        self._held: dict[Path, FileLock] = {}
        self._unwritten: list[str] = []

    @property
    def has_own(self) -> bool:
        """Whether entries of this process wait."""
        return self._own is not None or bool(self._unwritten)

    def keep(self, entry: Entry) -> None:
        """Append an entry. What the disk does not take stays in memory, to be written with the next one."""
        self._unwritten.append(entry.to_line(self._store))
        with suppress(OSError):
            self._write()

    def offer(self, stays: Callable[[Entry], bool]) -> None:
        """Offer the entries of this process in order, and forget those that need not stay."""
        with suppress(OSError):
            self._write()
        if self._own is not None:
            self._offer_file(self._own, stays)
        if self._own is None:
            self._unwritten = [
                line for line in self._unwritten if (entry := Entry.parse(line)) is not None and stays(entry)
            ]

    def offer_inherited(self, stays: Callable[[Entry], bool]) -> None:
        """Offer the entries of processes that have ended, oldest first."""
        for path in sorted(self.folder.glob(f"{self._prefix}-*.jsonl")):
            with suppress(Timeout, OSError):  # its process lives, and delivers it itself
                if path not in self._held:
                    self._hold(path)
                if path != self._own:
                    self._offer_file(path, stays)

    def release(self) -> tuple[int, int]:
        """Let go of all files, for other processes to take over. Returns how many entries stay in them, and how many are in none: lost."""
        rest = sum(1 for path in self._held for _ in _read(path)), len(self._unwritten)
        for lock in self._held.values():
            lock.release()
        self._held, self._own, self._unwritten = {}, None, []
        return rest

    def _write(self) -> None:
        if not self._unwritten:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._own is None:
            self._own = self._hold(self.folder / f"{self._prefix}-{time.time_ns()}-{secrets.token_hex(4)}.jsonl")
        with self._own.open("a", encoding="utf-8") as file:
            file.write(
                "\n" + "".join(self._unwritten)
            )  # on a line of its own, whatever a write that broke off has left
            file.flush()
            os.fsync(file.fileno())
        self._unwritten.clear()

    def _hold(self, path: Path) -> Path:
        lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        lock.acquire(timeout=0)
        self._held[path] = lock
        return path

    def _offer_file(self, path: Path, stays: Callable[[Entry], bool]) -> None:
        verdicts = [stays(entry) for entry in _read(path)]
        with suppress(OSError):  # what was delivered is then delivered twice
            if not any(verdicts):
                self._drop(path)
            elif not all(verdicts):
                self._cut_down(path, verdicts)

    def _drop(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".partial").unlink(missing_ok=True)
        self._held.pop(path).release()
        path.with_suffix(".lock").unlink(missing_ok=True)
        if path == self._own:
            self._own = None
        self.folder.rmdir()  # refused while something is in it
        self.folder.parent.rmdir()

    def _cut_down(self, path: Path, stay: list[bool]) -> None:
        beside = path.with_suffix(".partial")
        with beside.open("w", encoding="utf-8") as rest:
            rest.writelines(entry.to_line(self._store) for entry, stays in zip(_read(path), stay, strict=True) if stays)
            rest.flush()
            os.fsync(rest.fileno())
        beside.replace(path)


def _read(path: Path) -> Iterator[Entry]:
    with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
        yield from (entry for line in file if (entry := Entry.parse(line)) is not None)


class Outbox:
    """Gives entries to a store in order; keeps those that it does not take, and asks again after a pause.

    Attributes:
        mine: What became of this process's entries.
        inherited: What became of those that earlier processes left.
        spool: Where entries are kept.
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
        """Begin with a store that is taken to answer.

        Args:
            send: Gives an entry to the store.
            spool: Where entries are kept that the store does not take.
            notify: Is told when the store begins to fail.
            pause_s: For how long a store that failed is not asked again, the first time.
            clock: Tells the time, in seconds since any moment.
        """
        self.mine, self.inherited, self.spool = Account(), Account(), spool
        self._send, self._notify = send, notify
        self._first_pause_s, self._clock = pause_s, clock
        self._lock = threading.RLock()  # system metrics come from a thread of their own
        self._pause_s = self._quiet_until = 0.0

    def put(self, entry: Entry) -> None:
        """Deliver an entry, or keep it behind those that wait already. A store that fails raises nothing here."""
        with self._lock:
            try:
                if (
                    self._clock() < self._quiet_until
                    or not self._caught_up()
                    or self._give(entry, self.mine) is not None
                ):
                    self.spool.keep(entry)
                else:
                    self._pause_s = 0.0
            except (KeyboardInterrupt, SystemExit):
                self.spool.keep(entry)  # a signal came while the store was asked: it may not have the entry yet
                raise

    def wake(self) -> None:
        """The store has answered somebody: the pause is over."""
        self._quiet_until = 0.0

    def deliver(self) -> None:
        """Offer all that is kept, however recently the store failed."""
        with self._lock:
            stuck: set[str] = set()
            self.spool.offer(partial(self._stays, self.mine, math.inf, stuck))
            self.spool.offer_inherited(partial(self._stays, self.inherited, math.inf, stuck))

    def close(self) -> tuple[int, int]:
        """Offer all one last time, and leave what stays to the next process. Returns how many entries stay, and how many are lost."""
        with self._lock:
            self.deliver()
            return self.spool.release()

    def _caught_up(self) -> bool:
        if self.spool.has_own:
            self.spool.offer(partial(self._stays, self.mine, self._clock() + _AT_ONCE_S, set()))
        return not self.spool.has_own

    def _stays(self, account: Account, until: float, stuck: set[str], entry: Entry) -> bool:
        """stuck: runs of which an entry stays, so that the later ones stay as well; "" where the store does not answer at all."""
        if entry.run_id in stuck or "" in stuck or self._clock() >= until:
            return True
        fault = self._give(entry, account, late=True)
        if fault is not None:
            stuck.add(entry.run_id if fault.answered else "")
        return fault is not None

    def _give(self, entry: Entry, account: Account, *, late: bool = False) -> Fault | None:
        """Returns a fault where the entry is to be kept."""
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
                f"the tracking store does not take what is logged: it is kept in {self.spool.folder} until it does ({fault.message})"
            )
        self._pause_s = min(max(2 * self._pause_s, self._first_pause_s), _LONGEST_PAUSE_S)
        self._quiet_until = self._clock() + self._pause_s
