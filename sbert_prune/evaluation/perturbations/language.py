"""Detection of the language of sentences from their script and function words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sbert_prune.data.scripts import script_of
from sbert_prune.evaluation.perturbations.words import Words, word_set

if TYPE_CHECKING:
    from collections.abc import Iterable

_LANGUAGE_BY_SCRIPT = {"Tamil": "ta", "Telugu": "te"}
"""Scripts that are used for only one language (others have no known STS data)."""

_FUNCTION_WORDS = {
    "Latin": {"en": word_set("the and to are with from this it you that there his they your has")},
    "Devanagari": {
        "hi": word_set("है हैं में से और के ने था थी थे रहा रही रहे गया लिए यह नहीं हूँ हूं"),
        "mr": word_set("आहे आहेत आणि नाही हे ते मी होते होता होती या आपण मध्ये करत करीत किंवा म्हणून असे एका होत काही"),
    },
}
"""Words that are frequent in the language and rare in others of the same script: Dutch has no "to", Nepali no "में"."""

# Minimum share of all words. Measured on STSb: English 0.14, Hindi 0.23, Marathi 0.13; other languages below 0.004.
_SHARE = 0.06
_TIMES_THE_NEXT = 3


def language_of(sentences: Iterable[str]) -> str | None:
    """Return the language of sentences (en, hi, mr, ta, te), or None for other languages and unclear cases."""
    texts = list(sentences)
    script = script_of(texts)
    if script in _LANGUAGE_BY_SCRIPT:
        return _LANGUAGE_BY_SCRIPT[script]
    words = Counter(word for text in texts for word in Words.of(text.lower()).words)
    shares = {
        language: sum(words[word] for word in known) / max(words.total(), 1)
        for language, known in _FUNCTION_WORDS.get(script, {}).items()
    }
    if not shares:
        return None
    best = max(shares, key=shares.__getitem__)
    others = sum(shares.values()) - shares[best]
    return best if shares[best] >= _SHARE and shares[best] >= _TIMES_THE_NEXT * others else None
