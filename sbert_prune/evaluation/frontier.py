"""Where a curve of quality against size bends: past it, each megabyte buys little."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def find_knee(sizes: Sequence[float], scores: Sequence[float]) -> int | None:
    """The place of the point that lies farthest above the line from the smallest to the best, both axes scaled to that range.

    Only points that no smaller one reaches are looked at, up to the best (Satopää et al. 2011, "Finding a Kneedle in a Haystack").
    None where fewer than three are left, or none lies above the line: such a curve has no knee.
    """
    front: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda place: (sizes[place], -scores[place])):
        if not front or scores[place] > scores[front[-1]]:
            front.append(place)
    if len(front) < 3:
        return None
    first, last = front[0], front[-1]
    width, height = sizes[last] - sizes[first], scores[last] - scores[first]
    above = {
        place: (scores[place] - scores[first]) / height - (sizes[place] - sizes[first]) / width for place in front[1:-1]
    }
    knee = max(above, key=lambda place: above[place])
    return knee if above[knee] > 0 else None
