"""The sentences and pairs that importance is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sized

    from sbert_prune.data.rows import StsRow


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the methods may look at; each says what it needs, and a method that does not need a part can do with an empty one.

    sentences: of the training split, in any order.
    dev: pairs that choose; never those of the test split.
    positives: pairs of an anchor and its entailment; neighbours serve each other as negatives.
    """

    sentences: tuple[str, ...] = ()
    dev: tuple[StsRow, ...] = ()
    positives: tuple[tuple[str, str], ...] = ()


def check_enough(given: Sized, *, of: str, method: str) -> None:
    """Refuse a part of a calibration that a method cannot work with. Raises DataError naming both."""
    if len(given) < 2:
        raise DataError(f"{method} needs {of}, two or more; {len(given)} were given. Give some, or choose a method that does without.")
