"""Training with only those rows of the word embeddings that the phase's sentences use.

A row that no sentence uses gets no gradient, so AdamW without weight decay does not change it. Leaving it out changes
only the time of an optimizer step and the memory of its state. MuRIL's 197,285 rows are two thirds of its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sbert_prune.models.sentence import encoder_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.training.batches import Examples

_MOST_USED = 0.8


@contextmanager
def compact_vocabulary(
    model: SentenceTransformer, examples: tuple[Examples, ...], *, most_used: float = _MOST_USED
) -> Iterator[tuple[Examples, ...]]:
    """Remove unused rows of the word embeddings inside the context; afterwards the model has all its rows again.

    Rows up to the padding piece's keep their numbers: some encoders count positions from it.

    Args:
        model: The model whose word embeddings lose rows.
        examples: The examples that the phase trains and evaluates on.
        most_used: If the examples use a larger share of the rows, from 0 to 1, no row is removed.

    Yields:
        The examples with their pieces numbered by the remaining rows.
    """
    table = encoder_of(model).get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        yield examples
        return
    used = _used(examples, table.num_embeddings, table.padding_idx or 0)
    if len(used) > most_used * table.num_embeddings:
        yield examples
        return
    numbers = np.full(table.num_embeddings, -1, dtype=np.int32)
    numbers[used] = np.arange(len(used), dtype=np.int32)
    whole, kept = table.weight, torch.from_numpy(used)
    parameter = nn.Parameter(whole.detach()[kept].clone(), requires_grad=whole.requires_grad)
    tied = [
        (module, name)
        for module in encoder_of(model).modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight is whole
    ]
    padding = table.padding_idx
    try:
        for module, name in tied:
            setattr(module, name, parameter)
        if padding is not None:
            table.padding_idx = int(numbers[padding]) if numbers[padding] >= 0 else None
        yield tuple(_renumbered(part, numbers) for part in examples)
    finally:
        with torch.no_grad():
            whole[kept] = parameter.detach().to(whole.device)
        for module, name in tied:
            setattr(module, name, whole)
        table.padding_idx = padding


def _used(examples: tuple[Examples, ...], num_rows: int, padding: int) -> NDArray[np.intp]:
    used = np.zeros(num_rows, dtype=bool)
    for part in examples:
        used[part.tokens.flat] = True
    # The tokenizer may pad with another piece than the one that the encoder counts positions from.
    used[: max(examples[0].pad_id, padding) + 1] = True
    return np.flatnonzero(used)


def _renumbered(examples: Examples, numbers: NDArray[np.int32]) -> Examples:
    tokens = replace(examples.tokens, flat=numbers[examples.tokens.flat])
    return replace(examples, tokens=tokens, pad_id=int(numbers[examples.pad_id]))
