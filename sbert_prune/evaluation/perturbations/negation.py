"""Negation of sentences, and detection of negations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.evaluation.perturbations.words import Words, word_set

if TYPE_CHECKING:
    from collections.abc import Callable

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
"""Patterns of negations. Tamil and Telugu negate by verb endings, so some words are matched or missed wrongly."""


def contains_negation(word: str, language: str) -> bool:
    """Return whether a word of a language is or contains a negation."""
    return _BY_LANGUAGE[language].fullmatch(word) is not None


def is_negation(word: str) -> bool:
    """Return whether a word is a negation in any supported language."""
    return any(pattern.fullmatch(word) is not None for pattern in _BY_LANGUAGE.values())


BE = word_set("am is are was were")
MODALS = word_set("can could will would shall should may might must")
DO = word_set("do does did")
HAVE = {"has": "does", "have": "do", "had": "did"}
"""Forms of "have", each with the auxiliary that it needs when it is the main verb."""

ASK = word_set("what why how who whom whose which where")
"""A sentence that starts with one of these is a question."""

ARTICLES = word_set("a an the his her their its my your our")
PREPOSITIONS = word_set(
    "in on at to of by for from with into onto over under through across near along around behind beside down up off "
    "out about past as after before between while and or against outside inside next"
)
NO_NOUNS = ARTICLES | PREPOSITIONS | word_set("this that these those some two three four five one each every")
"""Words that stand before or after a noun and are not nouns."""

OF_MANY = word_set("few couple lot")
"""Followed by a plural although "a" stands before them."""

NO_PARTICIPLES = word_set(
    "building morning evening clothing ceiling wedding meeting painting drawing railing during string spring ruling "
    "hearing testing shooting carpeting something anything everything including excluding according regarding "
    "following concerning"
)
"""Words in -ing that are not participles."""

PARTICIPLES = word_set(
    "beaten become been begun blown bought bound bent broken brought built burst caught chosen come cost cut dealt "
    "done drawn driven eaten fallen felt fled flown forgotten fought found frozen given gone got gotten grown heard "
    "held hidden hit hung hurt kept known laid led left lent lost made meant met paid proven put quit read ridden "
    "risen run said seen sent set shaken shot shown shut slept sold sought spent split spoken stolen stood struck "
    "stuck sung sunk swept sworn taken taught thought thrown told torn understood withdrawn woken won worn wound "
    "written"
)
"""Irregular participles."""

ADVERBS = word_set("also already always ever even just long now never often only once recently since still then")
"""Words that can stand between an auxiliary and its participle."""

SMALL_AT_THE_START = NO_NOUNS | word_set(
    "yes he she it they we you there many several most all both people men women if when another"
)
"""Words that do not start a name, so they are lower-cased when they move inside a sentence."""


_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SHORT = re.compile(r"(?:i|you|we|they|he|she|it|that|there|here)['\u2019](?:m|re|s|ll|ve|d)")
_IN_ED = re.compile(r"\w{2,}[^e]ed|agreed|freed")
_IN_S = re.compile(r"\w+[^\Ws]s")
_NO_NEGATION_BEFORE = frozenset(("only", "just", "yet"))  # "not only", "has not yet to"


def negate_english(sentence: str) -> str | None:
    """Negate an English sentence; return None for one that starts like a question or a command."""
    parsed = _English.of(sentence.strip())
    if not parsed.small or parsed.small[0] in ASK | BE | MODALS | DO | HAVE.keys():
        return None
    return parsed.with_not() or parsed.with_does() or parsed.with_not_before_participle() or parsed.in_frame()


@dataclass(frozen=True, slots=True)
class _English:
    """A sentence with its words. spans: start and end of each word.  small: the words in lower case."""

    sentence: str
    spans: tuple[tuple[int, int], ...]
    small: tuple[str, ...]

    @classmethod
    def of(cls, sentence: str) -> _English:
        words = list(_WORD.finditer(sentence))
        return cls(sentence, tuple(word.span() for word in words), tuple(word[0].lower() for word in words))

    def with_not(self) -> str | None:
        """Insert "not" after the first auxiliary; None if there is none or "not" cannot follow it."""
        for index, (word, following) in enumerate(zip(self.small, self.small[1:], strict=False)):
            if self._takes_not(index) and self._are_neighbours(index, index + 1):
                if following in _NO_NEGATION_BEFORE:
                    return None
                if word in DO or word in HAVE:
                    return self._replaced(index, self._have_or_do(index))
                return self._replaced(index, "{}not" if word == "can" else "{} not")
        return None

    def with_does(self) -> str | None:
        """Insert "does not" ("A man cuts an onion").

        A word in -s between "a NOUN" and an article or a preposition is a verb.
        """
        if self.small[0] not in ("a", "an") or OF_MANY & set(self.small[1:2]):
            return None
        for index in range(2, min(5, len(self.small) - 1)):
            if self.small[index - 1] in NO_NOUNS or self.small[index - 1].endswith("ing"):
                return None
            if _IN_S.fullmatch(self.small[index]) and self.small[index + 1] in NO_NOUNS:
                return self._replaced(index, f"does not {_base_of(self.small[index])}")
        return None

    def with_not_before_participle(self) -> str | None:
        """Insert "not" before a word in -ing that follows a noun and precedes none ("Two dogs playing in the snow")."""
        for index in range(1, len(self.small)):
            before, word = self.small[index - 1 : index + 1]
            is_participle = len(word) > 5 and word.endswith("ing") and word not in NO_PARTICIPLES
            is_in_position = (
                before not in NO_NOUNS and not before.endswith(("ly", "ing")) and self._are_neighbours(index - 1, index)
            )
            if is_participle and is_in_position and (index + 1 == len(self.small) or self.small[index + 1] in NO_NOUNS):
                return self._replaced(index, "not {}")
        return None

    def in_frame(self) -> str:
        """Return the sentence in a frame that negates any statement."""
        begins_small = self.small[0] in SMALL_AT_THE_START and self.spans[0][0] == 0
        return "It is not true that " + (
            self.sentence[0].lower() + self.sentence[1:] if begins_small else self.sentence
        )

    def _takes_not(self, index: int) -> bool:
        word, before = self.small[index], self.small[index - 1]
        if word in MODALS:  # no can of tea, the will, Will, May
            return before not in ARTICLES and self.small[index + 1] != "of" and self._text(index)[0].islower()
        return word in BE or ((word in DO or word in HAVE) and before != "to") or _SHORT.fullmatch(word) is not None

    def _have_or_do(self, index: int) -> str:
        """Return "has not seen" or "does not have", depending on whether a participle follows."""
        word = self.small[index]
        if word in DO:
            return f"{word} not do"
        behind = next((other for other in self.small[index + 1 :] if other not in ADVERBS), "")
        return "{} not" if behind in PARTICIPLES or _IN_ED.fullmatch(behind) else f"{HAVE[word]} not have"

    def _are_neighbours(self, index: int, other: int) -> bool:
        return self.sentence[self.spans[index][1] : self.spans[other][0]].isspace()

    def _text(self, index: int) -> str:
        start, end = self.spans[index]
        return self.sentence[start:end]

    def _replaced(self, index: int, by: str) -> str:
        start, end = self.spans[index]
        return self.sentence[:start] + by.format(self._text(index)) + self.sentence[end:]


def _base_of(verb: str) -> str:
    """Return the base form: carries, watches, slices -> carry, watch, slice."""
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    return verb[:-2] if re.search(r"(?:ch|sh|ss|x|zz|o)es$", verb) else verb[:-1]


_FRAMES = {
    "hi": "यह सच नहीं है कि {}",
    "mr": "हे खरे नाही की {}",
    "ta": "{} என்பது உண்மையல்ல.",
    "te": "{} అనేది నిజం కాదు.",
}
"""Frames that negate any statement, whatever its verb."""

LANGUAGES = ("en", *_FRAMES)

_SIGNS_AT_THE_END = " .।॥|,;:!"


def negated_in(language: str) -> Callable[[str], str | None]:
    """Return the function that negates sentences of a language.

    It returns None for a question and for a sentence that already contains a negation.
    """

    def negated(sentence: str) -> str | None:
        words = Words.of(sentence).words
        if not words or "?" in sentence or any(contains_negation(word, language) for word in words):
            return None
        return negate_english(sentence) if language == "en" else _framed(sentence.strip(), _FRAMES[language])

    return negated


def _framed(sentence: str, frame: str) -> str:
    """Put the sentence into a frame, without its final punctuation if the frame continues after it."""
    return frame.format(sentence if frame.endswith("{}") else sentence.rstrip(_SIGNS_AT_THE_END))
