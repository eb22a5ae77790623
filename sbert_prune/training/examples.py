"""The rows of a phase as token ids, each distinct sentence tokenised once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Examples:
    """Rows of sentences, all with the same number of columns.

    ids: token ids of each distinct sentence, special pieces included, cut to the model's max_seq_length.
    index: which distinct sentence stands in a row's column. *Shape:* (rows, columns)
    labels: a class or a score for each row, if the loss wants one. *Shape:* (rows,)
    """

    ids: tuple[NDArray[np.int32], ...]
    index: NDArray[np.intp]
    labels: torch.Tensor | None
    pad_id: int

    def __len__(self) -> int:
        return len(self.index)

    @property
    def widths(self) -> NDArray[np.intp]:
        """Pieces in the longest sentence of each row. *Shape:* (rows,)"""
        lengths = np.fromiter((len(ids) for ids in self.ids), dtype=np.intp, count=len(self.ids))
        widths: NDArray[np.intp] = lengths[self.index].max(axis=1)
        return widths

    def features(self, rows: NDArray[np.intp], device: torch.device) -> dict[str, torch.Tensor]:
        """All sentences of a batch for one forward pass, column after column. *Shape:* (columns * batch, pieces)"""
        sentences = [self.ids[number] for number in self.index[rows].T.reshape(-1)]
        width = max(map(len, sentences))
        pieces = np.full((len(sentences), width), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(sentences), width), dtype=np.int64)
        for line, ids in enumerate(sentences):
            pieces[line, : len(ids)] = ids
            mask[line, : len(ids)] = 1
        return {"input_ids": torch.from_numpy(pieces).to(device), "attention_mask": torch.from_numpy(mask).to(device)}


def tokenize_rows(model: SentenceTransformer, rows: Sequence[Sequence[str]], labels: torch.Tensor | None = None) -> Examples:
    """Tokenise rows of sentences with the model's own tokenizer."""
    numbers: dict[str, int] = {}
    index = np.array([[numbers.setdefault(sentence, len(numbers)) for sentence in row] for row in rows], dtype=np.intp)
    tokenizer = model.tokenizer
    encoded = tokenizer(list(numbers), truncation=True, max_length=model.max_seq_length, return_attention_mask=False)
    ids = tuple(np.asarray(pieces, dtype=np.int32) for pieces in encoded["input_ids"])
    return Examples(ids, index, labels, int(tokenizer.pad_token_id or 0))
