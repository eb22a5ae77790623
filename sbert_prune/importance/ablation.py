"""How much worse a sentence model answers when one layer is left out."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.data.sts import check_pairs
from sbert_prune.evaluation.correlation import spearman
from sbert_prune.evaluation.sts import pair_cosines
from sbert_prune.layer_analysis.scores import LayerScores
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.sentence import encoder_of, with_encoder
from sbert_prune.pruning import prune_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow

MAX_PAIRS = 1000


def some_pairs(rows: Sequence[StsRow]) -> list[StsRow]:
    """At most 1,000 of the rows, in their order: which ones, Python's generator with seed 0 says."""
    if len(rows) <= MAX_PAIRS:
        return list(rows)
    return [rows[index] for index in sorted(Random(0).sample(range(len(rows)), MAX_PAIRS))]


def leave_each_out(model: SentenceTransformer, dev: Sequence[StsRow], method: str) -> LayerScores:
    """Spearman with all layers minus Spearman without each layer; None for a layer that has to stay.

    Raises DataError for pairs without variation, RoundTripError for non-finite or collapsed embeddings.
    """
    rows = some_pairs(dev)
    check_pairs(rows, f"dev for {method}")
    encoder = encoder_of(model)
    depth = len(layers_of(encoder))
    first_stays = depth == 1 or bool(architecture_of(str(encoder.config.model_type)).first_lacks)
    rest = deepcopy(model, {id(encoder): encoder})  # everything around the encoder is copied once, the encoder not at all
    gold = np.array([[row.score for row in rows]])

    def score(selection: LayerSelection, what: str) -> float:
        pruned = with_encoder(rest, prune_layers(encoder, selection))
        return float(spearman(pair_cosines(pruned, rows, what)[None], gold)[0])

    def without(index: int) -> float | None:
        if first_stays and index == 0:
            return None
        kept = tuple(other for other in range(depth) if other != index)
        return whole - score(LayerSelection(kept, depth), f"dev for {method}, without layer {index}")

    whole = score(LayerSelection.all(depth), f"dev for {method}")
    return LayerScores(method, len({text for row in rows for text in (row.sentence1, row.sentence2)}), tuple(map(without, range(depth))))
