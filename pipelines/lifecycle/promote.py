"""Promote a version or roll back, in its own run, and record the decision in the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.steps.context import describe_all, open_store
from sbert_prune.errors import RefusedError, TrackingError
from sbert_prune.registry import promotion
from sbert_prune.registry.history import PRODUCTION, REFUSED, STAGING, Event, append, truncate
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.policy import Decision, decide
from sbert_prune.registry.version import figures
from sbert_prune.registry.versions import STAGE_ALIASES, find_version
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import in_experiment_of

if TYPE_CHECKING:
    from sbert_prune.registry.policy import Policy
    from sbert_prune.registry.promotion import PromotionResult
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from sbert_prune.tracking.store import Store

_MAX_REASON_CHARS = 4_000
"""So that a reason fits into an entry of the history with its numbers."""


@dataclass(frozen=True)
class Requested:
    """What the user requests.

    Attributes:
        name: The registered model.
        number: Of the version; None for the smallest that qualifies.
        stage: Production or Staging.
        reason: Why; None if not given.
        force: Promote despite all refusals.
    """

    name: str
    number: str | None
    stage: str
    reason: str | None
    force: bool


def promote(requested: Requested, policy: Policy) -> list[str]:
    """Promote a version, or the smallest that qualifies; return the report line by line.

    Raises RefusedError with the reasons.
    """
    name, stage = requested.name, requested.stage
    with open_store(records=True) as store:
        listing = list_all(store, name, must_exist=True)
        chosen = find_version(listing.versions, name, requested.number) if requested.number is not None else None
        promotion.catch_up(store, listing)
        decision = decide(store, listing.versions, chosen, policy)
        _check_stage(store, decision, stage)
        there = in_experiment_of(store, (decision.chosen or listing.versions[-1]).run_id)
        with open_run(
            there, f"promote {name} to {stage}", {"step": "promote", "registered_model": name, "stage": stage}
        ) as run:
            passes = decision.chosen is not None and (requested.force or not decision.refusals)
            _log(run, decision, policy, "promoted" if passes else "refused")
            if decision.chosen is not None and passes:
                why = _reason(decision, requested.reason)
                result = promotion.promote(store, listing, decision.chosen, stage, reason=why, numbers=decision.numbers)
                describe_all(there, name, listing.versions)
                return _lines(decision.chosen, stage, why, result)
            _record_refusal(store, name, stage, decision)
        raise RefusedError(_refusal(name, decision, stage))


def roll_back(name: str, reason: str) -> list[str]:
    """Give Production back to the version that had it before; return the report line by line."""
    with open_store(records=True, artifacts=False) as store:
        listing = list_all(store, name, must_exist=True)
        there = in_experiment_of(store, listing.versions[-1].run_id)
        with open_run(there, f"rollback {name}", {"step": "rollback", "registered_model": name}) as run:
            target, result = promotion.roll_back(store, listing, reason)
            moved = {"version": target.version, "before": result.before or "none"}
            run.set_tags({"outcome": "rolled back", "reason": reason[:4000], **moved})
            run.describe(f"Production is back from version {moved['before']} to {target.uri}: {reason}")
            describe_all(there, name, listing.versions)
        return _lines(target, PRODUCTION, reason, result)


def _check_stage(store: Store, decision: Decision, stage: str) -> None:
    """Refuse to move the champion to Staging, which would leave no version in Production."""
    if stage == STAGING and decision.chosen is not None:
        current = promotion.holder(store, decision.chosen.name, PRODUCTION)
        if current is not None and current.version == decision.chosen.version:
            raise TrackingError(
                f"{current.uri} is in Production, and is not taken out of it for Staging. "
                f"Promote another version to Production first, or go back: {command_line('rollback')}"
            )


def _log(run: Run, decision: Decision, policy: Policy, outcome: str) -> None:
    limits = {"margin": policy.margin, "max_size_mb": policy.max_size_mb, "max_latency_ms": policy.max_latency_ms}
    limits["min_retention"] = policy.min_retention
    run.log_params({key: f"{value:g}" for key, value in limits.items() if value is not None})
    version = {"version": decision.chosen.version, "model": decision.chosen.uri} if decision.chosen else {}
    run.set_tags({"outcome": outcome, "reason": decision.reason[:4000], **version})
    about = f"{decision.chosen.uri} ({figures(decision.numbers)})" if decision.chosen else "No version"
    why = "; ".join(decision.refusals) if outcome == "refused" else ""
    run.describe(f"{about} was {outcome}: {why or decision.reason}")
    if decision.refusals:
        run.log_text("\n".join(decision.refusals) + "\n", "refusals.txt")


def _record_refusal(store: Store, name: str, stage: str, decision: Decision) -> None:
    current = promotion.holder(store, name, stage)
    reasons = "; ".join(decision.refusals) or decision.reason
    about = decision.chosen.version if decision.chosen else None
    append(store, name, Event(REFUSED, stage, about, current.version if current else None, reasons, decision.numbers))


def _refusal(name: str, decision: Decision, stage: str) -> str:
    about = f"{decision.chosen.uri} is not" if decision.chosen else f"{name}: {decision.reason}, so nothing is"
    reasons = "".join(f"  - {reason}\n" for reason in decision.refusals)
    advice = (
        "Make a better one, relax the margin and the limits, or promote a version nevertheless: "
        "force=true with version and reason."
    )
    return f"{about} promoted to {stage}.\n{reasons}{advice}"


def _reason(decision: Decision, users_reason: str | None) -> str:
    """Join the user's reason and the decision's; the user's is cut to fit."""
    against = f"; forced against: {'; '.join(decision.refusals)}" if decision.refusals else ""
    ours = f"{decision.reason}{against}"
    return f"{truncate(users_reason, _MAX_REASON_CHARS - len(ours))}; {ours}" if users_reason else ours


def _lines(version: Version, stage: str, why: str, result: PromotionResult) -> list[str]:
    alias = STAGE_ALIASES[stage]
    before = result.before
    if before == version.version:
        instead = "it held this stage already"
    else:
        instead = f"instead of version {before}" if before else "nothing held this stage before"
    lines = [f"{version.uri} is {stage} now, alias {alias}: {why}", instead]
    if not result.has_stages:
        lines.append(
            f"this server has no stages any more: the alias {alias} and the tag sbert_prune.stage replace them"
        )
    moves = before not in (None, version.version) and stage == PRODUCTION
    back = [f"back    {command_line('rollback', registered_model=version.name)}"] if moves else []
    return [*lines, f'load    mlflow.sentence_transformers.load_model("models:/{version.name}@{alias}")', *back]
