"""Geometry of a model's embeddings: anisotropy and effective rank."""

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

_CONSTANT = 1e-12  # relative to the squared length: above float32 rounding of equal vectors, below any real variance


@dataclass(frozen=True, slots=True)
class Geometry:
    """The geometry of embeddings of length 1: only directions count, as in a cosine.

    Attributes:
        anisotropy: Mean cosine of two different sentences, -1 to 1; 0 if the directions are spread evenly, 1 if all are
            equal (Ethayarajh 2019, arXiv 1909.00512).
        effective_rank: Number of directions in which the embeddings vary, from 1 up to the smaller of their number and
            width; 0 if they do not vary (Roy & Vetterli 2007).
        first_direction: Share of the variance in the largest principal direction, 0 to 1.
    """

    anisotropy: float
    effective_rank: float
    first_direction: float

    @classmethod
    def of(cls, unit: NDArray[np.float64]) -> Geometry:
        """Measure two or more vectors of length 1. *Shape:* (sentences, dim)"""
        num, squares = len(unit), float(np.einsum("ij,ij->", unit, unit))
        mean = unit.mean(axis=0)
        # The mean over all pairs except each vector with itself.
        anisotropy = (num * num * float(mean @ mean) - squares) / (num * (num - 1))
        variances = _variances(unit - mean)
        total = float(variances.sum())
        if total <= _CONSTANT * squares:
            return cls(anisotropy, 0.0, 1.0)
        return cls(anisotropy, _effective_rank(np.sqrt(variances)), float(variances[-1]) / total)


def _variances(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared singular values, ascending, from the smaller Gram matrix. *Shapes:* (n, dim) -> (min(n, dim),)"""
    num, dim = centred.shape
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred if dim <= num else centred @ centred.T).astype(np.float64)
    smallest = max(num, dim) * np.finfo(np.float64).eps * eigenvalues[-1]  # below that is rounding
    return np.where(eigenvalues > smallest, eigenvalues, 0.0)


def _effective_rank(singular: NDArray[np.float64]) -> float:
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class GeometryMeasure:
    """Measures the geometry of the embeddings of sentences.

    Attributes:
        sentences: The sentences.
        what: Name of the sentences in notes.
        at_most: Maximum number of sentences to use; the choice does not depend on their order.
    """

    sentences: Sequence[str]
    what: str
    at_most: int = 2000

    @cached_property
    def chosen(self) -> list[str]:
        """Return the distinct sentences with the smallest SHA-256."""
        return sorted(set(self.sentences), key=lambda text: sha256(text.encode()).digest())[: self.at_most]

    def texts(self) -> Iterable[str]:
        """Return the chosen sentences."""
        return self.chosen

    def measure(self, embedded: Embedded) -> Measured:
        """Return geometry/anisotropy, effective_rank and first_direction; a note for fewer than two sentences."""
        if len(self.chosen) < 2:
            count = f"there are {len(self.chosen)}"
            return Measured(notes=(f"{self.what}: the embeddings' geometry needs 2 sentences or more, and {count}",))
        geometry = asdict(Geometry.of(embedded.unit(self.chosen)))
        return Measured(values={f"geometry/{name}": value for name, value in geometry.items()})
