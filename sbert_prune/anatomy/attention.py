"""How widely the tokens of each layer look around."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

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


def _batches(model: SentenceTransformer, sentences: Sequence[str], token_pairs: int) -> Iterator[dict[str, torch.Tensor]]:
    """What the encoder is given, longest sentences first."""
    tokens = _preprocess(model, sentences)["attention_mask"].sum(dim=1).tolist()
    order = sorted(range(len(sentences)), key=lambda index: -tokens[index])
    while order:
        size = max(1, min(_MOST, token_pairs // tokens[order[0]] ** 2))
        yield _preprocess(model, [sentences[index] for index in order[:size]])
        order = order[size:]


def _preprocess(model: SentenceTransformer, sentences: Sequence[str]) -> dict[str, torch.Tensor]:
    features = model.preprocess(list(sentences), prompt=model.prompts.get(model.default_prompt_name))  # as encode() does
    return {name: value.to(model.device) for name, value in features.items() if isinstance(value, torch.Tensor)}


def _relative_entropy(weights: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Of each token that has a choice. *Shapes:* (batch, heads, tokens, tokens), (batch, tokens) -> (some,)"""
    entropy = torch.special.entr(weights).sum(dim=-1).mean(dim=1)
    visible = (weights > 0).any(dim=1).sum(dim=-1)  # by any head: the weight of a visible token may be rounded to 0
    has_choice = tokens & (visible > 1)
    found: torch.Tensor = entropy[has_choice] / visible[has_choice].log()
    return found
