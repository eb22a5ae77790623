"""Looks at a sentence model behind each of its layers."""

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
from sbert_prune.models.sentence import check_embeddings, encoder_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

    from sbert_prune.data.rows import StsRow


@dataclass(frozen=True, slots=True)
class AtDepth:
    """The sentence vectors that the model cut to its first layers gives.

    cosine: to the model's own embedding of the same sentence, mean, -1 to 1.
    cka: linear CKA to the model's own embeddings, 0 to 1.
    exit: Spearman on the pairs where one leaves here; None where the vectors or the pairs' scores do not differ.
    """

    cosine: float
    cka: float
    exit: Score | None
    geometry: Geometry

    def as_dict(self) -> dict[str, Any]:
        """As plain numbers, for a JSON file."""
        score = (
            None if self.exit is None else {"spearman": self.exit.value, "low": self.exit.low, "high": self.exit.high}
        )
        return {"cosine_to_final": self.cosine, "cka_to_final": self.cka, "exit": score, **asdict(self.geometry)}


@dataclass(frozen=True)
class Anatomy:
    """What each layer of one sentence model does.

    depths: index 0 straight from the embeddings, index k behind layer k-1.
    influence: 1 - cos(input, output) of each layer, mean over the tokens, 0 to 2 (Block Influence, arXiv 2403.03853).
    attention: relative entropy of each layer's attention, 0 to 1; None where the encoder does not show it.
    num_pairs: scored at each depth.  num_sentences: theirs, each once.  num_attention_sentences: how many of them attention was seen on.
    notes: for people.
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
        """Number of layers."""
        return len(self.influence)

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file; layers are numbered as in this model."""
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


_MOST = 32  # sentences at once; more of them differ too much in length
_TOKEN_PAIRS_AT_ONCE = 1 << 17  # a head's weights take 0.5 MB then, all of a 12-layer BERT's 75 MB


def attention_entropy(
    model: SentenceTransformer, sentences: Sequence[str], *, token_pairs_at_once: int = _TOKEN_PAIRS_AT_ONCE
) -> NDArray[np.float64] | None:
    """Entropy of each layer's attention over the largest that it could have, 0 (each token looks at one) to 1 (at all alike).

    The mean over all tokens but padding and over the heads (Clark et al. 2019, arXiv 1906.04341, in nats). A token's largest is the log of
    how many tokens its layer lets it see: its neighbours in a window, those before it in a decoder. One that sees one token has no choice
    and is left out.

    Args:
        model: The sentence model.
        sentences: What it is given.
        token_pairs_at_once: How many pairs of tokens one forward pass of several sentences has at most.

    Returns:
        The entropies, *Shape:* (depth,); None where the encoder does not show its attention.
    """
    twin = _twin(encoder_of(model))
    total, num = np.zeros(len(layers_of(twin))), np.zeros(len(layers_of(twin)))
    for features in _batches(model, sentences, token_pairs_at_once):
        with torch.inference_mode():
            weights = getattr(twin(**features, output_attentions=True, return_dict=True), "attentions", None)
        if not weights or len(weights) != len(total) or any(layer is None for layer in weights):
            return None
        for index, layer in enumerate(weights):
            found = _relative_entropy(layer.double(), features["attention_mask"].bool())
            total[index] += float(found.sum())
            num[index] += len(found)
    return total / num if num.all() else None


def _twin(encoder: PreTrainedModel) -> PreTrainedModel:
    """The same encoder with the same tensors, which computes attention step by step: fused attention keeps no weights.

    Not the encoder itself, because Transformers leaves its hooks on an encoder that was asked for attention.
    """
    shared: dict[int, Any] = {id(parameter): parameter for parameter in encoder.parameters()}
    twin = deepcopy(encoder, shared)
    twin.set_attn_implementation("eager")
    twin.train(mode=False)
    return twin


