"""Whether a tokenizer fits the language of the texts that it will cut."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedTokenizerBase


def pieces_per_word(cut: Sequence[Sequence[int]], texts: Sequence[str]) -> float:
    """Pieces, without special ones, for each word; a word is what stands between white space.

    cut: for each text the ids of its pieces.
    """
    return sum(map(len, cut)) / max(sum(len(text.split()) for text in texts), 1)


def share_among(cut: Sequence[Sequence[int]], ids: AbstractSet[int]) -> float:
    """Share (0 to 1) of all pieces that are among these ids."""
    return sum(number in ids for pieces in cut for number in pieces) / max(sum(map(len, cut)), 1)


# Measured on Marathi, Hindi and English (STSb, news, stories): what a tokenizer of the language itself shows, and what others do.
_MOST_UNKNOWN = 0.01  # its own: at most 0.001; English ones on Devanagari: 0.04 (single letters are known) to 0.9
_MOST_PIECES_PER_WORD = 2.5  # its own, of 8,000 to 60,000 pieces: 1.2 to 2.0; English ones on Devanagari: 2.9 to 4.1, in bytes 12 to 17
_MOST_LOST = 0.05  # lower-casing BERT drops 0.16 to 0.20 of Devanagari, and some 0.04 of French, which can be read without
_COVERED = 0.95  # share of the texts that should not be cut

_SPACELESS = frozenset({"CJK", "Hiragana", "Katakana", "Thai", "Lao", "Myanmar", "Khmer", "Tibetan"})
"""Scripts without spaces between words, so that pieces per word tell nothing."""

_SCRIPT = re.compile(r"[A-Z ]+?(?= (?:SMALL|CAPITAL|LETTER|SYLLABLE|UNIFIED|INDEPENDENT|SUBJOINED|COMPATIBILITY)\b)")


@dataclass(frozen=True, slots=True)
class TextFit:
    """How a tokenizer cuts some texts. Shares are 0 to 1.

    script: the one that most letters belong to, for people: "Latin", "Devanagari".
    unknown_rate: share of the unknown piece among all.  pieces_per_word: a word is what stands between white space; special pieces
    do not count.  lost_marks: share of the letters, accents and vowel signs that the tokenizer drops before it cuts.
    truncated: share of the texts with more than max_length pieces, special ones counted.  needed_length: as many of these are enough
    for 95 % of the texts.
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
        """What was measured, for people."""
        return (
            f"{self.num_texts:,} {self.script} texts: {self.unknown_rate:.1%} unknown pieces, {self.pieces_per_word:.2f} pieces a word, "
            f"{self.truncated:.1%} of the texts cut at {self.max_length} pieces (95% need {self.needed_length} or fewer)"
        )

    def warnings(self) -> list[str]:
        """What does not fit: what was found, why it matters, and what to do. Empty for a tokenizer that fits."""
        return [warning for check in (_unknown, _lost, _in_pieces, _cut) if (warning := check(self))]


def measure_fit(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> TextFit:
    """Cut the texts, some 2,000 of them, with a copy of the tokenizer that truncates nothing.

    Raises DataError when there is no text to measure.
    """
    if not any(text.strip() for text in texts):
        raise DataError(
            f"The tokenizer cannot be measured on {len(texts)} texts without a word. Give sentences such as the model will embed."
        )
    copied: Any = deepcopy(tokenizer)  # a call changes how it truncates and pads
    options = {"add_special_tokens": False, "truncation": False, "padding": False, "verbose": False}
    cut: list[list[int]] = copied(list(texts), **options)["input_ids"]
    lengths = sorted(len(pieces) + copied.num_special_tokens_to_add(pair=False) for pieces in cut)
    return TextFit(
        num_texts=len(texts),
        max_length=max_length,
        script=_script(texts),
        unknown_rate=share_among(cut, {copied.unk_token_id}),
        pieces_per_word=pieces_per_word(cut, texts),
        lost_marks=_lost_marks(getattr(copied, "backend_tokenizer", None), texts),
        truncated=sum(length > max_length for length in lengths) / len(lengths),
        needed_length=lengths[math.ceil(_COVERED * len(lengths)) - 1],
    )


def _unknown(fit: TextFit) -> str:
    if fit.unknown_rate <= _MOST_UNKNOWN:
        return ""
    return (
        f"{fit.unknown_rate:.1%} of all pieces are the unknown piece: the tokenizer has none for much of this {fit.script} text, and words "
        "that it does not know embed alike, whatever they say. Take a base_model that was trained on this language."
    )


def _lost(fit: TextFit) -> str:
    if fit.lost_marks <= _MOST_LOST:
        return ""
    return (
        f"The tokenizer drops {fit.lost_marks:.0%} of the letters and marks (vowel signs, accents) of this {fit.script} text before it "
        "cuts it, as lower-casing BERT tokenizers do, so that different words become one. Take a base_model that keeps them (a cased "
        "one). Where the vocabulary has the pieces for them, do_lower_case and strip_accents false in tokenizer_config.json will do."
    )


def _in_pieces(fit: TextFit) -> str:
    if fit.pieces_per_word <= _MOST_PIECES_PER_WORD or fit.script in _SPACELESS:
        return ""
    return (
        f"A word of this {fit.script} text is cut into {fit.pieces_per_word:.1f} pieces on average; where a tokenizer fits, into 1 to 2. "
        "The encoder sees letters in place of words, takes longer, and reads less of a long text. Take a base_model that was trained "
        "on this language."
    )


def _cut(fit: TextFit) -> str:
    if fit.needed_length <= fit.max_length:
        return ""
    return (
        f"{fit.truncated:.0%} of the texts have more than max_seq_length={fit.max_length} pieces, and what comes behind is not read. "
        f"95% need {fit.needed_length} or fewer: set max_seq_length={fit.needed_length} if the encoder takes as many, or split the texts "
        "into sentences."
    )


def _lost_marks(backend: Any, texts: Iterable[str]) -> float:
    """Share of letters and marks that the normaliser drops; 0 for a tokenizer without one, and for one that only respells bytes."""
    normaliser = getattr(backend, "normalizer", None)
    if normaliser is None or "ByteLevel" in repr(normaliser):
        return 0.0
    before, after = _letters(texts), _letters(map(normaliser.normalize_str, texts))
    return (before - after).total() / max(before.total(), 1)


def _letters(texts: Iterable[str]) -> Counter[str]:
    """How often each letter and mark occurs; capitals, and letters with their marks in one, are resolved, so that only losses differ."""
    characters = Counter(unicodedata.normalize("NFKD", "\n".join(texts).casefold()))
    return Counter({character: count for character, count in characters.items() if unicodedata.category(character)[0] in "LM"})


def _script(texts: Iterable[str]) -> str:
    scripts: Counter[str] = Counter()
    for character, count in Counter("".join(texts)).items():
        if character.isalpha() and (match := _SCRIPT.match(unicodedata.name(character, ""))):
            scripts[match[0].title().replace("Cjk", "CJK")] += count
    return scripts.most_common(1)[0][0] if scripts else "unknown"
