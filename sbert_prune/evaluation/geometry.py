"""How a model's embeddings fill their space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.evaluation.measures import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.evaluation.embeddings import Embedded

_CONSTANT = 1e-12  # of the vectors' squared length: above what rounding to float32 leaves of equal ones, below any real variance


@dataclass(frozen=True, slots=True)
class Geometry:
    """The form of a cloud of embeddings, each of length 1: only directions count, as in a cosine.

    anisotropy: mean cosine of two different sentences, -1 to 1; 0 where they point everywhere alike, 1 where all are the same
        (Ethayarajh 2019, arXiv 1909.00512).
    effective_rank: how many directions they vary in, 1 to their number or width; 0 where they do not vary (Roy & Vetterli 2007).
    first_direction: share of their variance that lies in one direction, 0 to 1.
    """

    anisotropy: float
    effective_rank: float
    first_direction: float

    @classmethod
    def of(cls, unit: NDArray[np.float64]) -> Geometry:
        """Look at two or more vectors of length 1. *Shape:* (sentences, dim)"""
        num, squares = len(unit), float(np.einsum("ij,ij->", unit, unit))
        mean = unit.mean(axis=0)
        anisotropy = (num * num * float(mean @ mean) - squares) / (num * (num - 1))  # all pairs, less each with itself
        variances = _variances(unit - mean)
        total = float(variances.sum())
        if total <= _CONSTANT * squares:
            return cls(anisotropy, 0.0, 1.0)
        return cls(anisotropy, _effective_rank(np.sqrt(variances)), float(variances[-1]) / total)


def _variances(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared singular values, ascending, from whichever of the two products is smaller. *Shapes:* (n, dim) -> (min(n, dim),)"""
    num, dim = centred.shape
    found = np.linalg.eigvalsh(centred.T @ centred if dim <= num else centred @ centred.T).astype(np.float64)
    return np.where(
        found > max(num, dim) * np.finfo(np.float64).eps * found[-1], found, 0.0
    )  # the root of rounding is no direction


def _effective_rank(singular: NDArray[np.float64]) -> float:
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class GeometryMeasure:
    """How the embeddings of some sentences fill their space: at most 2,000 of them, the same ones whatever their order.

    what: for people.
    """

    sentences: Sequence[str]
    what: str
    at_most: int = 2000

    @cached_property
    def chosen(self) -> list[str]:
        """The distinct sentences with the smallest SHA-256."""
        return sorted(set(self.sentences), key=lambda text: sha256(text.encode()).digest())[: self.at_most]

    def texts(self) -> Iterable[str]:
        """The sentences that are looked at."""
        return self.chosen

    def measure(self, embedded: Embedded) -> Measured:
        """geometry/anisotropy, geometry/effective_rank and geometry/first_direction; a note where there are no two sentences."""
        if len(self.chosen) < 2:
            return Measured(
                notes=(
                    f"{self.what}: the embeddings' geometry wants 2 sentences or more, and there are {len(self.chosen)}",
                )
            )
        found = asdict(Geometry.of(embedded.unit(self.chosen)))
        return Measured(values={f"geometry/{name}": value for name, value in found.items()})
