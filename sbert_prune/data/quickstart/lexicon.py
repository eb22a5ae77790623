"""The lexicon: concepts with their synonyms, opposites and generalisations, parsed from lexicon.txt."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sbert_prune.data.quickstart.splits import Split, is_reserved_concept, is_reserved_word


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


def _lines(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield the head and the items of each line "HEAD | ITEMS"."""
    for line in re.sub(r"\n +", " ", text).splitlines():
        head, _, items = line.partition(" | ")
        if head and not head.startswith("#"):
            yield head.split(maxsplit=3), items


def _parse_topic(text: str, people: Concepts) -> Topic:
    name, _, rest = text.partition("\n")
    agents: Concepts = ()
    places: Concepts = ()
    deeds: Concepts = ()
    things: dict[str, Concepts] = {}
    for head, items in _lines(rest):
        match head:
            case ["agents", general]:
                kind = "animal" if general == "animal" else "person"
                above = (
                    _PERSON
                    if general == "person"
                    else Concept(general, (general,), general=_PERSON if kind == "person" else None, kind=kind)
                )
                agents = tuple(replace(agent, general=above, kind=kind) for agent in _parse(items))
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
    details, *topics = Path(__file__).with_name("lexicon.txt").read_text(encoding="utf-8").split("\ntopic ")
    words = {" ".join(head): _parse(items) for head, items in _lines(details)}
    people = tuple(replace(person, general=_PERSON, kind="person") for person in words["people"])
    full = Lexicon(
        topics=tuple(_parse_topic(topic, people) for topic in topics),
        traits={
            head.removeprefix("traits "): concepts for head, concepts in words.items() if head.startswith("traits ")
        },
        manners=words["manners"],
        times=words["times"],
        numbers=words["numbers"],
    )
    return _without_reserved(full) if split == "train" else full


def _common(concepts: Concepts) -> Concepts:
    kept = []
    for concept in concepts:
        words = tuple(word for word in concept.words if not is_reserved_word(word))
        if words and not is_reserved_concept(concept.name):
            kept.append(replace(concept, words=words))
    return tuple(kept)


def _without_reserved(lexicon: Lexicon) -> Lexicon:
    topics = []
    for topic in lexicon.topics:
        things = {name: chosen for name, members in topic.things.items() if (chosen := _common(members))}
        deeds = tuple(deed for deed in _common(topic.deeds) if deed.acts_on in {"-", *things})
        topics.append(Topic(topic.name, _common(topic.agents), _common(topic.places), things, deeds))
    return Lexicon(
        topics=tuple(topic for topic in topics if topic.agents and topic.places and topic.deeds),
        traits={kind: _common(traits) for kind, traits in lexicon.traits.items()},
        manners=_common(lexicon.manners),
        times=_common(lexicon.times),
        numbers=_common(lexicon.numbers),
    )
