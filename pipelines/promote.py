"""`promote`: move a stage and its alias to a version."""

from difflib import get_close_matches

import click

from pipelines.console import Command, say
from pipelines.parameters import DEFAULT_RECIPE, RECIPE_PARAMETERS, Parameter, option
from sbert_prune.errors import RecipeError
from sbert_prune.recipe_files import load_recipe
from sbert_prune.store_uri import check_store

DEFAULT_STAGE = "Production"
STAGES = ("Production", "Staging")
VERSION = Parameter(None, "The version to promote; left out, the pruned variant with the best dev score.")
STAGE = Parameter(None, f"Production (alias champion) or Staging (alias challenger); {DEFAULT_STAGE} when left out.")


@click.command("promote", cls=Command)
@option("registered_model", RECIPE_PARAMETERS["registered_model"])
@option("version", VERSION)
@option("stage", STAGE)
def command(registered_model: str | None, version: str | None, stage: str | None) -> None:
    """Move a stage and its alias to a version; the one before becomes `previous` and Archived."""
    wanted = parse_stage(stage or DEFAULT_STAGE)
    if version is not None and not (version.isdecimal() and int(version) > 0):
        raise RecipeError(f"version={version} is not the number of a version. Give a number such as 3, or leave it out for the best.")
    name = registered_model or load_recipe(DEFAULT_RECIPE).registered_model

    check_store(must_exist=True)

    from sbert_prune.metric_names import STS_DEV
    from sbert_prune.registry import STAGE_ALIASES, choose_version, promote
    from sbert_prune.tracking import connect

    store = connect()
    chosen = choose_version(store, name, version)
    score = chosen.metrics.get(STS_DEV)
    scored = f"dev score {score:.4f}" if score is not None else "no dev score"
    reason = f"version {version} was asked for; {scored}" if version else f"best dev score of the pruned variants; {scored}"
    before = promote(store, chosen, wanted, reason)
    say(
        f"{chosen.uri} is {wanted} now, alias {STAGE_ALIASES[wanted]}: {reason}",
        f"instead of version {before.version}" if before else "nothing held this stage before",
        f'load    mlflow.sentence_transformers.load_model("models:/{name}@{STAGE_ALIASES[wanted]}")',
    )


def parse_stage(text: str) -> str:
    """A stage in MLflow's spelling, whatever the case. Raises RecipeError with the nearest one."""
    for stage in STAGES:
        if text.lower() == stage.lower():
            return stage
    near = get_close_matches(text.capitalize(), STAGES, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise RecipeError(f"stage={text}: there is no such stage to promote to.{hint} The stages are {' and '.join(STAGES)}.")
