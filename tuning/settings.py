"""How to search, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

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


SAMPLER_NAMES = ("tpe", "gp", "nsga2", "cmaes", "random")

Screening = Literal["shared", "untrained", "none"]
SCREENINGS: tuple[Screening, ...] = ("shared", "untrained", "none")


@dataclass(frozen=True)
class Limits:
    """keep_models: bytes of so many of the best are kept, besides those of the Pareto front.  max_gb: and no more than this."""

    keep_models: int = 3
    max_gb: float | None = None


@dataclass(frozen=True)
class Settings:
    """trials: the total.  workers: trials at once.  finalists: so many of the best are trained with further seeds.

    seeds: of the finalists; none takes the recipe's and the next.  storage: a database's URL; None keeps a journal here.
    Raises SearchError for what there is not.
    """

    aim: Aim
    trials: int = 20
    workers: int = 1
    finalists: int = 3
    seeds: tuple[int, ...] = ()
    sampler: str = "tpe"
    screening: Screening = "shared"
    storage: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, value, known in (("sampler", self.sampler, SAMPLER_NAMES), ("screening", self.screening, SCREENINGS)):
            if value not in known:
                raise SearchError(f"{name}={value}: there is no such {name}. There are {', '.join(known)}.")
        if self.storage is not None and urlsplit(self.storage).password is not None:
            raise SearchError(
                "storage holds a password, which `mlflow run` would log. Leave it out of the URL, and set PGPASSWORD (or write ~/.pgpass)."
            )
        if self.sampler == "cmaes" and self.aim.against is not None:
            raise SearchError("sampler=cmaes knows one objective alone. Leave against out, or take tpe, gp or nsga2.")
