"""Measure how well a tokenizer fits the language of texts, and warn if it does not."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import regex

from sbert_prune.data.scripts import script_of
from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedTokenizerBase


def pieces_per_word(tokenized: Sequence[Sequence[int]], texts: Sequence[str]) -> float:
    """Return the number of pieces, without special ones, for each word; words are separated by white space.

    Args:
        tokenized: The ids of each text's pieces.
        texts: The texts.
    """
    return sum(map(len, tokenized)) / max(sum(len(text.split()) for text in texts), 1)


def share_among(tokenized: Sequence[Sequence[int]], ids: AbstractSet[int]) -> float:
    """Return the share (0 to 1) of all pieces whose id is among these."""
    return sum(number in ids for pieces in tokenized for number in pieces) / max(sum(map(len, tokenized)), 1)


# Measured on Marathi, Hindi and English (STSb, news, stories), with tokenizers of the same language and of another one.
_MAX_UNKNOWN = 0.01  # same: at most 0.001; English ones on Devanagari: 0.04 (single letters are known) to 0.9
# Same, with 8,000 to 60,000 pieces: 1.2 to 2.0; English ones on Devanagari: 2.9 to 4.1, byte-level ones 12 to 17.
_MAX_PIECES_PER_WORD = 2.5
_MAX_LOST = 0.05  # lower-casing BERT drops 0.16 to 0.20 of Devanagari, and about 0.04 of French, which stays readable
_NOT_TRUNCATED = 0.95  # share of the texts that should not be truncated
_SPACELESS = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Myanmar", "Khmer", "Tibetan"})
"""Scripts without spaces between words, for which pieces per word mean nothing."""


@dataclass(frozen=True, slots=True)
class TextFit:
    """How a tokenizer cuts some texts. Shares are 0 to 1.

    Attributes:
        num_texts: The number of texts.
        max_length: The length in pieces, with special ones, at which the model truncates.
        script: The script of most letters, for the user: "Latin", "Devanagari".
        unknown_rate: The share of the unknown piece among all pieces.
        pieces_per_word: Without special pieces; words are separated by white space.
        lost_marks: The share of the letters, accents and vowel signs that the tokenizer drops before it cuts.
        truncated: The share of the texts with more than max_length pieces, with special ones.
        needed_length: The length in pieces, with special ones, that is enough for 95 % of the texts.
    """

    num_texts: int
    max_length: int
    script: str
    unknown_rate: float
    pieces_per_word: float
    lost_marks: float
    truncated: float
    needed_length: int

    def line(self) -> str:
        """Return a summary for the user."""
        return (
            f"{self.num_texts:,} {self.script} texts: {self.unknown_rate:.1%} unknown pieces, "
            f"{self.pieces_per_word:.2f} pieces a word, {self.truncated:.1%} of the texts cut at {self.max_length} "
            f"pieces (95% need {self.needed_length} or fewer)"
        )

    def warnings(self) -> list[str]:
        """Return warnings, each with the measurement, its consequence, and advice; none for a tokenizer that fits."""
        checks = (_warn_of_unknown, _warn_of_lost_marks, _warn_of_split_words, _warn_of_truncation)
        return [warning for check in checks if (warning := check(self))]


def measure_fit(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> TextFit:
    """Measure on texts, of which about 2,000 are enough, with a copy of the tokenizer that truncates nothing.

    Raises DataError if no text contains a word.
    """
    if not any(text.strip() for text in texts):
        raise DataError(
            f"The tokenizer cannot be measured on {len(texts)} texts without a word. Give sentences like those that "
            "the model will embed."
        )
    copied: Any = deepcopy(tokenizer)  # a call changes its truncation and padding
    options = {"add_special_tokens": False, "truncation": False, "padding": False, "verbose": False}
    tokenized: list[list[int]] = copied(list(texts), **options)["input_ids"]
    lengths = sorted(len(pieces) + copied.num_special_tokens_to_add(pair=False) for pieces in tokenized)
    return TextFit(
        num_texts=len(texts),
        max_length=max_length,
        script=script_of(texts) or "unknown",
        unknown_rate=share_among(tokenized, {copied.unk_token_id}),
        pieces_per_word=pieces_per_word(tokenized, texts),
        lost_marks=_lost_marks(getattr(copied, "backend_tokenizer", None), texts),
        truncated=sum(length > max_length for length in lengths) / len(lengths),
        needed_length=lengths[math.ceil(_NOT_TRUNCATED * len(lengths)) - 1],
    )


def _warn_of_unknown(fit: TextFit) -> str:
    if fit.unknown_rate <= _MAX_UNKNOWN:
        return ""
    return (
        f"{fit.unknown_rate:.1%} of all pieces are the unknown piece: the tokenizer has none for much of this "
        f"{fit.script} text, and different unknown words get the same embedding. Take a base_model that was trained on "
        "this language."
    )


def _warn_of_lost_marks(fit: TextFit) -> str:
    if fit.lost_marks <= _MAX_LOST:
        return ""
    return (
        f"The tokenizer drops {fit.lost_marks:.0%} of the letters and marks (vowel signs, accents) of this "
        f"{fit.script} text before it cuts it, as lower-casing BERT tokenizers do, so that different words become one. "
        "Take a base_model that keeps them (a cased one). Where the vocabulary has the pieces for them, set lowercase "
        "and strip_accents to false in tokenizer.json, and do_lower_case and strip_accents in tokenizer_config.json."
    )


def _warn_of_split_words(fit: TextFit) -> str:
    if fit.pieces_per_word <= _MAX_PIECES_PER_WORD or fit.script in _SPACELESS:
        return ""
    return (
        f"A word of this {fit.script} text is cut into {fit.pieces_per_word:.1f} pieces on average; where a tokenizer "
        "fits, into 1 to 2. The encoder gets letters instead of words, takes longer, and reads less of a long text. "
        "Take a base_model that was trained on this language."
    )


def _warn_of_truncation(fit: TextFit) -> str:
    if fit.needed_length <= fit.max_length:
        return ""
    return (
        f"{fit.truncated:.0%} of the texts have more than max_seq_length={fit.max_length} pieces, and the rest is not "
        f"read. 95% need {fit.needed_length} or fewer: set max_seq_length={fit.needed_length} if the encoder takes as "
        "many, or split the texts into sentences."
    )


def _lost_marks(backend: Any, texts: Iterable[str]) -> float:
    """Return the share of letters and marks that the normaliser drops; 0 without one, or with a byte-level one."""
    normaliser = getattr(backend, "normalizer", None)
    if normaliser is None or "ByteLevel" in repr(normaliser):
        return 0.0
    before, after = _letters(texts), _letters(map(normaliser.normalize_str, texts))
    return (before - after).total() / max(before.total(), 1)


def _letters(texts: Iterable[str]) -> Counter[str]:
    """Count each letter and mark, case-folded and decomposed, so that only lost ones make a difference."""
    return Counter(regex.findall(r"[\p{L}\p{M}]", unicodedata.normalize("NFKD", "\n".join(texts).casefold())))
