"""Checks side by side: each has its own time, and none takes another one along."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipelines.doctor.findings import Finding
from sbert_prune.errors import SbertPruneError
from sbert_prune.tracking.store_uri import without_password

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
