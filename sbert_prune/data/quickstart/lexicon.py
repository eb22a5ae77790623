"""The lexicon: concepts with their synonyms, opposites and generalisations, parsed from the tables of words."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from sbert_prune.data.quickstart.details import MANNERS, NUMBERS, PEOPLE, TIMES, TRAITS
from sbert_prune.data.quickstart.splits import Split, is_reserved_concept, is_reserved_word
from sbert_prune.data.quickstart.topics_indoors import INDOORS
from sbert_prune.data.quickstart.topics_outdoors import OUTDOORS


@dataclass(frozen=True, slots=True)
class Concept:
    """One meaning and the words for it.

    Attributes:
        name: The first of the words.
        words: The synonyms.
        opposite: The name of the concept that excludes this one, or "".
        general: The hypernym: the concept that this one falls under.
        kind: Which traits fit; "" if none do.
        acts_on: For a verb, the class of things that it takes; "-" for none.
    """

    name: str
    words: tuple[str, ...]
    opposite: str = ""
    general: "Concept | None" = None
    kind: str = ""
    acts_on: str = ""

    @property
    def is_reserved(self) -> bool:
        """Whether the concept or one of its words is not in train."""
        return is_reserved_concept(self.name) or any(map(is_reserved_word, self.words))


Concepts = tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """Concepts that fit together in a scene: agents do deeds to things (by class) in places."""

    name: str
    agents: Concepts
    places: Concepts
    things: dict[str, Concepts]
    deeds: Concepts


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words that one split may use."""

    topics: tuple[Topic, ...]
    traits: dict[str, Concepts]
    manners: Concepts
    times: Concepts
    numbers: Concepts


_PERSON = Concept("person", ("person",), kind="person")


def _parse(items: str) -> Concepts:
    """Parse "a=b <> c, d": the concepts a (with its synonym b) and c, opposites of each other, and d."""
    concepts = []
    for item in items.split(","):
        sides = [tuple(side.split("=")) for side in " ".join(item.split()).split(" <> ")]
        for words, other in zip(sides, reversed(sides), strict=True):
            concepts.append(Concept(words[0], words, opposite=other[0] if len(sides) > 1 else ""))
    return tuple(concepts)


def _parse_topic(text: str) -> Topic:
    lines = [line.partition(" | ") for line in text.strip().replace(",\n  ", ", ").splitlines()]
    name = lines[0][0]
    agents: Concepts = ()
    places: Concepts = ()
    deeds: Concepts = ()
    things: dict[str, Concepts] = {}
    for head, _, items in lines[1:]:
        match head.split(maxsplit=3):
            case ["agents", general]:
                kind = "animal" if general == "animal" else "person"
                above = (
                    _PERSON
                    if general == "person"
                    else Concept(general, (general,), general=_PERSON if kind == "person" else None, kind=kind)
                )
                agents = tuple(replace(agent, general=above, kind=kind) for agent in _parse(items))
                people = tuple(replace(person, general=_PERSON, kind="person") for person in _parse(PEOPLE))
                agents += people if general in {"person", "worker"} and name != "people" else ()
            case ["places"]:
                places = _parse(items)
            case ["things", kind_of_thing, kind, general]:
                above = replace(_parse(general)[0], kind=kind)
                things[kind_of_thing] = tuple(replace(thing, general=above, kind=kind) for thing in _parse(items))
            case ["deeds", acts_on]:
                deeds += tuple(replace(deed, acts_on=acts_on) for deed in _parse(items))
    return Topic(name, agents, places, {"person": agents, **things}, deeds)


@cache
def load_lexicon(split: Split) -> Lexicon:
    """Return the whole lexicon for dev and test; for train, the lexicon without the reserved concepts and words."""
    topics = (INDOORS + OUTDOORS).split("\ntopic ")[1:]
    full = Lexicon(
        topics=tuple(map(_parse_topic, topics)),
        traits={kind: _parse(items) for kind, items in TRAITS.items()},
        manners=_parse(MANNERS),
        times=_parse(TIMES),
        numbers=_parse(NUMBERS),
    )
    return _restrict(full, _common) if split == "train" else full


def _common(concepts: Concepts) -> Concepts:
    kept = []
    for concept in concepts:
        words = tuple(word for word in concept.words if not is_reserved_word(word))
        if words and not is_reserved_concept(concept.name):
            kept.append(replace(concept, words=words))
    return tuple(kept)


def _restrict(lexicon: Lexicon, choose: Callable[[Concepts], Concepts]) -> Lexicon:
    topics = []
    for topic in lexicon.topics:
        things = {name: chosen for name, members in topic.things.items() if (chosen := choose(members))}
        deeds = tuple(deed for deed in choose(topic.deeds) if deed.acts_on in {"-", *things})
        topics.append(Topic(topic.name, choose(topic.agents), choose(topic.places), things, deeds))
    return Lexicon(
        topics=tuple(topic for topic in topics if topic.agents and topic.places and topic.deeds),
        traits={kind: choose(traits) for kind, traits in lexicon.traits.items()},
        manners=choose(lexicon.manners),
        times=choose(lexicon.times),
        numbers=choose(lexicon.numbers),
    )
