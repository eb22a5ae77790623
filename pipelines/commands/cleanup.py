"""`cleanup`: what nobody needs any more, and how many megabytes it takes."""

import click

from pipelines.commands.options import Parameter, flag, number
from pipelines.console import Command, echo
from sbert_prune.tracking.store_uri import check_store

APPLY = Parameter(None, "true deletes what is listed; left out, nothing is deleted.")
OLDER = Parameter(None, "Only what nobody has touched for so many hours; 24 when left out, so that a colleague's work under way stays.")


@click.command("cleanup", cls=Command)
@flag("apply", APPLY)
@number("older_than_hours", OLDER, low=0)
def cleanup(apply: bool, older_than_hours: float | None) -> None:
    """List models that steps have logged and no version holds, and unfinished work that nobody takes up; delete them with apply=true."""
    check_store(must_exist=True)

    from pipelines.lifecycle.cleanup import clean

    echo(*clean(24.0 if older_than_hours is None else older_than_hours, deletes=apply))
