"""One row of the doctor's table."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sbert_prune.errors import SbertPruneError
from sbert_prune.tracking.store_uri import without_password

State = Literal["ok", "warn", "fail", "-"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one thing gave.

    state: "-" where nothing could or need be looked at.  found: for people.
    advice, command: what mends it, in words and as it is typed; there for warn and fail, empty for the others.
    """

    check: str
    state: State
    found: str
    advice: str = ""
    command: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether there is something to mend."""
        return self.state in {"warn", "fail"}


def in_bytes(number: float) -> str:
    """A number of bytes for people: "11 MB", "1.9 GB"."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def refused(check: str, error: Exception, command: str) -> Finding:
    """The row for an error of ours: its first sentence says what was found, the others what to do."""
    found, _, advice = re.sub(r"(?<=[.?!])\s+(?=[A-Z])", "\n", str(error).strip(), count=1).partition("\n")
    return Finding(check, "fail", found, advice or found, command)


PATIENCE_S = 20.0
"""For what a busy machine may take long over, too."""

OURS = ("This is a fault of the check, not of your machine: go on, and please report it with this line.", "python -m pipelines doctor")


@dataclass(frozen=True)
class Check:
    """One look. mend: what is said, as (advice, command), where it does not end in time or a mistake of the user's comes out of it."""

    name: str
    look: Callable[[], list[Finding]]
    mend: tuple[str, str] = OURS
    within_s: float = PATIENCE_S


@dataclass
class _Looking:
    check: Check
    findings: list[Finding] = field(default_factory=list)

    def run(self) -> None:
        check = self.check
        try:
            self.findings = check.look()
        except SbertPruneError as error:
            self.findings = [Finding(check.name, "fail", str(error), *check.mend)]
        except Exception as error:  # noqa: BLE001 - the other checks are worth having all the same
            told = without_password(f"{type(error).__name__}: {error}")
            self.findings = [Finding(check.name, "warn", f"could not be looked at ({told})", *OURS)]


def run_checks(checks: Iterable[Check]) -> list[Finding]:
    """The findings of all checks, in the order of the checks; one that takes longer than it may is left behind, and fails."""
    began = time.monotonic()
    looking = [_Looking(check) for check in checks]
    # Daemons: Python does not wait at its end for a server that one of them still waits for.
    threads = [threading.Thread(target=one.run, name=one.check.name, daemon=True) for one in looking]
    for thread in threads:
        thread.start()
    for thread, one in zip(threads, looking, strict=True):
        thread.join(max(0.0, began + one.check.within_s - time.monotonic()))
    return [finding for one in looking for finding in one.findings or [_late(one.check)]]


def _late(check: Check) -> Finding:
    return Finding(check.name, "fail", f"no answer within {check.within_s:g} s", *check.mend)


_COLOURS: dict[State, str] = {"ok": "green", "warn": "yellow", "fail": "bold red", "-": "dim"}
_UNFOLDED = 100_000  # columns: where nobody looks at the width, a row is a line, to be searched by programs


def print_findings(findings: Sequence[Finding]) -> None:
    """Print one row a finding, and what mends those that are wrong, the worst first; plain where the output is no terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=_UNFOLDED, color_system=None, highlight=False, markup=False)
    table = Table("check", "state", "found", box=box.SIMPLE if console.is_terminal else None, pad_edge=False)
    table.columns[0].no_wrap = True
    for finding in findings:
        table.add_row(finding.check, Text(finding.state, _COLOURS[finding.state]), Text(" ".join(finding.found.split())))
    with console.capture() as captured:
        console.print(table)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")
    print(*_to_do(findings), sep="\n")


def _to_do(findings: Sequence[Finding]) -> list[str]:
    wrong = sorted((finding for finding in findings if finding.is_wrong), key=lambda finding: finding.state)  # fail before warn
    if not wrong:
        return ["", "Nothing to mend."]
    num_fails = sum(finding.state == "fail" for finding in wrong)
    lines = ["", f"To mend: {num_fails} that fail, {len(wrong) - num_fails} to know about."]
    for finding in wrong:
        lines += ["", f"{finding.state}  {finding.check}: {finding.advice}", f"      {finding.command}"]
    return lines
