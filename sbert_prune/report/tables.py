"""Tables and numbers as text: Markdown tables, and scores with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import MARGIN

if TYPE_CHECKING:
    from sbert_prune.evaluation.bootstrap import Score


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, with the first column aligned left and the others right; "" without rows."""
    body = [list(map(_cell, row)) for row in rows]
    if not body:
        return ""
    rule = [":---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(map(_cell, header)), rule, *body))


def with_interval(score: Score, digits: int = 4) -> str:
    """Format a score with its 95 % interval: 0.8123 [0.7951, 0.8287]."""
    low, high = score.interval()
    return f"{score.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def metric_with_interval(metrics: Mapping[str, float], name: str) -> str:
    """Format a logged score with its logged interval: 0.8123 [0.795, 0.829]; "-" if it was not logged."""
    if name not in metrics:
        return "-"
    low, high = (metrics.get(f"{name}_{end}") for end in ("low", "high"))
    return f"{metrics[name]:.4f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else "")


def signed(score: Score, digits: int = 4) -> str:
    """Format a difference with its 95 % interval: +0.0123 [-0.0051, +0.0287]."""
    low, high = score.interval()
    return f"{score.value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def with_risk(difference: Score) -> str:
    """Format a difference with its 95 % interval and the probability that it is below minus a point."""
    return f"{signed(difference)}, P(worse) {difference.probability_below(-MARGIN):.3f}"


def plain(value: float) -> str:
    """Format a number: 22,713,216; 182.7; 0.0225."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(value: object) -> str:
    text = "" if value is None else plain(value) if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
