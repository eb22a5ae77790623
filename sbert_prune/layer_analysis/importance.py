"""The methods that score layers, by name."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sbert_prune.importance.ablation import leave_each_out
from sbert_prune.importance.calibration import check_enough
from sbert_prune.importance.contrastive import ranking_loss_of
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.scores import BlockDistances, LayerScores, LossCurve
from sbert_prune.layer_analysis.similarity import angular_distance, linear_cka

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentence_transformers import SentenceTransformer

    from sbert_prune.importance.calibration import Calibration
    from sbert_prune.importance.result import Importance


def block_influence(model: SentenceTransformer, calibration: Calibration) -> LayerScores:
    """1 - cos(input, output) of each layer, mean over the tokens (ShortGPT, arXiv 2403.03853)."""
    check_enough(calibration.sentences, of="sentences", method="block-influence")
    profile = profile_layers(model, calibration.sentences)
    return LayerScores("block-influence", len(calibration.sentences), tuple(profile.influence.tolist()))


def angular_distances(model: SentenceTransformer, calibration: Calibration) -> BlockDistances:
    """The angle, over pi, between the sentence vectors before and behind every block of layers (Gromov et al. 2024, arXiv 2403.17887).

    The source looks at the last token; here it is whatever the sentence model pools.
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
    """What leaving out one layer costs on the dev pairs, in Spearman (Kim et al. 2024, arXiv 2402.02834, do so in perplexity)."""
    check_enough(calibration.dev, of="dev pairs", method="leave-one-out")
    return leave_each_out(model, calibration.dev, "leave-one-out")


def cka_distances(model: SentenceTransformer, calibration: Calibration) -> LayerScores:
    """1 - linear CKA between the sentence vectors before and behind each layer (Kornblith et al. 2019, arXiv 1905.00414)."""
    check_enough(calibration.sentences, of="sentences", method="cka")
    vectors = profile_layers(model, calibration.sentences).vectors
    return LayerScores("cka", len(calibration.sentences), tuple(1 - linear_cka(before, after) for before, after in pairwise(vectors)))


def losses_per_depth(model: SentenceTransformer, calibration: Calibration) -> LossCurve:
    """The untrained contrastive loss of the first k layers, k from 0 to the depth (L3Prune, arXiv 2410.14578).

    A layer matters as much as it lowers that loss. The source has a contradiction beside each pair; here the batch alone is the negatives.
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
