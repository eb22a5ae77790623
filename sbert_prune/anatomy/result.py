"""What was seen at each depth of a sentence model, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.evaluation.geometry import Geometry


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
        score = None if self.exit is None else {"spearman": self.exit.value, "low": self.exit.low, "high": self.exit.high}
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
