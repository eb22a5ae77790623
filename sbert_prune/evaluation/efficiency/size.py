"""Parameters of a sentence model by part, and the size of its folder."""

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
    """Parameter counts by part, and the size on disk. A shared tensor is counted once, in the first part that has it.

    Attributes:
        word_embeddings: The word embeddings, one row per piece.
        other_embeddings: The other embeddings (positions, token types, their norm).
        layers: All layers.
        pooler: The pooler of the encoder.
        rest_of_encoder: The rest of the encoder (a norm after the last layer, tables of relative positions).
        behind_encoder: The other modules of the sentence model (a Dense layer, for example).
        disk_mb: All files of the saved folder, in units of 1,000,000 bytes.
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
        """Return the number of parameters of the whole sentence model."""
        return self.word_embeddings + self.layers + self.other

    @property
    def other(self) -> int:
        """Return the number of parameters that neither trimming nor pruning removes."""
        return self.other_embeddings + self.pooler + self.rest_of_encoder + self.behind_encoder

    def metrics(self) -> dict[str, float]:
        """Return the numbers by metric name."""
        return {
            "size/parameters": float(self.parameters),
            "size/embedding_parameters": float(self.word_embeddings),
            "size/layer_parameters": float(self.layers),
            "size/other_parameters": float(self.other),
            "size/disk_mb": self.disk_mb,
        }


def measure_size(model: SentenceTransformer, checkpoint: Checkpoint) -> Size:
    """Count the parameters of each part and the bytes of the folder.

    Raises EncoderError for an unknown architecture.
    """
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
    """Count the parameters of a part that are not in `counted`, and add them to it."""
    uncounted = (
        [parameter for parameter in part.parameters() if id(parameter) not in counted] if part is not None else []
    )
    counted.update(map(id, uncounted))
    return sum(parameter.numel() for parameter in uncounted)
