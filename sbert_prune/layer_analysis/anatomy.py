"""Analysis of a sentence model at each depth: similarity to the final embedding, early exit, attention, geometry."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import DataError
from sbert_prune.evaluation.bootstrap import Score, resample
from sbert_prune.evaluation.correlation import ResampledSpearman
from sbert_prune.evaluation.embeddings import Embedded
from sbert_prune.evaluation.geometry import Geometry
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.similarity import linear_cka
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import check_embeddings, encoder_of, preprocess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

    from sbert_prune.data.rows import StsRow


@dataclass(frozen=True, slots=True)
class AtDepth:
    """Measurements of the sentence vectors of a model cut to its first layers.

    Attributes:
        cosine: Mean cosine to the embedding of the full model for the same sentence, -1 to 1.
        cka: Linear CKA to the embeddings of the full model, 0 to 1.
        exit: Spearman on the pairs for an early exit at this depth; None if the vectors or their similarities do not
            vary.
        geometry: Geometry of the vectors.
    """

    cosine: float
    cka: float
    exit: Score | None
    geometry: Geometry

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, for a JSON file."""
        score = (
            None if self.exit is None else {"spearman": self.exit.value, "low": self.exit.low, "high": self.exit.high}
        )
        return {"cosine_to_final": self.cosine, "cka_to_final": self.cka, "exit": score, **asdict(self.geometry)}


@dataclass(frozen=True)
class Anatomy:
    """The effect of each layer of one sentence model.

    Attributes:
        depths: Measurements by depth; index 0 is the output of the embeddings, index k the output of layer k-1.
        influence: 1 - cos(input, output) of each layer, mean over the tokens, 0 to 2 (Block Influence, arXiv
            2403.03853).
        attention: Relative entropy of each layer's attention, 0 to 1; None if the encoder does not return attention
            weights.
        num_pairs: Number of pairs scored at each depth.
        num_sentences: Number of their distinct sentences.
        num_attention_sentences: Number of these sentences used for attention.
        notes: Lines for the report.
    """

    depths: tuple[AtDepth, ...]
    influence: tuple[float, ...]
    attention: tuple[float, ...] | None
    num_pairs: int
    num_sentences: int
    num_attention_sentences: int
    notes: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """Return the number of layers."""
        return len(self.influence)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for a JSON file; layers are numbered as in this model."""
        layers = [{"influence": influence, "attention_entropy": None} for influence in self.influence]
        for layer, entropy in zip(layers, self.attention or (), strict=False):
            layer["attention_entropy"] = entropy
        return {
            "num_pairs": self.num_pairs,
            "num_sentences": self.num_sentences,
            "num_attention_sentences": self.num_attention_sentences,
            "depths": [at_depth.as_dict() for at_depth in self.depths],
            "layers": layers,
            "notes": list(self.notes),
        }


_MAX_BATCH = 32  # sentences per batch; in larger batches lengths differ too much
_TOKEN_PAIRS_AT_ONCE = 1 << 17  # 0.5 MB of attention weights per head, 75 MB for a 12-layer BERT


def attention_entropy(
    model: SentenceTransformer, sentences: Sequence[str], *, token_pairs_at_once: int = _TOKEN_PAIRS_AT_ONCE
) -> NDArray[np.float64] | None:
    """Return the entropy of each layer's attention relative to its maximum.

    It is 0 if each token attends to one token, and 1 if it attends to all equally. The result is the mean over all
    tokens except padding and over the heads (Clark et al. 2019, arXiv 1906.04341, in nats). The maximum of a token is
    the log of the number of tokens visible to it in that layer: its neighbours in a window, the previous ones in a
    decoder. A token that sees only one token is left out.

    Args:
        model: The sentence model.
        sentences: Its input.
        token_pairs_at_once: Maximum number of token pairs in one forward pass of several sentences.

    Returns:
        The entropies, *Shape:* (depth,); None if the encoder does not return attention weights.
    """
    eager = _eager_copy(encoder_of(model))
    total, num = np.zeros(len(layers_of(eager))), np.zeros(len(layers_of(eager)))
    for features in _batches(model, sentences, token_pairs_at_once):
        with torch.inference_mode():
            weights = getattr(eager(**features, output_attentions=True, return_dict=True), "attentions", None)
        if not weights or len(weights) != len(total) or any(layer is None for layer in weights):
            return None
        for index, layer in enumerate(weights):
            entropies = _relative_entropy(layer.double(), features["attention_mask"].bool())
            total[index] += float(entropies.sum())
            num[index] += len(entropies)
    return total / num if num.all() else None


def _eager_copy(encoder: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of the encoder with the same tensors and eager attention: fused attention returns no weights.

    It is a copy because Transformers leaves its hooks on an encoder that has returned attention weights.
    """
    shared: dict[int, Any] = {id(parameter): parameter for parameter in encoder.parameters()}
    eager = deepcopy(encoder, shared)
    eager.set_attn_implementation("eager")
    eager.train(mode=False)
    return eager


