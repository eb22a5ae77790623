"""Count how often each piece occurs in a corpus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenizers import Tokenizer

HELD_OUT_EVERY = 10
MAX_HELD_OUT = 10_000
_BATCH_TEXTS = 1000
_BATCH_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class PieceCounts:
    """The pieces of a corpus, counted.

    Attributes:
        occurrences: How often each piece occurs, by id.
        num_counted: How many texts were counted.
        held_out: Texts that were not counted, to measure the trimmed vocabulary on.
        sample: The first few counted texts, to measure on if the corpus is too short to hold any out.
    """

    occurrences: Counter[int]
    num_counted: int
    held_out: tuple[str, ...]
    sample: tuple[str, ...]


def count_pieces(
    tokenizer: Tokenizer, texts: Iterable[str], *, max_held_out: int = MAX_HELD_OUT, batch_texts: int = _BATCH_TEXTS
) -> PieceCounts:
    """Count the pieces of all texts that are not blank, except every tenth until enough are held out.

    Memory stays bounded however many texts there are.

    Args:
        tokenizer: Must neither truncate nor pad.
        texts: The corpus.
        max_held_out: How many texts are held out at most.
        batch_texts: How many texts are tokenised at once at most.

    Raises:
        DataError: The corpus contains no text.
    """
    held_out: list[str] = []
    sample: list[str] = []
    occurrences: Counter[int] = Counter()
    num_counted = 0
    for batch in _batches(_counted(texts, held_out, max_held_out), batch_texts):
        num_counted += len(batch)
        sample.extend(batch[: HELD_OUT_EVERY - len(sample)])
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            occurrences.update(encoding.ids)
    if not occurrences:
        raise DataError(
            f"The corpus for choosing pieces contains no text ({num_counted} texts). Give sentences like those that "
            "the model will embed."
        )
    return PieceCounts(occurrences, num_counted, tuple(held_out), tuple(sample))


def _counted(texts: Iterable[str], held_out: list[str], max_held_out: int) -> Iterator[str]:
    """Yield the texts to count; the others are appended to `held_out`."""
    position = 0
    for text in texts:
        if not text.strip():
            continue
        position += 1
        if position % HELD_OUT_EVERY == 0 and len(held_out) < max_held_out:
            held_out.append(text)
        else:
            yield text


def _batches(texts: Iterable[str], max_texts: int) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) >= max_texts or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
