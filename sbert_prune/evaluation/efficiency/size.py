"""Parameters of a sentence model by part, beside the bytes of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.sentence import encoder_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

    from sbert_prune.models.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of parameters, each tensor counted once, where it first belongs; and bytes.

    word_embeddings: one row a piece.  other_embeddings: what stands beside them (positions, token types, their norm).
    rest_of_encoder: what no layer owns (a norm behind the last one, tables of relative positions).
    behind_encoder: the sentence model's further modules (a Dense layer, say).
    disk_mb: every file of the saved folder, in units of 1,000,000 bytes.
    """

    word_embeddings: int
    other_embeddings: int
    layers: int
    pooler: int
    rest_of_encoder: int
    behind_encoder: int
    disk_mb: float

    @property
    def parameters(self) -> int:
        """Of the whole sentence model."""
        return self.word_embeddings + self.layers + self.other

    @property
    def other(self) -> int:
        """All but word embeddings and layers: neither trimming nor pruning takes them away."""
        return self.other_embeddings + self.pooler + self.rest_of_encoder + self.behind_encoder

    def metrics(self) -> dict[str, float]:
        """By their names in MLflow."""
        return {
            "size/parameters": float(self.parameters),
            "size/embedding_parameters": float(self.word_embeddings),
            "size/layer_parameters": float(self.layers),
            "size/other_parameters": float(self.other),
            "size/disk_mb": self.disk_mb,
        }


def measure_size(model: SentenceTransformer, checkpoint: Checkpoint) -> Size:
    """Count the parameters of each part, and the bytes of the saved folder. Raises EncoderError for an unknown architecture."""
    encoder = encoder_of(model)
    word_path = architecture_of(str(encoder.config.model_type), type(encoder).__name__).word_embeddings
    beside_words, _, _ = word_path.rpartition(".")
    counted: set[int] = set()
    return Size(
        word_embeddings=_count(encoder.get_submodule(word_path), counted),
        other_embeddings=_count(encoder.get_submodule(beside_words), counted) if beside_words else 0,
        layers=_count(layers_of(encoder), counted),
        pooler=_count(getattr(encoder, "pooler", None), counted),
        rest_of_encoder=_count(encoder, counted),
        behind_encoder=_count(model, counted),
        disk_mb=checkpoint.num_bytes() / 1e6,
    )


def _count(part: nn.Module | None, counted: set[int]) -> int:
    """Parameters of a part that no part before it has; they are added to the counted ones."""
    fresh = [parameter for parameter in part.parameters() if id(parameter) not in counted] if part is not None else []
    counted.update(map(id, fresh))
    return sum(parameter.numel() for parameter in fresh)