def _batches(
    model: SentenceTransformer, sentences: Sequence[str], token_pairs: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the input of the encoder in batches, longest sentences first."""
    tokens = _preprocess(model, sentences)["attention_mask"].sum(dim=1).tolist()
    order = sorted(range(len(sentences)), key=lambda index: -tokens[index])
    while order:
        size = max(1, min(_MAX_BATCH, token_pairs // tokens[order[0]] ** 2))
        yield _preprocess(model, [sentences[index] for index in order[:size]])
        order = order[size:]


def _preprocess(model: SentenceTransformer, sentences: Sequence[str]) -> dict[str, torch.Tensor]:
    features = preprocess(model, sentences, model.device)
    return {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}


def _relative_entropy(weights: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the relative entropy of each token that sees several tokens.

    *Shapes:* (batch, heads, tokens, tokens), (batch, tokens) -> (such tokens,)
    """
    entropy = torch.special.entr(weights).sum(dim=-1).mean(dim=1)
    visible = (weights > 0).any(dim=1).sum(dim=-1)  # in any head: the weight of a visible token can round to 0
    has_choice = tokens & (visible > 1)
    relative: torch.Tensor = entropy[has_choice] / visible[has_choice].log()
    return relative


NUM_PAIRS = 200
_ATTENTION_SENTENCES = 128  # 64 pairs, thousands of tokens
_RESAMPLES = 2000


def inspect_layers(model: SentenceTransformer, dev: Sequence[StsRow], *, num_pairs: int = NUM_PAIRS) -> Anatomy:
    """Analyse each layer on some of the dev pairs. The model is not changed.

    Args:
        model: The sentence model.
        dev: Dev pairs. Test pairs are allowed only if the result is not used to choose anything.
        num_pairs: Number of pairs to use: those with the smallest SHA-256, whatever their order.

    Returns:
        The measurements by depth and by layer.

    Raises:
        DataError: The pairs have no variation, so nothing can correlate with them.
        RoundTripError: The embeddings of the model are not finite or collapsed.
    """
    check_pairs(dev, "dev for the layer analysis")
    pairs = _Pairs(sorted(dev, key=lambda row: sha256("\0".join(row.content()).encode()).digest())[:num_pairs])
    if len(pairs.texts) < 2:
        raise DataError(
            "The dev pairs contain only one distinct sentence, so no layer can distinguish sentences. Give pairs of "
            "different sentences."
        )
    profile = profile_layers(model, pairs.texts)
    check_embeddings(profile.vectors[-1], "The model, on dev for the layer analysis,")
    unit = [Embedded(pairs.texts, vectors).unit(pairs.texts) for vectors in profile.vectors]
    geometry = [Geometry.of(vectors) for vectors in unit]
    varying = [depth for depth, at_depth in enumerate(geometry) if at_depth.effective_rank > 0]
    exits = pairs.spearman({depth: unit[depth] for depth in varying})
    depths = tuple(
        AtDepth(
            float(np.einsum("ij,ij->i", unit[depth], unit[-1]).mean()),
            linear_cka(vectors, profile.vectors[-1]),
            exits.get(depth),
            geometry[depth],
        )
        for depth, vectors in enumerate(profile.vectors)
    )
    attention_texts = pairs.texts[:_ATTENTION_SENTENCES]
    attention = attention_entropy(model, attention_texts)
    return Anatomy(
        depths=depths,
        influence=tuple(profile.influence.tolist()),
        attention=None if attention is None else tuple(attention.tolist()),
        num_pairs=len(pairs.rows),
        num_sentences=len(pairs.texts),
        num_attention_sentences=0 if attention is None else len(attention_texts),
        notes=(f"{type(encoder_of(model)).__name__} does not return attention weights, so their entropy is unknown",)
        if attention is None
        else (),
    )


class _Pairs:
    """The pairs to score, as indices into their distinct sentences."""

    def __init__(self, rows: Sequence[StsRow]) -> None:
        self.rows = rows
        self.gold = np.array([row.score for row in rows], dtype=np.float64)
        self.texts = list(dict.fromkeys(text for row in rows for text in row.sentences))
        place = {text: number for number, text in enumerate(self.texts)}
        self.left, self.right = ([place[row.sentences[side]] for row in rows] for side in (0, 1))

    def spearman(self, unit: dict[int, NDArray[np.float64]]) -> dict[int, Score]:
        """Score the vectors of each depth on the same resamples; a depth without variation gets no score."""
        cosines = {
            depth: np.einsum("ij,ij->i", vectors[self.left], vectors[self.right]) for depth, vectors in unit.items()
        }
        statistics = {str(depth): ResampledSpearman(predicted, self.gold) for depth, predicted in cosines.items()}
        sample = sha256("\0".join(cell for row in self.rows for cell in row.content()).encode()).hexdigest()[:16]
        scores = resample(statistics, len(self.rows), sample, resamples=_RESAMPLES)
        return {int(depth): score for depth, score in scores.items() if np.isfinite(score.value)}
