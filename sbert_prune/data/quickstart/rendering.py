"""Scenes rendered as English sentences: words are chosen for the concepts, then one of several syntactic frames."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from sbert_prune.data.quickstart import grammar
from sbert_prune.data.quickstart.lexicon import Concept
from sbert_prune.data.quickstart.scenes import ROLES, Scene

Words = Mapping[str, str]
"""The word chosen for each concept, by the concept's name."""


def choose_words(scene: Scene, rng: Random, *, earlier: Words | None = None, contrast: float = 1.0) -> Words:
    """Choose a word for each concept.

    Args:
        scene: The scene.
        rng: The source of randomness.
        earlier: The words of an earlier sentence.
        contrast: The probability of another word for a concept with a word in `earlier`; else the word is the same.
    """
    words = {}
    for role in ROLES:
        concept = scene.role(role)
        if concept is None:
            continue
        before = earlier.get(concept.name) if earlier else None
        fresh = [word for word in concept.words if word != before]
        words[concept.name] = rng.choice(fresh) if before is None or (fresh and rng.random() < contrast) else before
    return words


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a clause; a part that the scene does not have is empty."""

    subject: str
    object_: str
    be: str
    it_be: str
    verb: str
    finite: str
    early_manner: str
    late_manner: str
    place: str
    time: str
    is_plural: bool

    @property
    def doing(self) -> str:
        """ "slowly stirring a soup"."""
        return f"{self.early_manner} {grammar.progressive(self.verb)} {self.object_}"

    @property
    def done(self) -> str:
        """ "being slowly stirred by a chef"; it follows `it_be`, because the patient is always singular."""
        return f"being {self.early_manner} {grammar.participle(self.verb)} by {self.subject}"

    @property
    def circumstances(self) -> str:
        """ "on purpose in the kitchen at night"."""
        return f"{self.late_manner} {self.place} {self.time}"


def _always(_: _Parts) -> bool:
    return True


def _has_object(p: _Parts) -> bool:
    return p.object_ != ""


def _has_new_subject(p: _Parts) -> bool:
    return not p.subject.startswith("the ")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A syntactic frame: how often it is chosen, the sentence for the parts, and whether it fits them."""

    weight: int
    say: Callable[[_Parts], str]
    fits: Callable[[_Parts], bool] = _always


_FRAMES = (
    _Frame(5, lambda p: f"{p.subject} {p.be} {p.doing} {p.circumstances}"),
    _Frame(3, lambda p: f"{p.subject} {p.early_manner} {p.finite} {p.object_} {p.circumstances}"),
    _Frame(4, lambda p: f"{p.object_} {p.it_be} {p.done} {p.circumstances}", _has_object),
    _Frame(3, lambda p: f"there {p.be} {p.subject} {p.doing} {p.circumstances}", _has_new_subject),
    _Frame(1, lambda p: f"it {p.it_be} {p.subject} that {p.be} {p.doing} {p.circumstances}", lambda p: not p.is_plural),
    _Frame(
        1,
        lambda p: (
            f"it {p.it_be} {p.object_} that {p.subject} {p.be} {p.early_manner} {grammar.progressive(p.verb)} "
            f"{p.circumstances}"
        ),
        # "that a girl is waiting for in the park" reads badly, "putting on on a sunny day" worse.
        lambda p: _has_object(p) and " " not in p.verb,
    ),
    _Frame(3, lambda p: f"{p.place}, {p.subject} {p.be} {p.doing} {p.late_manner} {p.time}", lambda p: p.place != ""),
    _Frame(2, lambda p: f"{p.time}, {p.subject} {p.be} {p.doing} {p.late_manner} {p.place}", lambda p: p.time != ""),
)
_NEGATED_FRAMES = (
    _Frame(4, lambda p: f"{p.subject} {p.be} not {p.doing} {p.circumstances}"),
    _Frame(2, lambda p: f"{p.object_} {p.it_be} not {p.done} {p.circumstances}", _has_object),
    _Frame(
        2, lambda p: f"no {p.subject.split(' ', 1)[1]} {p.be} {p.doing} {p.circumstances}", lambda p: not p.is_plural
    ),
    _Frame(1, lambda p: f"it is not true that {p.subject} {p.be} {p.doing} {p.circumstances}"),
    _Frame(
        2, lambda p: f"{p.place}, {p.subject} {p.be} not {p.doing} {p.late_manner} {p.time}", lambda p: p.place != ""
    ),
)


def render(scene: Scene, words: Words, rng: Random, *, is_past: bool) -> Iterator[str]:
    """Yield sentences for the scene in the given words, in random order but heavy frames more likely first."""
    parts = _parts(scene, words, rng, is_past=is_past)
    frames = _NEGATED_FRAMES if scene.negated else _FRAMES
    for frame in sorted(frames, key=lambda frame: rng.random() / frame.weight):
        if frame.fits(parts):
            sentence = " ".join(frame.say(parts).split())
            yield sentence[0].upper() + sentence[1:] + "."


def _parts(scene: Scene, words: Words, rng: Random, *, is_past: bool) -> _Parts:
    def word(concept: Concept | None) -> str:
        return words[concept.name] if concept else ""

    verb, number, manner = word(scene.verb), word(scene.number), word(scene.manner)
    if number:
        subject = f"{number} {word(scene.trait)} {grammar.plural(word(scene.agent))}"
    else:
        subject = _noun_phrase(word(scene.agent), word(scene.trait), rng)
    if scene.owner:
        object_ = f"the {word(scene.owner)}'s {word(scene.look)} {word(scene.patient).rstrip('~')}"
    else:
        object_ = _noun_phrase(word(scene.patient), word(scene.look), rng) if scene.patient else ""
    # Adverbs in -ly precede the verb; phrases such as "on purpose" follow it.
    is_early = manner.endswith("ly")
    singular_be, plural_be = ("was", "were") if is_past else ("is", "are")
    present = verb if number else grammar.third_person(verb)
    return _Parts(
        subject=subject,
        object_=object_,
        be=plural_be if number else singular_be,
        it_be=singular_be,
        verb=verb,
        finite=grammar.past(verb) if is_past else present,
        early_manner=manner if is_early else "",
        late_manner="" if is_early else manner,
        place=word(scene.place),
        time=word(scene.time),
        is_plural=bool(number),
    )


def _noun_phrase(noun: str, adjective: str, rng: Random) -> str:
    phrase = f"{adjective} {noun.rstrip('~')}".strip()
    if rng.random() < 0.3:
        return f"the {phrase}"
    return f"some {phrase}" if noun.endswith("~") else f"{grammar.article(phrase)} {phrase}"
