"""What a command is doing and how long it will still take: a bar on a terminal, in a log a line when it is silent."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from shutil import get_terminal_size

import click

_DRAW_EVERY_S = 0.25
_BAR_AFTER_S = 0.6  # a command that answers at once shows no bar
_ENOUGH_S = 2.0
_LOOK_EVERY_S = 1.0
_BAR_WIDTH = 20
_TURNING = "|/-\\"
_ERASE = "\r\x1b[2K"
_SILENT_S = 20.0
"""After so many seconds without a line, a log gets one."""


@dataclass(frozen=True)
class Part:
    """A step that is ahead.

    Attributes:
        owner: What it belongs to: the key of a variant. Its parts are dropped together.
        step: The name of the step.
        work: How much each of its activities computes, in their order, in any unit that is the same for all parts.
        fixed_s: Seconds that do not depend on the work.
    """

    owner: str
    step: str
    work: dict[str, float] = field(default_factory=dict)
    fixed_s: float = 0.0


@dataclass(frozen=True)
class _Timed:
    """Work that was done, and the seconds that it took."""

    work: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: _Timed) -> _Timed:
        return _Timed(self.work + other.work, self.seconds + other.seconds)

    @property
    def speed(self) -> float | None:
        """Seconds for one unit of work; None before a few seconds were timed."""
        return self.seconds / self.work if self.work and self.seconds >= _ENOUGH_S else None


@dataclass
class Outlook:
    """The parts ahead, and the speed of what was computed so far."""

    clock: Callable[[], float] = time.monotonic
    ahead: list[Part] = field(default_factory=list)
    current: Part = Part("", "")
    _known: set[str] = field(default_factory=set)
    _all: _Timed = field(default_factory=_Timed)
    _here: _Timed = field(default_factory=_Timed)
    _activity: str = ""
    _share: float = 0.0
    _at: float = 0.0

    def expect(self, owner: str, parts: Iterable[Part]) -> None:
        """Add the parts of an owner, unless they were added before."""
        if owner not in self._known:
            self._known.add(owner)
            self.ahead += parts

    def drop(self, owner: str) -> None:
        """Remove the parts of an owner, which exists already or is left out."""
        self._known.add(owner)
        self.ahead = [part for part in self.ahead if part.owner != owner]

    def begin(self, step: str) -> None:
        """Begin the next part of a step; one that was not expected is a part of its own."""
        self.current = next((part for part in self.ahead if part.step == step), Part("", step))
        self.ahead = [part for part in self.ahead if part is not self.current]
        self._activity, self._here, self._at = "", _Timed(), self.clock()

    def advance(self, activity: str, share: float) -> None:
        """Note how much of an activity is done, 0 to 1; the first call only notes where it begins."""
        now = self.clock()
        if activity != self._activity:
            self._activity, self._here = activity, _Timed()
        elif share > self._share and (work := self._work.get(activity)):
            timed = _Timed(work * (share - self._share), now - self._at)
            self._here += timed
            if self.current.owner:
                self._all += timed
        self._share, self._at = share, now

    @property
    def left_s(self) -> float | None:
        """Seconds that the command will still take, or the step, if it was not expected; None if nothing was timed."""
        speed = self._all.speed or self._here.speed
        if speed is None:
            return None
        ahead = sum(speed * sum(part.work.values()) + part.fixed_s for part in self.ahead)
        work, activity = self._work, self._activity  # another thread may ask while they change
        names = list(work)
        begun = names.index(activity) if activity in names else -1
        later = speed * sum(work[name] for name in names[begun + 1 :])
        now = self.current.fixed_s
        if begun >= 0:
            now += (1 - self._share) * work[activity] * (self._here.speed or speed)
        return ahead + later + max(0.0, now - (self.clock() - self._at))

    @property
    def _work(self) -> dict[str, float]:
        return self.current.work if self.current.owner else {self._activity: 1.0}


class _Display:
    """Shows the outlook from a thread of its own, since libraries compute for minutes without returning."""

    def __init__(self) -> None:
        self.outlook, self.activity, self.note = Outlook(), "loading", ""
        self.began = self.printed = time.monotonic()
        self._ended = threading.Event()
        self._file, self._is_drawn = sys.stdout, False
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._show, daemon=True, name="progress")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def line(self) -> str:
        """Return what the command is doing, as a line for a log."""
        doing = ": ".join(filter(None, (self.outlook.current.step, self.activity)))
        return ", ".join(filter(None, (doing, f"{format_duration(time.monotonic() - self.began)} so far", left_text())))

    def print(self, *lines: str) -> None:
        """Print lines; the bar stays below them."""
        with self._lock:
            self._erase()
            self.printed = time.monotonic()
            for line in lines:
                click.echo(line)

    def _show(self) -> None:
        if self._file.isatty():
            self._ended.wait(_BAR_AFTER_S)
            while not self._ended.wait(_DRAW_EVERY_S):
                with self._lock:
                    self._draw()
            self._erase()
            return
        while not self._ended.wait(_LOOK_EVERY_S):
            if time.monotonic() - self.printed >= _SILENT_S:
                with suppress(ValueError, OSError):  # the output was closed
                    self.print(self.line())

    def _draw(self) -> None:
        left, elapsed = self.outlook.left_s, time.monotonic() - self.began
        share = 0.0 if left is None else elapsed / (elapsed + left)
        bar = ("#" * round(_BAR_WIDTH * share)).ljust(_BAR_WIDTH, ".")
        clock = f"{elapsed // 60:.0f}:{elapsed % 60:02.0f}"
        doing = ", ".join(filter(None, (left_text(), self.activity, self.note)))
        turning, step = _TURNING[int(4 * elapsed) % len(_TURNING)], self.outlook.current.step
        text = " ".join(filter(None, (turning, step, f"[{bar}]", clock, doing)))
        self._write(f"{_ERASE}{text[: get_terminal_size().columns - 1]}")
        self._is_drawn = True

    def _erase(self) -> None:
        if self._is_drawn:
            self._write(_ERASE)
            self._is_drawn = False

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed
            self._file.write(text)
            self._file.flush()


_display = _Display()


@contextmanager
def shown() -> Iterator[None]:
    """Show what the command inside the block is doing, from its first second on."""
    global _display  # noqa: PLW0603 - one command at a time
    _display = _Display()
    _display.start()
    try:
        yield
    finally:
        _display.stop()


def outlook() -> Outlook:
    """Return the outlook of the running command."""
    return _display.outlook


def begin_step(step: str) -> None:
    """Note that a step begins; "" ends the one before."""
    _display.outlook.begin(step)
    _display.activity = _display.note = ""


def doing(activity: str, share: float | None = None) -> None:
    """Note what the command is doing inside a step, and how much of that is done, 0 to 1."""
    _display.activity = activity if share is None else f"{activity} {share:.0%}"
    if share is not None:
        _display.outlook.advance(activity, share)


def note(text: str) -> None:
    """Show a text beside the bar until the step ends."""
    _display.note = text


def print_lines(*lines: str) -> None:
    """Print lines, above the bar."""
    _display.print(*lines)


def printed_s() -> float:
    """Return the seconds since a line was printed."""
    return time.monotonic() - _display.printed


def left_text() -> str:
    """Return how long the command, or a step that is a command of its own, will still take; empty if unknown."""
    left = outlook().left_s
    return "" if left is None or left < 1 else f"about {format_duration(left)} left"


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
