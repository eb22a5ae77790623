"""Which language sentences are in, told by their script and their function words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.perturbations.words import Words, word_set

if TYPE_CHECKING:
    from collections.abc import Iterable

_OF_SCRIPT = {"TAMIL": "ta", "TELUGU": "te"}
"""Scripts that write one language only, but for what nobody has STS pairs of."""

_FUNCTION_WORDS = {
    "LATIN": {"en": word_set("the and to are with from this it you that there his they your has")},
    "DEVANAGARI": {
        "hi": word_set("है हैं में से और के ने था थी थे रहा रही रहे गया लिए यह नहीं हूँ हूं"),
        "mr": word_set("आहे आहेत आणि नाही हे ते मी होते होता होती या आपण मध्ये करत करीत किंवा म्हणून असे एका होत काही"),
    },
}
"""Words that the language has often and its neighbours in the script hardly ever: Dutch has no "to", Nepali no "में"."""

_SHARE = 0.06  # of all words; measured on STSb: English 0.14, Hindi 0.23, Marathi 0.13, and another language's words below 0.004
_TIMES_THE_NEXT = 3


def language_of(sentences: Iterable[str]) -> str | None:
    """The language (en, hi, mr, ta, te) of some sentences; None for another one, and where they do not tell."""
    texts = list(sentences)
    script = script_of(texts)
    if script in _OF_SCRIPT:
        return _OF_SCRIPT[script]
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


def script_of(sentences: Iterable[str]) -> str:
    """The script of most letters by its name in Unicode: LATIN, DEVANAGARI, CJK; empty without a letter."""
    scripts: Counter[str] = Counter()
    for character, count in Counter("".join(sentences)).items():
        scripts[_script(character)] += count
    del scripts[""]
    return scripts.most_common(1)[0][0] if scripts else ""


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""
