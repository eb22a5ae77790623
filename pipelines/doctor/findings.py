"""Run checks, and print their findings as a table."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sbert_prune.errors import SbertPruneError
from sbert_prune.tracking.secrets import without_password

State = Literal["ok", "warn", "fail", "-"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: one row of the table.

    Args:
        check: Name of the check.
        state: "-" where nothing could or had to be checked.
        found: Description of what was found.
        advice: How to fix it; empty unless the state is warn or fail.
        command: The command that fixes it; empty unless the state is warn or fail.
    """

    check: str
    state: State
    found: str
    advice: str = ""
    command: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether there is something to fix."""
        return self.state in {"warn", "fail"}


def in_bytes(number: float) -> str:
    """Format a number of bytes: "11 MB", "1.9 GB"."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def finding_from_error(check: str, error: Exception, command: str) -> Finding:
    """Return a finding for an error of this project: its first sentence is the problem, the others are the advice."""
    problem, _, advice = re.sub(r"(?<=[.?!])\s+(?=[A-Z])", "\n", str(error).strip(), count=1).partition("\n")
    return Finding(check, "fail", problem, advice or problem, command)


class Remedy(NamedTuple):
    """How to fix something: in words, and as a command."""

    advice: str
    command: str


TIMEOUT_S = 20.0
"""Long enough for a busy machine."""

REPORT_BUG = Remedy(
    "This is a bug in the check, not a problem of your machine: ignore it, and please report it with this line.",
    "python -m pipelines doctor",
)


SLOW = Remedy(
    "The machine is busy, or its packages are on a slow disk: check again when other programs have ended.",
    "python -m pipelines doctor",
)


@dataclass(frozen=True)
class Check:
    """A check.

    Args:
        name: Its name in the table.
        run: Makes the findings.
        remedy: Printed where the check takes too long or raises an error of this project.
        timeout_s: Seconds after which the check fails.
    """

    name: str
    run: Callable[[], list[Finding]]
    remedy: Remedy = REPORT_BUG
    timeout_s: float = TIMEOUT_S


@dataclass
class _Execution:
    check: Check
    findings: list[Finding] = field(default_factory=list)

    def run(self) -> None:
        check = self.check
        try:
            self.findings = check.run()
        except SbertPruneError as error:
            self.findings = [Finding(check.name, "fail", str(error), *check.remedy)]
        except Exception as error:  # noqa: BLE001 - a bug in one check must not hide the findings of the others
            message = without_password(f"{type(error).__name__}: {error}")
            self.findings = [Finding(check.name, "warn", f"could not be checked ({message})", *REPORT_BUG)]


def run_checks(checks: Iterable[Check]) -> list[Finding]:
    """Run all checks at once, and return their findings in the same order; a check that exceeds its timeout fails."""
    began = time.monotonic()
    executions = [_Execution(check) for check in checks]
    # Daemons: Python does not wait for them at exit, so a check that is stuck on a server does not delay it.
    threads = [
        threading.Thread(target=execution.run, name=execution.check.name, daemon=True) for execution in executions
    ]
    for thread in threads:
        thread.start()
    for thread, execution in zip(threads, executions, strict=True):
        thread.join(max(0.0, began + execution.check.timeout_s - time.monotonic()))
    return [finding for execution in executions for finding in execution.findings or [_timed_out(execution.check)]]


def _timed_out(check: Check) -> Finding:
    if check.remedy is REPORT_BUG:  # it waits for no service
        return Finding(check.name, "warn", f"not done within {check.timeout_s:g} s", *SLOW)
    return Finding(check.name, "fail", f"no answer within {check.timeout_s:g} s", *check.remedy)


_COLOURS: dict[State, str] = {"ok": "green", "warn": "yellow", "fail": "bold red", "-": "dim"}
_UNFOLDED = 100_000  # columns: in output that is not a terminal a row stays on one line, for grep


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a table of the findings, then the remedies, failures first; plain text if the output is not a terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=_UNFOLDED, color_system=None, highlight=False, markup=False)
    table = Table("check", "state", "found", box=box.SIMPLE if console.is_terminal else None, pad_edge=False)
    table.columns[0].no_wrap = True
    for finding in findings:
        table.add_row(
            finding.check, Text(finding.state, _COLOURS[finding.state]), Text(" ".join(finding.found.split()))
        )
    with console.capture() as captured:
        console.print(table)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")
    print(*_remedies(findings), sep="\n")


def _remedies(findings: Sequence[Finding]) -> list[str]:
    wrong = sorted(
        (finding for finding in findings if finding.is_wrong), key=lambda finding: finding.state
    )  # fail before warn
    if not wrong:
        return ["", "Nothing to fix."]
    num_fails = sum(finding.state == "fail" for finding in wrong)
    lines = ["", f"To fix: {num_fails} failed, {len(wrong) - num_fails} warnings."]
    for finding in wrong:
        lines += ["", f"{finding.state}  {finding.check}: {finding.advice}", f"      {finding.command}"]
    return lines
