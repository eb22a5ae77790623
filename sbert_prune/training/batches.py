"""Token ids and batches of a phase's rows; each distinct sentence is tokenised once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from sbert_prune.system.cache import cached
from sbert_prune.training.objective import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

Features: TypeAlias = dict[str, torch.Tensor | int]
"""The input of a sentence model's forward pass."""

_AT_ONCE = 20_000  # sentences; larger parts would delay the reaction to signals


@dataclass(frozen=True)
class Tokens:
    """Token ids of sentences, the model's prompt and special pieces included.

    Attributes:
        flat: The ids of all sentences, concatenated. *Shape:* (pieces,)
        ends: The end of each sentence in `flat`. *Shape:* (sentences,)
        prompt_length: Pieces of the prompt before each sentence, which a pooling may leave out; None without a prompt.
    """

    flat: NDArray[np.int32]
    ends: NDArray[np.int64]
    prompt_length: int | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        return self.flat[self.ends[number - 1] if number else 0 : self.ends[number]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of pieces of each sentence. *Shape:* (sentences,)"""
        return np.diff(self.ends, prepend=0)

    def features(self, numbers: NDArray[np.intp], pad_id: int, device: torch.device) -> Features:
        """Return the input of a forward pass over some of the sentences. *Shape of each tensor:* (sentences, pieces)"""
        sentences = [self[number] for number in numbers.tolist()]
        width = max(1, *map(len, sentences))  # a sentence may have no piece at all
        pieces = np.full((len(sentences), width), pad_id, dtype=np.int64)
        mask = np.zeros((len(sentences), width), dtype=np.int64)
        for row, ids in enumerate(sentences):
            pieces[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        features: Features = {
            "input_ids": torch.from_numpy(pieces).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        return features if self.prompt_length is None else features | {"prompt_length": self.prompt_length}


@dataclass(frozen=True)
class Examples:
    """Rows of sentences, all with the same number of columns.

    Attributes:
        tokens: The token ids of each distinct sentence, cut to the model's max_seq_length.
        index: The number of the distinct sentence in each row and column. *Shape:* (rows, columns)
        labels: A class or a score for each row, if the loss needs one. *Shape:* (rows,)
        pad_id: The id of the padding piece.
        texts: The distinct sentences, in the order of `tokens`.
        targets: A teacher's embeddings of the distinct sentences. *Shape:* (exits, sentences, teacher's dim)
    """

    tokens: Tokens
    index: NDArray[np.intp]
    labels: torch.Tensor | None
    pad_id: int
    texts: tuple[str, ...] = ()
    targets: NDArray[np.floating[Any]] | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def widths(self) -> NDArray[np.int64]:
        """The number of pieces in the longest sentence of each row. *Shape:* (rows,)"""
        widths: NDArray[np.int64] = self.tokens.lengths[self.index].max(axis=1)
        return widths

    def sentences(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the sentence numbers of some rows, column by column. *Shape:* (columns * batch,)"""
        return self.index[rows].T.reshape(-1)

    def features(self, sentences: NDArray[np.intp], device: torch.device) -> Features:
        """Return the input of a forward pass over some sentences. *Shape of each tensor:* (sentences, pieces)"""
        return self.tokens.features(sentences, self.pad_id, device)

    def batch(self, rows: NDArray[np.intp], device: torch.device) -> Batch:
        """Return the labels and targets of some rows, which the loss needs besides the embeddings."""
        labels = None if self.labels is None else self.labels[torch.from_numpy(rows)].to(device)
        targets = None
        if self.targets is not None:
            of_rows = torch.from_numpy(np.ascontiguousarray(self.targets[:, self.index[rows].T]))
            targets = of_rows.to(device, torch.float32)
        return Batch(labels, targets)


def tokenize_rows(
    model: SentenceTransformer,
    rows: Sequence[Sequence[str]],
    labels: torch.Tensor | None = None,
    *,
    tick: Callable[[float], None] = lambda _: None,
) -> Examples:
    """Tokenise rows of sentences with the model's own tokenizer.

    Args:
        model: The model whose tokenizer, prompt and max_seq_length are used.
        rows: The sentences of each row.
        labels: A class or a score for each row. *Shape:* (rows,)
        tick: Called before each part of the work with the share that is done; an exception that it raises ends it.
    """
    numbers: dict[str, int] = {}
    index = np.array([[numbers.setdefault(sentence, len(numbers)) for sentence in row] for row in rows], dtype=np.intp)
    texts = tuple(numbers)
    return Examples(tokenize(model, texts, tick=tick), index, labels, int(model.tokenizer.pad_token_id or 0), texts)


