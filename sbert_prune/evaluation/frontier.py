"""The knee of a curve of quality against size: beyond it, additional size improves quality little."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def find_knee(sizes: Sequence[float], scores: Sequence[float]) -> int | None:
    """Return the index of the knee.

    That is the point farthest above the line from the smallest point to the best, with both axes scaled to that range.
    Only points of the Pareto front are considered: those that score more than every smaller point (Satopää et al. 2011,
    "Finding a Kneedle in a Haystack"). Returns None if the front has fewer than three points or none lies above the
    line.
    """
    front: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda index: (sizes[index], -scores[index])):
        if not front or scores[index] > scores[front[-1]]:
            front.append(index)
    if len(front) < 3:
        return None
    first, last = front[0], front[-1]
    width, height = sizes[last] - sizes[first], scores[last] - scores[first]
    above = {
        index: (scores[index] - scores[first]) / height - (sizes[index] - sizes[first]) / width for index in front[1:-1]
    }
    knee = max(above, key=lambda index: above[index])
    return knee if above[knee] > 0 else None
