"""English sentences denied: "not" behind the auxiliary, "does not" before a verb, or in a frame where neither is sure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sbert_prune.evaluation.perturbations.english_words import (
    ADVERBS,
    ARTICLES,
    ASK,
    BE,
    DO,
    HAVE,
    MODALS,
    NO_NOUNS,
    NO_PARTICIPLES,
    OF_MANY,
    PARTICIPLES,
    SMALL_AT_THE_START,
)

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SHORT = re.compile(r"(?:i|you|we|they|he|she|it|that|there|here)['\u2019](?:m|re|s|ll|ve|d)")
_IN_ED = re.compile(r"\w{2,}[^e]ed|agreed|freed")
_IN_S = re.compile(r"\w+[^\Ws]s")
_NOT_A_DENIAL_BEFORE = frozenset(("only", "just", "yet"))  # "not only", "has not yet to"


def deny_english(sentence: str) -> str | None:
    """The sentence denied. None where it begins as a question or a command does."""
    parsed = _English.of(sentence.strip())
    if not parsed.small or parsed.small[0] in ASK | BE | MODALS | DO | HAVE.keys():
        return None
    return parsed.with_not() or parsed.with_does() or parsed.with_not_before_participle() or parsed.in_frame()


@dataclass(frozen=True, slots=True)
class _English:
    """A sentence with the places of its words. small: the words in small letters."""

    sentence: str
    spans: tuple[tuple[int, int], ...]
    small: tuple[str, ...]

    @classmethod
    def of(cls, sentence: str) -> _English:
        words = list(_WORD.finditer(sentence))
        return cls(sentence, tuple(word.span() for word in words), tuple(word[0].lower() for word in words))

    def with_not(self) -> str | None:
        """Behind the first auxiliary; None where there is none, or one that no "not" can follow."""
        for place, (word, behind) in enumerate(zip(self.small, self.small[1:], strict=False)):
            if self._takes_not(place) and self._are_neighbours(place, place + 1):
                if behind in _NOT_A_DENIAL_BEFORE:
                    return None
                if word in DO or word in HAVE:
                    return self._replaced(place, self._have_or_do(place))
                return self._replaced(place, "{}not" if word == "can" else "{} not")
        return None

    def with_does(self) -> str | None:
        """ "A man cuts an onion": behind "a" and its noun, a word in s is a verb where an article or a preposition follows."""
        if self.small[0] not in ("a", "an") or OF_MANY & set(self.small[1:2]):
            return None
        for place in range(2, min(5, len(self.small) - 1)):
            if self.small[place - 1] in NO_NOUNS or self.small[place - 1].endswith("ing"):
                return None
            if _IN_S.fullmatch(self.small[place]) and self.small[place + 1] in NO_NOUNS:
                return self._replaced(place, f"does not {_base_of(self.small[place])}")
        return None

    def with_not_before_participle(self) -> str | None:
        """ "Two dogs playing in the snow", as captions have it: a word in -ing behind a noun, before no noun."""
        for place in range(1, len(self.small)):
            before, word = self.small[place - 1 : place + 1]
            is_one = len(word) > 5 and word.endswith("ing") and word not in NO_PARTICIPLES
            stands_so = before not in NO_NOUNS and not before.endswith(("ly", "ing")) and self._are_neighbours(place - 1, place)
            if is_one and stands_so and (place + 1 == len(self.small) or self.small[place + 1] in NO_NOUNS):
                return self._replaced(place, "not {}")
        return None

    def in_frame(self) -> str:
        """What is right around any statement."""
        begins_small = self.small[0] in SMALL_AT_THE_START and self.spans[0][0] == 0
        return "It is not true that " + (self.sentence[0].lower() + self.sentence[1:] if begins_small else self.sentence)

    def _takes_not(self, place: int) -> bool:
        word, before = self.small[place], self.small[place - 1]
        if word in MODALS:  # no can of tea, the will, Will, May
            return before not in ARTICLES and self.small[place + 1] != "of" and self._text(place)[0].islower()
        return word in BE or ((word in DO or word in HAVE) and before != "to") or _SHORT.fullmatch(word) is not None

    def _have_or_do(self, place: int) -> str:
        """ "has not seen", but "does not have": it depends on whether a participle follows."""
        word = self.small[place]
        if word in DO:
            return f"{word} not do"
        behind = next((other for other in self.small[place + 1 :] if other not in ADVERBS), "")
        return "{} not" if behind in PARTICIPLES or _IN_ED.fullmatch(behind) else f"{HAVE[word]} not have"

    def _are_neighbours(self, place: int, other: int) -> bool:
        return self.sentence[self.spans[place][1] : self.spans[other][0]].isspace()

    def _text(self, place: int) -> str:
        start, end = self.spans[place]
        return self.sentence[start:end]

    def _replaced(self, place: int, by: str) -> str:
        start, end = self.spans[place]
        return self.sentence[:start] + by.format(self._text(place)) + self.sentence[end:]


def _base_of(verb: str) -> str:
    """carries, watches, slices -> carry, watch, slice."""
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    return verb[:-2] if re.search(r"(?:ch|sh|ss|x|zz|o)es$", verb) else verb[:-1]
