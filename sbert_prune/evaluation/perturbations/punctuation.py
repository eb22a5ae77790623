"""A sentence without its punctuation, or with the full stop that it lacks."""

from __future__ import annotations

from sbert_prune.evaluation.perturbations.language import language_of, script_of
from sbert_prune.evaluation.perturbations.words import Words, is_punctuation

_FULL_STOPS = {
    **dict.fromkeys(("BENGALI", "GURMUKHI", "ORIYA"), "।"),
    **dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA"), "。"),
    **{"ARMENIAN": "\u0589", "ETHIOPIC": "።", "KHMER": "។", "MYANMAR": "။", "TIBETAN": "།"},
    **dict.fromkeys(("THAI", "LAO"), None),
}
"""Where it is not a point; None where there is none."""

_URDU = frozenset("ٹڈڑےہںھ")


def with_other_punctuation(sentence: str) -> str | None:
    """All signs at the ends of words go; a sentence without any gets a full stop in its own script.

    Signs inside a word (don't, 3.5) stay. None without a word, and where the script has no full stop to add.
    """
    split = Words.of(sentence)
    if not split.words:
        return None
    changed = str(Words(split.words, tuple(map(_without_signs, split.gaps)))).strip()
    if changed != sentence.strip():
        return changed
    stop = _full_stop(sentence)
    return None if stop is None else changed + stop


def _without_signs(gap: str) -> str:
    """One blank in place of a sign, so that no two words become one."""
    return " " if any(map(is_punctuation, gap)) else gap


def _full_stop(sentence: str) -> str | None:
    script = script_of([sentence])
    if script == "DEVANAGARI":
        return "।" if language_of([sentence]) == "hi" else "."
    if script == "ARABIC":
        return "\u06d4" if _URDU.intersection(sentence) else "."
    return _FULL_STOPS.get(script, ".")
