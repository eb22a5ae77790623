"""The settings of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sbert_prune.errors import SearchError
from sbert_prune.metrics import LATENCY, SIZE, STS_DEV
from sbert_prune.tracking.secrets import has_password

AGAINST = {"size_mb": SIZE, "latency_ms": LATENCY}
"""What the dev score can be weighed against, with the metric that measures it."""


@dataclass(frozen=True)
class Aim:
    """The objectives and limits of a search.

    Attributes:
        against: The second objective, a name in AGAINST; None for the dev score alone.
        max_size_mb: Largest size that a variant may have.
        max_latency_ms: Longest time that one sentence may take.

    Raises:
        SearchError: `against` is another name.
    """

    against: str | None = None
    max_size_mb: float | None = None
    max_latency_ms: float | None = None

    def __post_init__(self) -> None:
        if self.against is not None and self.against not in AGAINST:
            raise SearchError(f"against={self.against}: the dev score can be weighed against {' or '.join(AGAINST)}.")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the objectives, by their names in MLflow."""
        return (STS_DEV,) if self.against is None else (STS_DEV, AGAINST[self.against])

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Return the direction of each objective."""
        return ("maximize",) if self.against is None else ("maximize", "minimize")

    @property
    def needs_latency(self) -> bool:
        """Return whether latencies have to be measured."""
        return self.max_latency_ms is not None or self.against == "latency_ms"

    def __str__(self) -> str:
        units = (("MB", self.max_size_mb), ("ms", self.max_latency_ms))
        limits = [f"{unit} at most {limit:g}" for unit, limit in units if limit is not None]
        return ", ".join([f"dev score{f' against {self.against}' if self.against else ''}", *limits])


SAMPLER_NAMES = ("tpe", "gp", "nsga2", "cmaes", "random")

Screening = Literal["shared", "untrained", "none"]
SCREENINGS: tuple[Screening, ...] = ("shared", "untrained", "none")


@dataclass(frozen=True)
class Limits:
    """Limits on the bytes that are kept.

    Attributes:
        keep_models: How many of the best trials keep their bytes, besides the Pareto front.
        max_gb: Most that the kept bytes may take; None for no limit.
    """

    keep_models: int = 3
    max_gb: float | None = None


@dataclass(frozen=True)
class Settings:
    """How to search.

    Attributes:
        aim: The objectives and limits.
        trials: Total number of trials.
        workers: How many trials are trained at once.
        finalists: How many of the best trials are trained with further seeds.
        controls: How many controls are trained; None for as many as fit into a fifth of the trials' training time.
        seeds: Seeds of the finalists; empty for the recipe's seed and the next.
        sampler: A name in SAMPLER_NAMES.
        screening: How selections are screened.
        storage: URL of a database for the study; None keeps a journal beside the tracking store.
        limits: Limits on the bytes that are kept.

    Raises:
        SearchError: A name is unknown, or settings do not go together.
    """

    aim: Aim
    trials: int = 20
    workers: int = 1
    finalists: int = 3
    controls: int | None = None
    seeds: tuple[int, ...] = ()
    sampler: str = "tpe"
    screening: Screening = "shared"
    storage: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("sampler", self.sampler, SAMPLER_NAMES),
            ("screening", self.screening, SCREENINGS),
        ):
            if value not in choices:
                raise SearchError(f"{name}={value}: there is no such {name}. There are {', '.join(choices)}.")
        if self.storage is not None and has_password(self.storage):
            raise SearchError(
                "storage contains a password, which `mlflow run` would log. Leave it out of the URL, and set "
                "PGPASSWORD (or write ~/.pgpass)."
            )
        if self.sampler == "cmaes" and self.aim.against is not None:
            raise SearchError("sampler=cmaes supports one objective only. Leave against out, or take tpe, gp or nsga2.")
