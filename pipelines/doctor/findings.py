"""One row of the doctor's table."""

import re
from dataclasses import dataclass
from typing import Literal

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
