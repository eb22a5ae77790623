"""Sentences that deny what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.evaluation.perturbations.english import deny_english
from sbert_prune.evaluation.perturbations.negation_words import denies
from sbert_prune.evaluation.perturbations.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable

_FRAMES = {
    "hi": "यह सच नहीं है कि {}",
    "mr": "हे खरे नाही की {}",
    "ta": "{} என்பது உண்மையல்ல.",
    "te": "{} అనేది నిజం కాదు.",
}
"""What is right around any statement, whatever its verb."""

LANGUAGES = ("en", *_FRAMES)

_SIGNS_AT_THE_END = " .।॥|,;:!"


def negated_in(language: str) -> Callable[[str], str | None]:
    """How to deny a sentence of one of LANGUAGES: None for a question, and for one that denies already."""

    def negated(sentence: str) -> str | None:
        words = Words.of(sentence).words
        if not words or "?" in sentence or any(denies(word, language) for word in words):
            return None
        return deny_english(sentence) if language == "en" else _framed(sentence.strip(), _FRAMES[language])

    return negated


def _framed(sentence: str, frame: str) -> str:
    """A frame that goes on behind the sentence takes its full stop's place."""
    return frame.format(sentence if frame.endswith("{}") else sentence.rstrip(_SIGNS_AT_THE_END))
