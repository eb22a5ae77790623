"""A scene: who does what to whom, where, when, how and with which attributes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from sbert_prune.data.quickstart.lexicon import Concept, Concepts, Lexicon, Topic


@dataclass(frozen=True, slots=True)
class Scene:
    """The meaning of one sentence; every role but agent and verb may be empty.

    Attributes:
        trait: An attribute of the agent.
        look: An attribute of the patient.
        owner: The owner of the patient.
        number: The number of agents.
    """

    topic: Topic
    agent: Concept
    verb: Concept
    patient: Concept | None = None
    trait: Concept | None = None
    look: Concept | None = None
    owner: Concept | None = None
    number: Concept | None = None
    place: Concept | None = None
    time: Concept | None = None
    manner: Concept | None = None
    negated: bool = False

    def role(self, name: str) -> Concept | None:
        """Return the concept in a role."""
        concept: Concept | None = getattr(self, name)
        return concept

    def fill(self, name: str, concept: Concept | None) -> "Scene":
        """Return the scene with another concept in a role."""
        change: dict[str, Any] = {name: concept}
        return replace(self, **change)


DETAILS = ("trait", "look", "owner", "number", "place", "time", "manner")
ROLES = ("agent", "verb", "patient", *DETAILS)

_PEOPLE = ("agent", "patient", "owner")

# How often a scene has each role; the patient first, since its look and owner depend on it.
_CHANCES = {
    "patient": 1.0,
    "trait": 0.35,
    "look": 0.4,
    "owner": 0.2,
    "number": 0.15,
    "place": 0.6,
    "time": 0.3,
    "manner": 0.25,
}


def _owners(scene: Scene, _lexicon: Lexicon) -> Concepts:
    is_owned = scene.patient is not None and scene.patient.kind not in _UNOWNED_KINDS
    return scene.topic.agents if is_owned and scene.agent.kind == "person" else ()


# People have no owner, and wild animals and plants rarely do.
_UNOWNED_KINDS = {"person", "animal", "plant"}
# The concepts that make sense in a role of a scene.
_OPTIONS: dict[str, Callable[[Scene, Lexicon], Concepts]] = {
    "agent": lambda scene, _: scene.topic.agents,
    "verb": lambda scene, _: tuple(deed for deed in scene.topic.deeds if deed.acts_on == scene.verb.acts_on),
    "patient": lambda scene, _: scene.topic.things.get(scene.verb.acts_on, ()),
    "trait": lambda scene, lexicon: lexicon.traits[scene.agent.kind],
    "look": lambda scene, lexicon: lexicon.traits[scene.patient.kind] if scene.patient else (),
    "owner": _owners,
    "number": lambda _, lexicon: lexicon.numbers,
    "place": lambda scene, _: scene.topic.places,
    "time": lambda _, lexicon: lexicon.times,
    "manner": lambda _, lexicon: lexicon.manners,
}


def options(scene: Scene, role: str, lexicon: Lexicon) -> Concepts:
    """Return the concepts that make sense in a role of the scene."""
    return _OPTIONS[role](scene, lexicon)


def draw_scene(rng: Random, lexicon: Lexicon, *, topic: Topic | None = None) -> Scene:
    """Return a random scene that makes sense, with some of the details."""
    topic = topic or rng.choice(lexicon.topics)
    scene = Scene(topic, agent=rng.choice(topic.agents), verb=rng.choice(topic.deeds))
    for role, chance in _CHANCES.items():
        if rng.random() < chance and (candidates := others(scene, role, lexicon)):
            scene = scene.fill(role, rng.choice(candidates))
    return scene


def others(scene: Scene, role: str, lexicon: Lexicon) -> Concepts:
    """Return the options for a role that share no word with its current concept or with agent, patient and owner."""
    taken = {word for name in {role, *_PEOPLE} if (filler := scene.role(name)) for word in filler.words}
    return tuple(option for option in options(scene, role, lexicon) if taken.isdisjoint(option.words))
