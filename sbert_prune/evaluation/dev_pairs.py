"""What a model says of the dev pairs: kept with it, so that two models are compared pair by pair without loading either."""

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
    """Scores by people and cosines by one model.

    digest: of the pairs, as in lineage.  gold: 0 to 1. *Shape:* (pairs,)  cosines: -1 to 1. *Shape:* (pairs,)
    """

    digest: str
    gold: NDArray[np.float64]
    cosines: NDArray[np.float64]

    @property
    def value(self) -> float:
        """Spearman."""
        return float(spearman(self.cosines[None], self.gold[None])[0])

    @cached_property
    def score(self) -> Score:
        """Spearman with its resamples; the same rows are drawn for every model."""
        return resample({"score": ResampledSpearman(self.cosines, self.gold)}, len(self.gold), self.digest)["score"]

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"digest": self.digest, "gold": self.gold.tolist(), "cosines": self.cosines.tolist()})

    @classmethod
    def parse(cls, text: str | bytes) -> Self | None:
        """What `to_json` wrote; None for anything else."""
        try:
            values = json.loads(text)
            found = cls(
                str(values["digest"]),
                np.array(values["gold"], dtype=np.float64),
                np.array(values["cosines"], dtype=np.float64),
            )
        except (ValueError, KeyError, TypeError):
            return None
        fits = found.gold.shape == found.cosines.shape and found.gold.ndim == 1 and len(found.gold) > 1
        varies = fits and np.ptp(found.gold) > 0 and np.ptp(found.cosines) > 0  # False for a NaN, too
        return found if varies else None
