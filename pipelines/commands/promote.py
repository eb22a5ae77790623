"""`promote`, `rollback` and `history`: move stages and aliases between versions."""

from difflib import get_close_matches

import click

from pipelines.commands.options import OF_DEFAULT_RECIPE, REASON, Parameter, flag, json_option, number, option
from pipelines.console import Command, echo
from sbert_prune.errors import RecipeError
from sbert_prune.system.text import one_line
from sbert_prune.tracking.store_uri import check_store

DEFAULT_STAGE = "Production"
STAGES = ("Production", "Staging")
VERSION = Parameter(None, "The version to promote; the smallest variant that qualifies when left out.")
STAGE = Parameter(None, "Production (alias champion) or Staging (alias challenger).", default=DEFAULT_STAGE)
MARGIN = Parameter(
    None, "How much lower than its reference's the dev Spearman of a variant may be, at 95 %.", default="0.01"
)
MAX_SIZE = Parameter(None, "Largest size on disk in megabytes.")
MAX_LATENCY = Parameter(None, "Largest latency of one sentence in milliseconds (speed/latency_p50_ms).")
MIN_RETENTION = Parameter(None, "Smallest share of the reference's test score that it must keep, such as 0.97.")
FORCED = Parameter(None, "true promotes a version although it does not qualify; needs version and reason.")


@click.command("promote", cls=Command)
@option("registered_model", OF_DEFAULT_RECIPE)
@option("version", VERSION, unset="best")
@option("stage", STAGE)
@number("margin", MARGIN, low=0, high=2)
@number("max_size_mb", MAX_SIZE, low=0)
@number("max_latency_ms", MAX_LATENCY, low=0)
@number("min_retention", MIN_RETENTION, low=0, high=2)
@flag("force", FORCED)
@option("reason", REASON)
def promote(
    registered_model: str | None,
    version: str | None,
    stage: str | None,
    force: bool,
    reason: str | None,
    **limits: float | None,
) -> None:
    """Move a stage and its alias to a version that qualifies; the version before becomes `previous` and Archived."""
    target = parse_stage(stage or DEFAULT_STAGE)
    if version is not None and not (version.isdecimal() and int(version) > 0):
        raise RecipeError(
            f"version={version} is not the number of a version. Give a number such as 3, or leave it out for the best."
        )
    text = one_line(reason or "")
    if force and (version is None or not text):
        raise RecipeError(
            "force=true promotes a version although it does not qualify: give its number as version, and a reason."
        )
    name = registered_model or OF_DEFAULT_RECIPE.default
    check_store(must_exist=True)

    from pipelines.lifecycle.promote import Requested, promote
    from sbert_prune.registry.policy import Policy

    policy = Policy(**{key: value for key, value in limits.items() if value is not None})
    echo(*promote(Requested(name, version, target, text or None, force), policy))


def parse_stage(text: str) -> str:
    """Return a stage in MLflow's spelling, ignoring case. Raises RecipeError, with the nearest stage."""
    for stage in STAGES:
        if text.lower() == stage.lower():
            return stage
    near = get_close_matches(text.capitalize(), STAGES, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise RecipeError(
        f"stage={text}: there is no such stage to promote to.{hint} The stages are {' and '.join(STAGES)}."
    )


@click.command("history", cls=Command)
@option("registered_model", OF_DEFAULT_RECIPE)
@json_option
def history(registered_model: str | None) -> None:
    """Print every promotion, refusal and rollback: who, when, why, on which metrics, and which version was replaced."""
    name = registered_model or OF_DEFAULT_RECIPE.default
    check_store(must_exist=True)

    from pipelines.lifecycle.history import format_history

    echo(*format_history(name))


@click.command("rollback", cls=Command)
@option("registered_model", OF_DEFAULT_RECIPE)
@option("reason", REASON)
def rollback(registered_model: str | None, reason: str | None) -> None:
    """Move Production and the alias champion back to the version that had them before."""
    name = registered_model or OF_DEFAULT_RECIPE.default
    check_store(must_exist=True)

    from pipelines.lifecycle.promote import roll_back

    echo(*roll_back(name, one_line(reason or "") or "no reason was given"))
