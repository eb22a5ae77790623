"""Trimming the vocabulary of a sentence model.

The rows and their pieces are re-packed together, as in https://arxiv.org/abs/2305.15020 (Ushio et al. 2023), so that a sentence
whose pieces all survive keeps its embedding exactly.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from sbert_prune.errors import EncoderError
from sbert_prune.models.sentence import encoder_of
from sbert_prune.vocabulary.choose import choose_pieces, must_stay
from sbert_prune.vocabulary.counts import count_pieces
from sbert_prune.vocabulary.embedding import counts_positions_from_padding, ids_in_config, renumber, substitute, token_table
from sbert_prune.vocabulary.report import TrimReport, report_of
from sbert_prune.vocabulary.rewriting import named_ids
from sbert_prune.vocabulary.tokenizer import bare_tokenizer, tokenizer_json, trim_tokenizer
from sbert_prune.vocabulary.tokenizer_json import read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    from sbert_prune.recipe.values import VocabularyLimit


def trim_vocabulary(
    model: SentenceTransformer, texts: Iterable[str], limit: VocabularyLimit, *, keep_up_to_padding: bool | None = None
) -> tuple[SentenceTransformer, TrimReport]:
    """Return a copy of the sentence model that knows only the pieces its texts need most; the model itself stays as it was.

    texts: sentences such as the model will embed; every tenth chooses nothing, and is measured on instead.
    keep_up_to_padding: keep all ids up to the padding's, so that it stays; None does so where positions are counted from it.
    A sentence whose pieces all survive embeds as before. Rows without a piece are dropped; dropped rows are never copied.

    Raises RecipeError for a limit below what has to stay, DataError for a corpus without text, and EncoderError for a tokenizer or
    an encoder that cannot be trimmed.
    """
    encoder = encoder_of(model)
    parsed = tokenizer_json(model.tokenizer)
    pieces = read_pieces(parsed)
    if pieces.ids[-1] >= token_table(encoder).num_embeddings:
        raise EncoderError(
            f"The tokenizer's pieces go up to {pieces.ids[-1]}, the encoder has {token_table(encoder).num_embeddings} rows. "
            "They do not belong together; put the model's own tokenizer beside its weights."
        )
    full = bare_tokenizer(parsed)
    required = named_ids(parsed) | ids_in_config(encoder.config) | _prompt_ids(model, full)
    if counts_positions_from_padding(encoder) if keep_up_to_padding is None else keep_up_to_padding:
        required.update(range((encoder.config.pad_token_id or 0) + 1))
    required.intersection_update(pieces.ids)
    must_stay(pieces, limit, required)  # a mistake is told before a large corpus is counted
    counts = count_pieces(full, texts)
    rows = token_table(encoder).weight.detach().float().cpu().numpy()
    kept = choose_pieces(pieces, counts.occurrences, limit, required, rows)
    trimmed = _repack(model, kept)
    small = bare_tokenizer(tokenizer_json(trimmed.tokenizer))
    return trimmed, report_of((encoder, encoder_of(trimmed)), (full, small), counts, pieces, kept)


def _prompt_ids(model: SentenceTransformer, tokenizer: Tokenizer) -> set[int]:
    """The pieces of the model's prompts, which stand before every sentence."""
    encodings = tokenizer.encode_batch_fast([text for text in model.prompts.values() if text], add_special_tokens=False)
    return {number for encoding in encodings for number in encoding.ids}


def _repack(model: SentenceTransformer, kept: tuple[int, ...]) -> SentenceTransformer:
    """A copy with the kept pieces and their rows, both in the order of `kept`."""
    encoder = encoder_of(model)
    new_ids = {old: new for new, old in enumerate(kept)}
    pad = encoder.config.pad_token_id
    if counts_positions_from_padding(encoder) and new_ids.get(pad) != pad:
        raise EncoderError(
            f"This {type(encoder).__name__} counts positions from its padding id {pad}, which would move to {new_ids.get(pad)}. "
            "Leave keep_up_to_padding as it is; where the ids below it have gaps, the vocabulary cannot be trimmed."
        )
    memo = {**substitute(encoder, list(kept)), id(model.tokenizer): trim_tokenizer(model.tokenizer, new_ids, encoder.config)}
    trimmed = deepcopy(model, memo)  # deepcopy finds rows and tokenizer here, wherever the model refers to them
    renumber(encoder_of(trimmed), new_ids, token_table(encoder).num_embeddings)
    return trimmed
