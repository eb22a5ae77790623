"""Ways to change the meaning of a scene; each returns a new scene, or None where it does not apply."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

from sbert_prune.data.quickstart.lexicon import Lexicon
from sbert_prune.data.quickstart.scenes import DETAILS, Scene, draw_scene, options, others

Rewrite = Callable[[Scene, Random, Lexicon], Scene | None]


def _change(role: str, scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    candidates = others(scene, role, lexicon) if scene.role(role) else ()
    return scene.fill(role, rng.choice(candidates)) if candidates else None


def _oppose(role: str, scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    now = scene.role(role)
    candidates = [option for option in options(scene, role, lexicon) if now and option.name == now.opposite]
    return scene.fill(role, rng.choice(candidates)) if candidates else None


def _generalise(role: str, scene: Scene, _rng: Random, _lexicon: Lexicon) -> Scene | None:
    now = scene.role(role)
    return scene.fill(role, now.general) if now and now.general else None


def change_core(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    return _change(rng.choice(("agent", "verb", "patient")), scene, rng, lexicon)


def change_detail(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    filled = [role for role in DETAILS if scene.role(role)]
    return _change(rng.choice(filled), scene, rng, lexicon) if filled else None


def oppose_any(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    """Put an opposite (an antonym) in one role."""
    roles = ["verb", "trait", "look", "time", "manner", "agent"]
    rng.shuffle(roles)
    return next((opposed for role in roles if (opposed := _oppose(role, scene, rng, lexicon))), None)


def generalise(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    """Replace a concept by its hypernym: "chef" by "person", or "stew" by "food"."""
    return _generalise(rng.choice(("agent", "patient")), scene, rng, lexicon)


def lose_detail(scene: Scene, rng: Random, _lexicon: Lexicon) -> Scene | None:
    """Remove an attribute or a circumstance."""
    filled = [role for role in DETAILS if scene.role(role)]
    return scene.fill(rng.choice(filled), None) if filled else None


def add_detail(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    """Add an attribute or a circumstance that the scene does not have."""
    empty = [role for role in DETAILS if role != "number" and not scene.role(role) and options(scene, role, lexicon)]
    if not empty:
        return None
    role = rng.choice(empty)
    candidates = others(scene, role, lexicon)
    return scene.fill(role, rng.choice(candidates)) if candidates else None


def negate(scene: Scene, _rng: Random, _lexicon: Lexicon) -> Scene | None:
    """Negate the scene, or remove its negation."""
    return replace(scene, negated=not scene.negated)


def swap(scene: Scene, _rng: Random, _lexicon: Lexicon) -> Scene | None:
    """Swap agent and patient."""
    if scene.verb.acts_on != "person" or scene.patient is None:
        return None
    return (
        replace(scene, agent=scene.patient, patient=scene.agent, trait=scene.look, look=scene.trait, number=None)
        if not scene.number
        else None
    )


def same_agent_elsewhere(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    """Return another scene of the topic with the same agent."""
    return replace(
        draw_scene(rng, lexicon, topic=scene.topic), agent=scene.agent, trait=scene.trait, number=scene.number
    )


def same_topic(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    """Return another scene of the topic."""
    return draw_scene(rng, lexicon, topic=scene.topic)


def unrelated(scene: Scene, rng: Random, lexicon: Lexicon) -> Scene | None:
    """Return a scene of another topic."""
    other = draw_scene(rng, lexicon)
    return None if other.topic.name == scene.topic.name else other


change_verb: Rewrite = partial(_change, "verb")
change_place: Rewrite = partial(_change, "place")
oppose_verb: Rewrite = partial(_oppose, "verb")
