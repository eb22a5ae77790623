"""What to do with a variant: the command that promotes it; or why the policy would refuse, and what to try instead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipelines.console import report_facts
from sbert_prune.errors import TrackingError
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry.history import PRODUCTION
from sbert_prune.registry.policy import Policy, decide
from sbert_prune.registry.promotion import holder
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
        refused: Why `promote` would refuse it, or why that was not checked; "" if it would not.
        command: The command that promotes it, or one that makes a better variant; "" without one.
        facts: The same, for --json.
        is_good: Whether it is as good as its reference, whatever the champion is.
        rivals: Whether it is worth having beside its rivals; "" without any.
        keep: The champion that stays where promotion would be refused; "" without one.
    """

    refused: str
    command: str
    facts: Mapping[str, object]
    is_good: bool = False
    rivals: str = ""
    keep: str = ""

    def lines(self) -> list[str]:
        """Return the advice as the last lines of a command."""
        report_facts(**self.facts, **({"rivals": self.rivals} if self.rivals else {}))
        told = (("promote", self.refused), ("keep", self.keep), ("try", self.command))
        lines = [("rivals", self.rivals), *(told if self.refused else [("promote", self.command)])]
        return [f"{title:10}{text}" for title, text in lines if text]

    def sentence(self) -> str:
        """Return the advice as the first paragraph of a report."""
        command = f"`{self.command}`" if self.command else "nothing else to try"
        keep = f" Keep {self.keep}." if self.keep else ""
        return f"Promotion {self.refused}.{keep} Try: {command}" if self.refused else f"Promotable: {command}"


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
        champion = holder(store, variant.name, PRODUCTION) if decision.refusals else None
    except TrackingError as error:  # only the advice is missing: the variant is registered
        return Advice(f"not checked: {error}", "", {})
    if not decision.refusals:
        command = command_line("promote", registered_model=variant.name, version=variant.version, stage="Production")
        return Advice("", command, {"promote": command}, is_good=True)
    context = click.get_current_context(silent=True)
    command, given = (str(context.info_name), context.params) if context is not None else ("full", {})
    given = {name: value for name, value in given.items() if isinstance(value, str)}  # flags are not repeated
    if command == "sweep":  # which has no layers: one variant is made by `full`
        command, swept = "full", {"layers": variant.tags["num_layers"], "strategy": recipe.strategy}
        given = {name: value for name, value in given.items() if name not in {"depths", "strategies"}} | swept
    instead = _instead(recipe, variant, given) if decision.falls_short else _smaller(variant, given)
    better = without_password(command_line(command, **instead)) if instead else ""
    refused = f"would be refused: {'; '.join(decision.refusals)}"
    facts: dict[str, object] = {"refusals": decision.refusals, "try": better or None}
    keep = ""
    if champion is not None and champion.version != variant.version:
        keep = f"{champion.uri}, the champion, dev {champion.metrics.get(STS_DEV, math.nan):.4f}"
        facts["champion"] = champion.uri
    return Advice(refused, better, facts, is_good=not decision.falls_short, keep=keep)


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
