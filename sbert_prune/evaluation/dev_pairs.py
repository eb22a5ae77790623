"""The cosines of a model on the dev pairs, stored with it, to compare models pair by pair without loading them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from sbert_prune.evaluation.bootstrap import resample
from sbert_prune.evaluation.correlation import ResampledSpearman, spearman

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.evaluation.bootstrap import Score

FILE_NAME = "dev_pairs.json"


@dataclass(frozen=True, eq=False)
class DevPairs:
    """Gold scores and the cosines of one model.

    Attributes:
        digest: Digest of the pairs, as in the lineage.
        gold: Human scores, 0 to 1. *Shape:* (pairs,)
        cosines: Cosine similarities, -1 to 1. *Shape:* (pairs,)
    """

    digest: str
    gold: NDArray[np.float64]
    cosines: NDArray[np.float64]

    @property
    def value(self) -> float:
        """Return the Spearman correlation."""
        return float(spearman(self.cosines[None], self.gold[None])[0])

    @cached_property
    def score(self) -> Score:
        """Return Spearman with its resamples; the same rows are drawn for every model."""
        return resample({"score": ResampledSpearman(self.cosines, self.gold)}, len(self.gold), self.digest)["score"]

    def to_json(self) -> str:
        """Return the pairs as JSON text."""
        return json.dumps({"digest": self.digest, "gold": self.gold.tolist(), "cosines": self.cosines.tolist()})

    @classmethod
    def parse(cls, text: str | bytes) -> Self | None:
        """Parse the output of `to_json`; return None for anything else."""
        try:
            values = json.loads(text)
            pairs = cls(
                str(values["digest"]),
                np.array(values["gold"], dtype=np.float64),
                np.array(values["cosines"], dtype=np.float64),
            )
        except (ValueError, KeyError, TypeError):
            return None
        is_valid = pairs.gold.shape == pairs.cosines.shape and pairs.gold.ndim == 1 and len(pairs.gold) > 1
        has_variation = is_valid and np.ptp(pairs.gold) > 0 and np.ptp(pairs.cosines) > 0  # also False for a NaN
        return pairs if has_variation else None
