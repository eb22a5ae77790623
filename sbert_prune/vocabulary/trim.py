"""Trim the vocabulary of a sentence model.

Pieces and their embedding rows are removed together, as in https://arxiv.org/abs/2305.15020 (Ushio et al. 2023), so
that a sentence whose pieces are all kept has exactly the same embedding.
"""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import EncoderError
from sbert_prune.models.sentence import encoder_of
from sbert_prune.vocabulary.choose import choose_pieces, must_stay
from sbert_prune.vocabulary.counts import count_pieces
from sbert_prune.vocabulary.embedding import (
    counts_positions_from_padding,
    ids_in_config,
    renumber,
    substitute,
    token_table,
)
from sbert_prune.vocabulary.fit import pieces_per_word, share_among
from sbert_prune.vocabulary.tokenizer import bare_tokenizer, tokenizer_json, trim_tokenizer
from sbert_prune.vocabulary.tokenizer_json import named_ids, read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

    from sbert_prune.recipe.values import VocabularyLimit
    from sbert_prune.vocabulary.counts import PieceCounts
    from sbert_prune.vocabulary.tokenizer_json import Pieces


@dataclass(frozen=True, slots=True)
class TrimReport:
    """Sizes before and after, and the segmentation of texts that were held out when the pieces were chosen.

    Attributes:
        pieces_before: The number of pieces.
        pieces_after: The number of kept pieces.
        parameters_before: The parameters of the whole encoder.
        parameters_after: The same after trimming.
        pieces_per_word_before: Words are separated by white space.
        pieces_per_word_after: The same after trimming.
        unknown_rate_before: The share of the unknown piece among all (0 to 1).
        unknown_rate_after: The same after trimming.
        coverage: The share of piece occurrences whose piece is kept (0 to 1).
        covered_sentences: The share of texts whose pieces are all kept, and whose embedding is therefore the same (0 to
            1).
        num_counted: The number of texts by which the pieces were chosen.
        num_held_out: The number of texts measured on; 0 if the corpus had fewer than 10, all of which are then measured
            on.
        digest: SHA-256 of the kept pieces in order, each followed by a zero byte.
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
        """Which texts the rates were measured on."""
        return (
            f"{self.num_held_out} held-out texts"
            if self.num_held_out
            else (f"the {self.num_counted} counted texts themselves")
        )


def _report(
    encoders: tuple[PreTrainedModel, PreTrainedModel],
    tokenizers: tuple[Tokenizer, Tokenizer],
    counts: PieceCounts,
    pieces: Pieces,
    kept: tuple[int, ...],
) -> TrimReport:
    """Compare (before, after) pairs of encoders and of tokenizers, which must neither truncate nor pad."""
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
    """Return the share (0 to 1) of the texts that two Transformers tokenizers cut into the same pieces."""
    full, small = (bare_tokenizer(tokenizer_json(tokenizer)) for tokenizer in (before, after))
    pairs = zip(full.encode_batch(list(texts)), small.encode_batch(list(texts)), strict=True)
    return sum(left.tokens == right.tokens for left, right in pairs) / len(texts)


def trim_vocabulary(
    model: SentenceTransformer, texts: Iterable[str], limit: VocabularyLimit
) -> tuple[SentenceTransformer, TrimReport]:
    """Return a copy of the sentence model with only the pieces that the texts need most; the model itself is unchanged.

    A sentence whose pieces are all kept has the same embedding. Rows without a piece are dropped; dropped rows are
    never copied.

    Args:
        model: The sentence model.
        texts: Sentences like those that the model will embed; every tenth is held out and measured on.
        limit: The number of pieces to keep, or the share of occurrences to cover.

    Raises:
        RecipeError: The limit is below the number of pieces that must be kept.
        DataError: The corpus contains no text.
        EncoderError: The tokenizer or the encoder cannot be trimmed.
    """
    encoder = encoder_of(model)
    parsed = tokenizer_json(model.tokenizer)
    pieces = read_pieces(parsed)
    if pieces.ids[-1] >= token_table(encoder).num_embeddings:
        raise EncoderError(
            f"The tokenizer's pieces go up to {pieces.ids[-1]}, the encoder has {token_table(encoder).num_embeddings} "
            "rows. They do not belong together; put the model's own tokenizer beside its weights."
        )
    full = bare_tokenizer(parsed)
    required = named_ids(parsed) | ids_in_config(encoder.config) | _prompt_ids(model, full)
    if counts_positions_from_padding(encoder):
        required.update(range((encoder.config.pad_token_id or 0) + 1))
    required.intersection_update(pieces.ids)
    must_stay(pieces, limit, required)  # raises before a large corpus is counted
    counts = count_pieces(full, texts)
    rows = token_table(encoder).weight.detach().float().cpu().numpy()
    kept = choose_pieces(pieces, counts.occurrences, limit, required, rows)
    trimmed = _trimmed_copy(model, kept)
    small = bare_tokenizer(tokenizer_json(trimmed.tokenizer))
    return trimmed, _report((encoder, encoder_of(trimmed)), (full, small), counts, pieces, kept)


def _prompt_ids(model: SentenceTransformer, tokenizer: Tokenizer) -> set[int]:
    """Return the pieces of the model's prompts, which are put before every sentence."""
    encodings = tokenizer.encode_batch_fast([text for text in model.prompts.values() if text], add_special_tokens=False)
    return {number for encoding in encodings for number in encoding.ids}


def _trimmed_copy(model: SentenceTransformer, kept: tuple[int, ...]) -> SentenceTransformer:
    """Return a copy with the kept pieces and their rows, both in the order of `kept`."""
    encoder = encoder_of(model)
    new_ids = {old: new for new, old in enumerate(kept)}
    pad = encoder.config.pad_token_id
    if counts_positions_from_padding(encoder) and new_ids.get(pad) != pad:
        raise EncoderError(
            f"This {type(encoder).__name__} counts positions from its padding id {pad}, which would move to "
            f"{new_ids.get(pad)}, because the ids below it have gaps. Take vocabulary=all, or another base."
        )
    memo = {
        **substitute(encoder, list(kept)),
        id(model.tokenizer): trim_tokenizer(model.tokenizer, new_ids, encoder.config),
    }
    trimmed = deepcopy(model, memo)  # deepcopy finds rows and tokenizer here, wherever the model refers to them
    renumber(encoder_of(trimmed), new_ids, token_table(encoder).num_embeddings)
    return trimmed
