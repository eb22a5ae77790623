"""The heartbeat of an open run: which process writes it, and when it was last written."""

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
"""After so many seconds without a heartbeat, a process on another machine is considered dead."""


@dataclass(frozen=True)
class Heartbeat:
    """One heartbeat: when it was written, and by which process on which host."""

    at: datetime
    host: str
    process: Process

    @classmethod
    def now(cls) -> Self:
        """Return a heartbeat of this process."""
        return cls(datetime.now(UTC), re.sub(r"\s", "_", platform.node()) or "unknown", Process.current())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse what `str` wrote; return None for anything else."""
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
        """Whether its process has ended: checked on this machine, inferred from missing heartbeats for another one."""
        runs = self.process.is_running
        return (datetime.now(UTC) - self.at).total_seconds() > SILENT_S if runs is None else not runs


class Pulse:
    """Writes a heartbeat for every open run at intervals, from a thread that exists while a run is open."""

    def __init__(self, beat: Callable[[str, Heartbeat], None], *, every_s: float = EVERY_S) -> None:
        """Prepare heartbeats; they begin with the first run that is opened.

        Args:
            beat: Writes a heartbeat to the run with this id; must not raise.
            every_s: Seconds between two heartbeats of a run.
        """
        self._beat, self._every_s = beat, every_s
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def begin(self, run_id: str) -> None:
        """Begin the heartbeats of a run."""
        with self._lock:
            self._open.add(run_id)
            if len(self._open) == 1:
                self._stopped = threading.Event()
                threading.Thread(target=self._watch, args=(self._stopped,), daemon=True, name="heartbeat").start()

    def end(self, run_id: str) -> None:
        """End the heartbeats of a run."""
        with self._lock:
            self._open.discard(run_id)
            if not self._open:
                self._stopped.set()

    def _watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._every_s):
            with self._lock:
                runs = sorted(self._open)
            for run_id in runs:
                self._beat(run_id, Heartbeat.now())
