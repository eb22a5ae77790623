"""What is searched for: the dev score, alone or against size or latency, under limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbert_prune.errors import SearchError
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry.policy import LATENCY, SIZE

AGAINST = {"size_mb": SIZE, "latency_ms": LATENCY}
"""What the dev score can be weighed against, and the metric that is."""


@dataclass(frozen=True)
class Aim:
    """against: the second objective, a name in AGAINST; None: the dev score alone.

    max_size_mb, max_latency_ms: what a variant may have. Raises SearchError for another name.
    """

    against: str | None = None
    max_size_mb: float | None = None
    max_latency_ms: float | None = None

    def __post_init__(self) -> None:
        if self.against is not None and self.against not in AGAINST:
            raise SearchError(f"against={self.against}: the dev score can be weighed against {' or '.join(AGAINST)}.")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives, by their names in MLflow."""
        return (STS_DEV,) if self.against is None else (STS_DEV, AGAINST[self.against])

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Of each objective."""
        return ("maximize",) if self.against is None else ("maximize", "minimize")

    @property
    def wants_latency(self) -> bool:
        """Whether anybody asks how long a sentence takes."""
        return self.max_latency_ms is not None or self.against == "latency_ms"

    def __str__(self) -> str:
        limits = [
            f"{name} at most {limit:g}" for name, limit in (("MB", self.max_size_mb), ("ms", self.max_latency_ms)) if limit is not None
        ]
        return ", ".join([f"dev score{f' against {self.against}' if self.against else ''}", *limits])
