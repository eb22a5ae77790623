"""One forward pass that pools sentence vectors at every depth of a sentence model.

The state at depth k < depth is the input of layer k, not the output of layer k-1: some encoders do more between two
layers. It passes the norm after the last layer, if there is one, and all further modules of the sentence model, so the
vectors at depth k equal those of the model pruned to its first k layers. The encoder's own output has already passed
that norm.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sbert_prune.errors import DataError
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.hooks import evaluating, layer_hook
from sbert_prune.models.sentence import encoder_of, pool, preprocess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class LayerProfile:
    """The effect of the layers on sentences.

    Attributes:
        vectors: Sentence vectors by depth; index 0 is the output of the embeddings. *Shape:* (depth + 1, sentences,
            dim)
        influence: 1 - cos(input, output) of each layer, mean over all tokens except padding, 0 to 2. *Shape:* (depth,)
    """

    vectors: NDArray[np.float32]
    influence: NDArray[np.float64]


def profile_layers(model: SentenceTransformer, sentences: Sequence[str]) -> LayerProfile:
    """Run the sentences once, longest first, with one batch in memory at a time. The model is not changed.

    Raises DataError without sentences.
    """
    if not sentences:
        raise DataError("Layers cannot be profiled without a sentence. Give some of the training sentences.")
    order = sorted(range(len(sentences)), key=lambda index: -len(sentences[index]))
    depth = len(layers_of(encoder_of(model)))
    vectors: dict[int, list[torch.Tensor]] = defaultdict(list)
    change, num_tokens = np.zeros(depth), 0
    with evaluating(model):
        for start in range(0, len(order), _BATCH):
            batch = _Batch(model, [sentences[index] for index in order[start : start + _BATCH]])
            batch.run()
            num_tokens += batch.num_tokens
            change += [batch.change[index] for index in range(depth)]
            for k, pooled in batch.vectors.items():
                vectors[k].append(pooled)
    original_order = np.argsort(order)  # undoes the sorting
    return LayerProfile(
        np.stack([torch.cat(vectors[k]).numpy()[original_order] for k in range(depth + 1)]), change / num_tokens
    )


class _Batch:
    """A batch and its measurements.

    Attributes:
        vectors: Sentence vectors by depth. *Shape of each:* (batch, dim)
        change: 1 - cos(input, output) by layer, summed over the tokens.
    """

    def __init__(self, model: SentenceTransformer, sentences: list[str]) -> None:
        self.model, self.features = model, preprocess(model, sentences, model.device)
        self.tokens = self.features["attention_mask"].bool()
        self.num_tokens = int(self.tokens.sum())
        self.vectors: dict[int, torch.Tensor] = {}
        self.change: dict[int, float] = {}
        encoder = encoder_of(model)
        norm = architecture_of(str(encoder.config.model_type)).final_norm
        self.final_norm = encoder.get_submodule(norm) if norm else torch.nn.Identity()

    def run(self) -> None:
        with layer_hook(encoder_of(self.model), self.record):
            output = self.model[0](self.features.copy())
        self.vectors[len(self.change)] = self.pool(output["token_embeddings"])

    def record(self, index: int, given: torch.Tensor, returned: torch.Tensor) -> None:
        before, after = (
            torch.nn.functional.normalize(vectors[self.tokens].double(), dim=-1) for vectors in (given, returned)
        )
        # 1 - cos of unit vectors, exactly 0 for equal ones
        self.change[index] = float((before - after).square().sum() / 2)
        self.vectors[index] = self.pool(self.final_norm(given))

    def pool(self, state: torch.Tensor) -> torch.Tensor:
        vectors = pool(self.model, self.features | {"token_embeddings": state})
        return vectors[:, : self.model.truncate_dim].float().cpu()
