"""What to do with a variant: the command that promotes it; or why the policy would refuse, and what to try instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipelines.console import report_facts
from sbert_prune.errors import TrackingError
from sbert_prune.registry.policy import Policy, decide
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.secrets import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

_PAPER = "-paper"


@dataclass(frozen=True)
class Advice:
    """What to do with a variant.

    Attributes:
        promote: The command that promotes it; None where `promote` would refuse, or that was not checked.
        refusals: Why it would refuse.
        better: A command that makes a better variant, if there is one.
        error: Why nothing could be checked.
        falls_short: Whether it is refused for what it is; otherwise only the champion may stand in its way.
        rivals: Whether it is worth having beside its rivals; "" without any.
    """

    promote: str | None = None
    refusals: tuple[str, ...] = ()
    better: str | None = None
    error: str = ""
    falls_short: bool = False
    rivals: str = ""

    @property
    def is_good(self) -> bool:
        """Return whether it is as good as its reference, whatever the champion is."""
        return not self.error and not self.falls_short

    @property
    def _refused(self) -> str:
        return f"not checked: {self.error}" if self.error else f"would be refused: {'; '.join(self.refusals)}"

    def lines(self) -> list[str]:
        """Return the advice as the last lines of a command."""
        given = {"promote": self.promote, "refusals": self.refusals, "try": self.better, "rivals": self.rivals}
        report_facts(**{name: fact for name, fact in given.items() if fact})
        lines = {"rivals": self.rivals, "promote": self.promote or self._refused, "try": self.better}
        return [f"{name:10}{text}" for name, text in lines.items() if text]

    def sentence(self) -> str:
        """Return the advice as the first paragraph of a report."""
        better = f" Try `{self.better}`" if self.better else ""
        return f"Promotable: `{self.promote}`" if self.promote else f"Promotion {self._refused}.{better}"


def advise(store: Store, recipe: Recipe, variant: Version, reference: Version) -> Advice:
    """Return the command that promotes a variant, or why `promote` would refuse and what to try.

    Args:
        store: The tracking store.
        recipe: The recipe that the variant was made with.
        variant: The variant.
        reference: Its reference; the variant itself where nothing was removed.
    """
    try:
        decision = decide(store, (reference, variant), variant, Policy())
    except TrackingError as error:  # only the advice is missing: the variant is registered
        return Advice(error=str(error))
    if not decision.refusals:
        return Advice(
            command_line("promote", registered_model=variant.name, version=variant.version, stage="Production")
        )
    context = click.get_current_context(silent=True)
    command, given = (str(context.info_name), context.params) if context is not None else ("full", {})
    given = {name: value for name, value in given.items() if isinstance(value, str)}  # flags are not repeated
    instead = _instead(recipe, variant, given) if decision.falls_short else _smaller(variant, given)
    better = without_password(command_line(command, **instead)) if instead else None
    return Advice(None, decision.refusals, better, falls_short=decision.falls_short)


def _instead(recipe: Recipe, variant: Version, given: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters of a better variant: with a teacher, or with more layers."""
    if "distil" not in recipe.phases and not recipe.sts.distillation:
        plain = recipe.name.removesuffix(_PAPER)
        if plain != recipe.name and given.get("recipe") == recipe.name:
            return {**given, "recipe": plain}
        return {**given, "phases": "nli,distil,sts", "sts_distillation": 1}
    kept, depth = int(variant.tags["num_layers"]), int(variant.tags["depth"])
    return _with_layers(given, min(depth - 1, (kept * 3 + 1) // 2)) if kept < depth - 1 else {}


def _smaller(variant: Version, given: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters of a variant that is smaller than the champion."""
    kept = int(variant.tags["num_layers"])
    return _with_layers(given, kept * 2 // 3) if kept > 1 else {}


def _with_layers(given: Mapping[str, object], count: int) -> dict[str, object]:
    return {name: value for name, value in given.items() if name != "schedule"} | {"layers": count}
