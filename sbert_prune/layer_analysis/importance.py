"""The methods that score the importance of layers, by name."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import DataError
from sbert_prune.evaluation.correlation import spearman
from sbert_prune.evaluation.sts import pair_cosines
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.scores import BlockDistances, LayerScores, LossCurve
from sbert_prune.layer_analysis.similarity import angular_distance, linear_cka, ranking_loss_of
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.sentence import encoder_of, with_encoder
from sbert_prune.pruning import prune_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized

    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow
    from sbert_prune.layer_analysis.scores import Importance


@dataclass(frozen=True, slots=True)
class Calibration:
    """The data for the methods. Each method uses only some parts; the others can be empty.

    Attributes:
        sentences: Sentences of the training split, in any order.
        dev: Dev pairs, never those of the test split.
        positives: Pairs of an anchor and its entailment; neighbouring pairs are each other's negatives.
    """

    sentences: tuple[str, ...] = ()
    dev: tuple[StsRow, ...] = ()
    positives: tuple[tuple[str, str], ...] = ()


def check_enough(items: Sized, *, of: str, method: str) -> None:
    """Check that a part of the calibration has two items or more. Raises DataError naming it and the method."""
    if len(items) < 2:
        raise DataError(
            f"{method} needs {of}, two or more; {len(items)} were given. "
            "Give some, or choose a method that does not need them."
        )


MAX_PAIRS = 1000


def some_pairs(rows: Sequence[StsRow]) -> list[StsRow]:
    """Return at most 1,000 of the rows, in their order, sampled with seed 0."""
    if len(rows) <= MAX_PAIRS:
        return list(rows)
    return [rows[index] for index in sorted(Random(0).sample(range(len(rows)), MAX_PAIRS))]


def leave_each_out(model: SentenceTransformer, dev: Sequence[StsRow], method: str) -> LayerScores:
    """Return Spearman with all layers minus Spearman without each layer; None for a layer that must stay.

    Raises DataError for pairs without variation, RoundTripError for non-finite or collapsed embeddings.
    """
    rows = some_pairs(dev)
    check_pairs(rows, f"dev for {method}")
    encoder = encoder_of(model)
    depth = len(layers_of(encoder))
    first_stays = depth == 1 or bool(architecture_of(str(encoder.config.model_type)).first_lacks)
    rest = deepcopy(model, {id(encoder): encoder})  # copies everything except the encoder, once
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
    return LayerScores(
        method,
        len({text for row in rows for text in (row.sentence1, row.sentence2)}),
        tuple(map(without, range(depth))),
    )


def block_influence(model: SentenceTransformer, calibration: Calibration) -> LayerScores:
    """Return 1 - cos(input, output) of each layer, mean over the tokens (ShortGPT, arXiv 2403.03853)."""
    check_enough(calibration.sentences, of="sentences", method="block-influence")
    profile = profile_layers(model, calibration.sentences)
    return LayerScores("block-influence", len(calibration.sentences), tuple(profile.influence.tolist()))


def angular_distances(model: SentenceTransformer, calibration: Calibration) -> BlockDistances:
    """Return the angle, divided by pi, between the sentence vectors before and after every block of layers.

    Gromov et al. 2024, arXiv 2403.17887. The paper uses the last token; here it is the pooled sentence vector.
    """
    check_enough(calibration.sentences, of="sentences", method="angular-distance")
    vectors = profile_layers(model, calibration.sentences).vectors
    depth = len(vectors) - 1
    distances = tuple(
        tuple(angular_distance(vectors[start], vectors[start + length]) for start in range(depth - length + 1))
        for length in range(1, depth + 1)
    )
    return BlockDistances("angular-distance", len(calibration.sentences), distances)


def leave_one_out(model: SentenceTransformer, calibration: Calibration) -> LayerScores:
    """Return the Spearman lost on the dev pairs without each layer.

    Kim et al. 2024, arXiv 2402.02834, who use perplexity.
    """
    check_enough(calibration.dev, of="dev pairs", method="leave-one-out")
    return leave_each_out(model, calibration.dev, "leave-one-out")


def cka_distances(model: SentenceTransformer, calibration: Calibration) -> LayerScores:
    """Return 1 - linear CKA between the sentence vectors before and after each layer.

    Kornblith et al. 2019, arXiv 1905.00414.
    """
    check_enough(calibration.sentences, of="sentences", method="cka")
    vectors = profile_layers(model, calibration.sentences).vectors
    return LayerScores(
        "cka", len(calibration.sentences), tuple(1 - linear_cka(before, after) for before, after in pairwise(vectors))
    )


def losses_per_depth(model: SentenceTransformer, calibration: Calibration) -> LossCurve:
    """Return the untrained contrastive loss of the first k layers, k from 0 to the depth (L3Prune, arXiv 2410.14578).

    The importance of a layer is how much it lowers that loss. The paper adds a contradiction to each pair; here only
    the batch provides negatives.
    """
    check_enough(calibration.positives, of="pairs of anchor and entailment", method="loss-per-depth")
    numbers: dict[str, int] = {}
    index = [[numbers.setdefault(text, len(numbers)) for text in pair] for pair in calibration.positives]
    anchors, entailments = zip(*index, strict=True)
    vectors = profile_layers(model, list(numbers)).vectors
    losses = tuple(ranking_loss_of(at_depth[list(anchors)], at_depth[list(entailments)]) for at_depth in vectors)
    return LossCurve("loss-per-depth", len(numbers), losses)


IMPORTANCE: dict[str, Callable[[SentenceTransformer, Calibration], Importance]] = {
    "block-influence": block_influence,
    "angular-distance": angular_distances,
    "leave-one-out": leave_one_out,
    "cka": cka_distances,
    "loss-per-depth": losses_per_depth,
}
