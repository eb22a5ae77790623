"""Training with only those rows of the word embeddings that the phase's sentences use.

A row that no sentence names gets no gradient, so AdamW without weight decay leaves it where it is: leaving it out changes nothing but
the time of an optimizer step and the memory of its state. MuRIL's 197,285 rows are two thirds of its parameters.
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
    """Yield the same examples with pieces numbered by the rows that are left; afterwards the model has all its rows again.

    Rows up to the padding piece's stay where they are: some encoders count positions from its number.

    Args:
        model: The model whose word embeddings lose rows.
        examples: What the phase trains and judges on.
        most_used: Where the examples use a larger share of the rows, from 0 to 1, nothing is left out.
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
        (module, name) for module in encoder_of(model).modules() for name, own in module.named_parameters(recurse=False) if own is whole
    ]
    padding = table.padding_idx
    try:
        for module, name in tied:
            setattr(module, name, parameter)
        if padding is not None:
            table.padding_idx = int(numbers[padding]) if numbers[padding] >= 0 else None
        yield tuple(_renumbered(one, numbers) for one in examples)
    finally:
        with torch.no_grad():
            whole[kept] = parameter.detach().to(whole.device)
        for module, name in tied:
            setattr(module, name, whole)
        table.padding_idx = padding


def _used(examples: tuple[Examples, ...], num_rows: int, padding: int) -> NDArray[np.intp]:
    used = np.zeros(num_rows, dtype=bool)
    for one in examples:
        used[one.tokens.flat] = True
    used[: max(examples[0].pad_id, padding) + 1] = True  # the tokenizer may pad with another piece than the encoder counts from
    return np.flatnonzero(used)


def _renumbered(examples: Examples, numbers: NDArray[np.int32]) -> Examples:
    tokens = replace(examples.tokens, flat=numbers[examples.tokens.flat])
    return replace(examples, tokens=tokens, pad_id=int(numbers[examples.pad_id]))
