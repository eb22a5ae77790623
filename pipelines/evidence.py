"""What a model says of the dev pairs, kept beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.steps.records import logged_id
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.tracking.logged_models import add_file, read_file

if TYPE_CHECKING:
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.tracking.store import Store

_ROUNDING = 1e-4  # of a cosine: batches that are put together otherwise change the fifth digit


def keep_beside(store: Store, source: SavedModel, dev_pairs: str) -> None:
    """A model that is logged already keeps what it says of the dev pairs; another one gets it when it is registered.

    What it says of other pairs stays: a version may have been registered by them. So does what differs by rounding alone: a seal is on it.
    """
    model_id = logged_id(source)
    if model_id is None:
        return
    kept = read_file(store, model_id, FILE_NAME)
    before, now = DevPairs.parse(kept) if kept is not None else None, DevPairs.parse(dev_pairs)
    if before is None or now is None or (before.digest == now.digest and not _same(before, now)):
        add_file(store, model_id, FILE_NAME, dev_pairs)


def _same(before: DevPairs, now: DevPairs) -> bool:
    return before.cosines.shape == now.cosines.shape and bool(np.allclose(before.cosines, now.cosines, rtol=0, atol=_ROUNDING))
