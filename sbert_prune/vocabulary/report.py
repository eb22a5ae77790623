"""What trimming a vocabulary saved, and what it costs in the segmentation of text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbert_prune.segmentation import pieces_per_word, share_among
from sbert_prune.vocabulary.tokenizer import bare_tokenizer, tokenizer_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

    from sbert_prune.vocabulary.counts import PieceCounts
    from sbert_prune.vocabulary.tokenizer_json import Pieces


@dataclass(frozen=True, slots=True)
class TrimReport:
    """Sizes before and after, and the segmentation of texts that the pieces were not chosen by.

    pieces: numbers of pieces.  parameters: of the whole encoder.  bytes: of its weights in float32.
    pieces_per_word: a word is what stands between white space.  unknown_rate: share of the unknown piece among all (0 to 1).
    coverage: share of piece occurrences whose piece survived.  covered_sentences: share of texts all of whose pieces survived;
    these embed as before.  num_counted: texts that the pieces were chosen by.  num_held_out: further texts, measured on; 0 where
    the corpus had fewer than 10, which are then measured on themselves.  digest: SHA-256 of the kept
    pieces in order, each ended by a zero byte.
    """

    pieces_before: int
    pieces_after: int
    parameters_before: int
    parameters_after: int
    pieces_per_word_before: float
    pieces_per_word_after: float
    unknown_rate_before: float
    unknown_rate_after: float
    coverage: float
    covered_sentences: float
    num_counted: int
    num_held_out: int
    digest: str

    @property
    def bytes_before(self) -> int:
        """Bytes of all weights in float32."""
        return 4 * self.parameters_before

    @property
    def bytes_after(self) -> int:
        """Bytes of all weights in float32."""
        return 4 * self.parameters_after

    @property
    def measured_on(self) -> str:
        """Which texts the rates come from."""
        return f"{self.num_held_out} held-out texts" if self.num_held_out else f"the {self.num_counted} counted texts themselves"


def report_of(
    encoders: tuple[PreTrainedModel, PreTrainedModel],
    tokenizers: tuple[Tokenizer, Tokenizer],
    counts: PieceCounts,
    pieces: Pieces,
    kept: tuple[int, ...],
) -> TrimReport:
    """Compare encoders and tokenizers, each before and after; the tokenizers must neither truncate nor pad."""
    texts = counts.held_out or counts.sample
    before, after = (_segment(tokenizer, texts) for tokenizer in tokenizers)
    unknown = set() if pieces.unknown is None else {pieces.unknown}
    names = {number: text for text, number in pieces.numbers}
    return TrimReport(
        pieces_before=len(names),
        pieces_after=len(kept),
        parameters_before=encoders[0].num_parameters(),
        parameters_after=encoders[1].num_parameters(),
        pieces_per_word_before=pieces_per_word(before, texts),
        pieces_per_word_after=pieces_per_word(after, texts),
        unknown_rate_before=share_among(before, unknown),
        unknown_rate_after=share_among(after, {kept.index(number) for number in unknown}),
        coverage=share_among(before, set(kept)),
        covered_sentences=sum(map(set(kept).issuperset, before)) / max(len(before), 1),
        num_counted=counts.num_counted,
        num_held_out=len(counts.held_out),
        digest=hashlib.sha256("".join(f"{names[number]}\0" for number in kept).encode()).hexdigest(),
    )


def _segment(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def share_unchanged(before: Any, after: Any, texts: Sequence[str]) -> float:
    """Share of the texts (0 to 1) that two Transformers tokenizers cut into the same pieces: those embed as before the trim."""
    full, small = (bare_tokenizer(tokenizer_json(tokenizer)) for tokenizer in (before, after))
    pairs = zip(full.encode_batch(list(texts)), small.encode_batch(list(texts)), strict=True)
    return sum(left.tokens == right.tokens for left, right in pairs) / len(texts)
