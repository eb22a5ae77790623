"""How to search, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from sbert_prune.errors import SearchError
from tuning.aim import Aim

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