def _batches(
    model: SentenceTransformer, sentences: Sequence[str], token_pairs: int
) -> Iterator[dict[str, torch.Tensor]]:
    """What the encoder is given, longest sentences first."""
    tokens = _preprocess(model, sentences)["attention_mask"].sum(dim=1).tolist()
    order = sorted(range(len(sentences)), key=lambda index: -tokens[index])
    while order:
        size = max(1, min(_MOST, token_pairs // tokens[order[0]] ** 2))
        yield _preprocess(model, [sentences[index] for index in order[:size]])
        order = order[size:]


def _preprocess(model: SentenceTransformer, sentences: Sequence[str]) -> dict[str, torch.Tensor]:
    features = model.preprocess(
        list(sentences), prompt=model.prompts.get(model.default_prompt_name)
    )  # as encode() does
    return {name: value.to(model.device) for name, value in features.items() if isinstance(value, torch.Tensor)}


def _relative_entropy(weights: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Of each token that has a choice. *Shapes:* (batch, heads, tokens, tokens), (batch, tokens) -> (some,)"""
    entropy = torch.special.entr(weights).sum(dim=-1).mean(dim=1)
    visible = (weights > 0).any(dim=1).sum(dim=-1)  # by any head: the weight of a visible token may be rounded to 0
    has_choice = tokens & (visible > 1)
    found: torch.Tensor = entropy[has_choice] / visible[has_choice].log()
    return found


NUM_PAIRS = 200
_ATTENTION_SENTENCES = 128  # 64 pairs: each layer's attention is that of thousands of tokens then
_RESAMPLES = 2000


def inspect_layers(model: SentenceTransformer, dev: Sequence[StsRow], *, num_pairs: int = NUM_PAIRS) -> Anatomy:
    """Look at each layer on some of the dev pairs: those with the smallest SHA-256, whatever the order. The model stays as it was.

    dev: pairs that may choose; those of test only where nothing is chosen by what is seen.

    Raises DataError for pairs that nothing can correlate with, RoundTripError for a model whose embeddings are not finite or collapsed.
    """
    check_pairs(dev, "dev for a look at the layers")
    pairs = _Pairs(sorted(dev, key=lambda row: sha256("\0".join(row.content()).encode()).digest())[:num_pairs])
    if len(pairs.texts) < 2:
        raise DataError(
            "The pairs of dev hold one sentence alone, so no layer can tell sentences apart. Give pairs of different sentences."
        )
    profile = profile_layers(model, pairs.texts)
    check_embeddings(profile.vectors[-1], "The model, on dev for a look at its layers,")
    unit = [Embedded(pairs.texts, vectors).unit(pairs.texts) for vectors in profile.vectors]
    geometry = [Geometry.of(vectors) for vectors in unit]
    differ = [depth for depth, found in enumerate(geometry) if found.effective_rank > 0]
    exits = pairs.spearman({depth: unit[depth] for depth in differ})
    depths = tuple(
        AtDepth(
            _mean_cosine(unit[depth], unit[-1]),
            linear_cka(vectors, profile.vectors[-1]),
            exits.get(depth),
            geometry[depth],
        )
        for depth, vectors in enumerate(profile.vectors)
    )
    shown = pairs.texts[:_ATTENTION_SENTENCES]
    attention = attention_entropy(model, shown)
    return Anatomy(
        depths=depths,
        influence=tuple(profile.influence.tolist()),
        attention=None if attention is None else tuple(attention.tolist()),
        num_pairs=len(pairs.rows),
        num_sentences=len(pairs.texts),
        num_attention_sentences=0 if attention is None else len(shown),
        notes=(f"{type(encoder_of(model)).__name__} does not show its attention, so its entropy is not known",)
        if attention is None
        else (),
    )


class _Pairs:
    """The pairs that are looked at."""

    def __init__(self, rows: Sequence[StsRow]) -> None:
        self.rows = rows
        self.gold = np.array([row.score for row in rows], dtype=np.float64)
        self.texts = list(dict.fromkeys(text for row in rows for text in row.sentences))
        place = {text: number for number, text in enumerate(self.texts)}
        self.left, self.right = ([place[row.sentences[side]] for row in rows] for side in (0, 1))

    def spearman(self, unit: dict[int, NDArray[np.float64]]) -> dict[int, Score]:
        """Score each depth's vectors on the same resamples; a depth that scores all pairs alike has no score."""
        cosines = {
            depth: np.einsum("ij,ij->i", vectors[self.left], vectors[self.right]) for depth, vectors in unit.items()
        }
        statistics = {str(depth): ResampledSpearman(found, self.gold) for depth, found in cosines.items()}
        sample = sha256("\0".join(cell for row in self.rows for cell in row.content()).encode()).hexdigest()[:16]
        scores = resample(statistics, len(self.rows), sample, resamples=_RESAMPLES)
        return {int(depth): score for depth, score in scores.items() if np.isfinite(score.value)}


def _mean_cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(np.einsum("ij,ij->i", left, right).mean())
