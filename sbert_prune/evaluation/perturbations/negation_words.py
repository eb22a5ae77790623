"""Words that deny."""

from __future__ import annotations

import re

_BY_LANGUAGE = {
    "en": re.compile(
        r"(?:not|no|no-one|never|none|nobody|nothing|neither|nor|nowhere|cannot|cant|dont|doesnt|didnt|isnt|wont|without|hardly|.*n['\u2019]t)",
        re.I,
    ),
    "hi": re.compile("(?:नहीं|नही|नहि|न|ना|मत|बिना|बगैर|बग़ैर)"),
    "mr": re.compile("(?:नाही|नाहि|नव्ह|नको|नका|नये|नस[लतणेा]|विना|शिवाय).*|(?:न|ना)|.*(?:शिवाय|विना|नाही)"),
    "ta": re.compile("(?:இல்ல|அல்ல|வேண்டாம|மாட்ட).*|.*(?:ில்லை|யல்ல|மல்ல|னல்ல|தல்ல|ாமல்|ாது|ாத|ாதே|ாதீர்கள்)|.*(?:மாட்டா|முடியாத|கூடாத).*"),
    "te": re.compile("(?:వద్దు|రాదు|రావు)|.*(?:లేదు|లేరు|లేడు|లేవు|లేను|లేము|లేని|కుండా|[క-హ]దు|కాదు|కావు)"),
}
"""By language; Tamil and Telugu deny with the end of a verb, so that some other words are taken for one, and some verbs are missed."""


def denies(word: str, language: str) -> bool:
    """Whether a word of a language is, or holds, a negation."""
    return _BY_LANGUAGE[language].fullmatch(word) is not None


def is_negation(word: str) -> bool:
    """Whether a word is a negation in any language that is known here."""
    return any(pattern.fullmatch(word) is not None for pattern in _BY_LANGUAGE.values())
