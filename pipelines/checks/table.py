"""The doctor's findings as a table, and below it what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.doctor.findings import Finding, State

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
