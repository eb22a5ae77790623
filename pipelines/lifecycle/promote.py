"""A stage moves forward or back, in a run of its own, with the decision in the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.steps.context import describe_all, open_store
from sbert_prune.errors import RefusedError, TrackingError
from sbert_prune.registry import promotion
from sbert_prune.registry.history import PRODUCTION, REFUSED, STAGING, Event, append, shortened
from sbert_prune.registry.policy import Decision, decide
from sbert_prune.registry.versions import STAGE_ALIASES, existing_versions, find_version
from sbert_prune.tracking.runs import open_run

if TYPE_CHECKING:
    from sbert_prune.registry.policy import Policy
    from sbert_prune.registry.promotion import PromotionResult
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from sbert_prune.tracking.store import Store

_LONGEST_REASON = 4_000
"""Characters, so that a reason fits into the history with its numbers."""


@dataclass(frozen=True)
class Requested:
    """What a user asks for. number: of the version; None for the smallest that qualifies.  force: against all refusals."""

    name: str
    number: str | None
    stage: str
    reason: str | None
    force: bool


def promote(asked: Requested, policy: Policy) -> list[str]:
    """Promote a version, or the smallest that qualifies; returns lines for people. Raises RefusedError with the reasons."""
    name, stage = asked.name, asked.stage
    with open_store() as store:
        found = existing_versions(store, name)
        chosen = find_version(found, name, asked.number) if asked.number is not None else None
        promotion.catch_up(store, name)
        decision = decide(store, found, chosen, policy)
        _check_stage(store, decision, stage)
        with open_run(
            store, f"promote {name} to {stage}", {"step": "promote", "registered_model": name, "stage": stage}
        ) as run:
            passes = decision.chosen is not None and (asked.force or not decision.refusals)
            _log(run, decision, policy, "promoted" if passes else "refused")
            if decision.chosen is not None and passes:
                why = _reason(decision, asked.reason)
                moved = promotion.promote(store, decision.chosen, stage, why, decision.numbers)
                describe_all(store, name)
                return _lines(decision.chosen, stage, why, moved)
            _record_refusal(store, name, stage, decision)
        raise RefusedError(_refusal(name, decision, stage))


def roll_back(name: str, reason: str) -> list[str]:
    """Give Production back to the version that held it before; returns lines for people."""
    with open_store() as store:
        existing_versions(store, name, newest=1)
        with open_run(store, f"rollback {name}", {"step": "rollback", "registered_model": name}) as run:
            target, moved = promotion.roll_back(store, name, reason)
            run.set_tags(
                {
                    "outcome": "rolled back",
                    "version": target.version,
                    "before": moved.before or "none",
                    "reason": reason[:4000],
                }
            )
            describe_all(store, name)
        return _lines(target, PRODUCTION, reason, moved)


def _check_stage(store: Store, decision: Decision, stage: str) -> None:
    """Staging would take the champion out of production and leave nobody there."""
    if stage == STAGING and decision.chosen is not None:
        now = promotion.holder(store, decision.chosen.name, PRODUCTION)
        if now is not None and now.version == decision.chosen.version:
            raise TrackingError(
                f"{now.uri} is in Production, and is not taken out of it for Staging. Promote another version to Production first, "
                "or go back: mlflow run . -e rollback"
            )


def _log(run: Run, decision: Decision, policy: Policy, outcome: str) -> None:
    limits = {"margin": policy.margin, "max_size_mb": policy.max_size_mb, "max_latency_ms": policy.max_latency_ms}
    limits["min_retention"] = policy.min_retention
    run.log_params({key: f"{value:g}" for key, value in limits.items() if value is not None})
    told = {"version": decision.chosen.version, "model": decision.chosen.uri} if decision.chosen else {}
    run.set_tags({"outcome": outcome, "reason": decision.reason[:4000], **told})
    run.log_metrics(decision.numbers)
    if decision.refusals:
        run.log_text("\n".join(decision.refusals) + "\n", "refusals.txt")


def _record_refusal(store: Store, name: str, stage: str, decision: Decision) -> None:
    now = promotion.holder(store, name, stage)
    reasons = "; ".join(decision.refusals) or decision.reason
    about = decision.chosen.version if decision.chosen else None
    append(store, name, Event(REFUSED, stage, about, now.version if now else None, reasons, decision.numbers))


def _refusal(name: str, decision: Decision, stage: str) -> str:
    about = f"{decision.chosen.uri} is not" if decision.chosen else f"{name}: {decision.reason}, so nothing is"
    reasons = "".join(f"  - {reason}\n" for reason in decision.refusals)
    advice = "Make a better one, allow more (margin and the limits), or promote one against all this: force=true with version and reason."
    return f"{about} promoted to {stage}.\n{reasons}{advice}"


def _reason(decision: Decision, given: str | None) -> str:
    """What the user says makes room for what it went against."""
    against = f"; forced against: {'; '.join(decision.refusals)}" if decision.refusals else ""
    ours = f"{decision.reason}{against}"
    return f"{shortened(given, _LONGEST_REASON - len(ours))}; {ours}" if given else ours


def _lines(version: Version, stage: str, why: str, moved: PromotionResult) -> list[str]:
    alias = STAGE_ALIASES[stage]
    before = moved.before
    if before == version.version:
        instead = "it held this stage already"
    else:
        instead = f"instead of version {before}" if before else "nothing held this stage before"
    lines = [f"{version.uri} is {stage} now, alias {alias}: {why}", instead]
    if not moved.has_stages:
        lines.append(f"this server has no stages any more: the alias {alias} and the tag sbert_prune.stage carry on")
    moves = before not in (None, version.version) and stage == PRODUCTION
    back = [f"back    mlflow run . -e rollback -P registered_model={version.name}"] if moves else []
    return [*lines, f'load    mlflow.sentence_transformers.load_model("models:/{version.name}@{alias}")', *back]
