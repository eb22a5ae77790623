"""The sign of life that an open run carries: which process writes it, and when that process was last seen."""

from __future__ import annotations

import platform
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from sbert_prune.system.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 60.0
SILENT_S = 15 * 60.0
"""After so long without a sign, a process on another machine is taken for dead."""


@dataclass(frozen=True)
class Heartbeat:
    """One sign of life. at: when it was given."""

    at: datetime
    host: str
    process: Process

    @classmethod
    def now(cls) -> Self:
        """This process's."""
        return cls(datetime.now(UTC), re.sub(r"\s", "_", platform.node()) or "unknown", Process.current())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` wrote; None for anything else."""
        parts = text.split()
        process = Process.parse(parts[-1]) if len(parts) == 3 else None
        try:
            return cls(datetime.fromisoformat(parts[0]), parts[1], process) if process else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.at.isoformat(timespec='seconds')} {self.host} {self.process}"

    @property
    def is_of_dead_process(self) -> bool:
        """Whether its process has ended: seen on this machine, concluded from silence for another."""
        runs = self.process.is_running
        return (datetime.now(UTC) - self.at).total_seconds() > SILENT_S if runs is None else not runs


class Pulse:
    """Gives a sign of life for every open run, again and again, from a thread that lives while a run is open."""

    def __init__(self, beat: Callable[[str, Heartbeat], None], *, every_s: float = EVERY_S) -> None:
        """Prepare signs of life; the first run that is opened begins them.

        Args:
            beat: Writes a sign to the run with this id; must not raise.
            every_s: Seconds between two signs of a run.
        """
        self._beat, self._every_s = beat, every_s
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def begin(self, run_id: str) -> None:
        """A run was opened."""
        with self._lock:
            self._open.add(run_id)
            if len(self._open) == 1:
                self._over = threading.Event()
                threading.Thread(target=self._watch, args=(self._over,), daemon=True, name="heartbeat").start()

    def end(self, run_id: str) -> None:
        """A run was closed."""
        with self._lock:
            self._open.discard(run_id)
            if not self._open:
                self._over.set()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(self._every_s):
            with self._lock:
                runs = sorted(self._open)
            for run_id in runs:
                self._beat(run_id, Heartbeat.now())