def tokenize(
    model: SentenceTransformer,
    texts: Sequence[str],
    *,
    tick: Callable[[float], None] = lambda _: None,
    at_once: int = _AT_ONCE,
) -> Tokens:
    """Tokenise texts with the model's default prompt before them, as encode() does.

    The ids of many texts are stored in the user's cache by tokenizer, length, prompt and texts.

    Args:
        model: The model whose tokenizer, prompt and max_seq_length are used.
        texts: The sentences.
        tick: Called before each part of them with the share that is done; an exception that it raises ends the work.
        at_once: The number of sentences in a part.
    """
    length = int(model.max_seq_length)
    prompt = model.prompts.get(model.default_prompt_name) or ""
    prompted = [prompt + text for text in texts]

    def compute() -> dict[str, NDArray[Any]]:
        ids: list[Sequence[int]] = []
        for start in range(0, len(prompted), at_once):
            tick(start / len(prompted))
            part = prompted[start : start + at_once]
            ids += model.tokenizer(part, truncation=True, max_length=length, return_attention_mask=False)["input_ids"]
        ends = np.cumsum([len(pieces) for pieces in ids], dtype=np.int64)
        count = int(ends[-1]) if len(ends) else 0
        flat = np.fromiter((piece for pieces in ids for piece in pieces), dtype=np.int32, count=count)
        return {"flat": flat, "ends": ends}

    if len(texts) < _MIN_CACHED:
        arrays = compute()
    else:
        key = digest_of(_tokenizer_digest(model.tokenizer), str(length), *prompted)
        arrays = cached("tokens", key, compute)  # type: ignore[assignment]
    # `preprocess` computes it, so that a pooling gets the same value as in encode().
    prompt_length = model.preprocess([""], prompt=prompt).get("prompt_length") if prompt else None
    return Tokens(np.asarray(arrays["flat"]), np.asarray(arrays["ends"]), prompt_length)


_MIN_CACHED = 2_000  # sentences; fewer are tokenised faster than they are read from the cache


def digest_of(*parts: str) -> str:
    """Return the SHA-256 (hex) of texts in their order."""
    state = hashlib.sha256()
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()


def _tokenizer_digest(tokenizer: Any) -> str:
    """Return a digest of a tokenizer that does not depend on the truncation and padding of its last call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocabulary = json.dumps([str(type(tokenizer)), sorted(tokenizer.get_vocab().items())])
        return digest_of(vocabulary, tokenizer.truncation_side)
    parsed = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    return digest_of(json.dumps(parsed, sort_keys=True), str(type(tokenizer)), tokenizer.truncation_side)


_WINDOW = 32
"""Batches sorted by length together. A larger window hardly saves padding; with this one the order is random enough."""


def plan_batches(
    examples: Examples, batch_size: int, *, epochs: float, seed: int, unique: bool
) -> list[NDArray[np.intp]]:
    """Plan the batches of a whole phase; the same seed gives the same batches.

    Args:
        examples: The tokenised rows.
        batch_size: Rows in a batch.
        epochs: Passes over the rows. A fraction shortens the last pass.
        seed: Decides the order.
        unique: Whether a batch contains no distinct sentence in two rows (in-batch negatives would contain the
            positive).

    Returns:
        The row numbers of each batch.
    """
    batches: list[NDArray[np.intp]] = []
    for epoch in range(math.ceil(epochs)):
        planned = _plan_epoch(examples, batch_size, np.random.default_rng((seed, epoch)), unique=unique)
        batches.extend(planned[: max(1, round((epochs - epoch) * len(planned)))])
    return batches


def _plan_epoch(
    examples: Examples, batch_size: int, rng: np.random.Generator, *, unique: bool
) -> list[NDArray[np.intp]]:
    order = rng.permutation(len(examples))
    # Up to two pieces of noise mix rows of similar length, so that no two epochs have the same batches.
    widths = examples.widths + rng.uniform(0, 2, len(examples))
    batches: list[NDArray[np.intp]] = []
    for start in range(0, len(order), _WINDOW * batch_size):
        window = order[start : start + _WINDOW * batch_size]
        window = window[np.argsort(widths[window], kind="stable")]
        batches.extend(_without_repeats(examples, window, batch_size) if unique else _slices(window, batch_size))
    return [batches[position] for position in rng.permutation(len(batches))]


def _slices(rows: NDArray[np.intp], batch_size: int) -> Iterable[NDArray[np.intp]]:
    return (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))


def _without_repeats(examples: Examples, rows: NDArray[np.intp], batch_size: int) -> list[NDArray[np.intp]]:
    """Put each row into the first open batch without any of its sentences; rows of similar length stay together."""
    if batch_size == 1:
        return list(_slices(rows, 1))
    closed: list[NDArray[np.intp]] = []
    open_batches: list[tuple[list[int], set[int]]] = []
    for row in rows.tolist():
        sentences = set(examples.index[row].tolist())
        for position, (members, used) in enumerate(open_batches):
            if used.isdisjoint(sentences):
                members.append(row)
                used.update(sentences)
                if len(members) == batch_size:
                    closed.append(np.array(open_batches.pop(position)[0], dtype=np.intp))
                break
        else:
            open_batches.append(([row], sentences))
    return [*closed, *(np.array(members, dtype=np.intp) for members, _ in open_batches)]
