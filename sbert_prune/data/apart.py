"""Train rows kept apart from dev and test."""

from __future__ import annotations

from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING

from sbert_prune.data.leaks import Leaks, find_leaks
from sbert_prune.data.stored import StoredRows
from sbert_prune.errors import DataError

_TOO_MANY = 0.9

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.data.rows import Row, RowSet, StsRow


def keep_apart(train: RowSet[Row], held_out: Mapping[str, RowSet[StsRow]], *, keep: bool = False) -> tuple[RowSet[Row], Leaks]:
    """The train rows without those that share a pair or a sentence with dev or test, and what was found.

    keep: find them, and leave them in. Raises DataError where most of train would go.
    """
    import numpy as np

    leaks = find_leaks(
        (row.sentences for row in train.rows), {split: (row.sentences for row in rows.rows) for split, rows in held_out.items()}
    )
    num_left_out = len(leaks.sentence_rows)
    if keep or not num_left_out:
        return train, leaks
    if num_left_out > _TOO_MANY * len(train):
        raise DataError(
            f"{train.source}: {num_left_out:,} of its {len(train):,} train rows share a sentence with dev or test, so little would be left "
            "to train on. Give splits of their own, or keep_leaks=true to train on them all the same."
        )
    stays = np.ones(len(train), dtype=bool)
    stays[leaks.sentence_rows] = False
    rows: StoredRows[Row] = StoredRows(type(train.rows[0]), compress(train.rows, stays))
    return replace(train, rows=rows, num_leaks=num_left_out), leaks
