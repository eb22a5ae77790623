"""The shares of one STS file that become train, dev and test."""

import math
from typing import Annotated

from pydantic import BeforeValidator


def parse_shares(value: object) -> tuple[float, ...]:
    """Three shares above 0 that sum to 1 within 1e-6, from text ("0.8,0.1,0.1") or a list.

    Raises ValueError saying what would be right.
    """
    parts = value.split(",") if isinstance(value, str) else value
    try:
        shares = tuple(float(part) for part in parts) if isinstance(parts, list | tuple) else ()
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or not all(0 < share < math.inf for share in shares):
        raise ValueError("write three shares above 0, of train, dev and test, such as 0.8,0.1,0.1")
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"the shares of train, dev and test sum to {sum(shares):g}, not to 1. Write them such as 0.8,0.1,0.1")
    return shares


Shares = Annotated[tuple[float, float, float], BeforeValidator(parse_shares)]

DEFAULT_SHARES = (0.8, 0.1, 0.1)
