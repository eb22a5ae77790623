"""`cleanup`: list and delete what is no longer needed."""

import click

from pipelines.commands.options import Parameter, flag, number
from pipelines.console import Command, echo
from sbert_prune.tracking.store_uri import check_store

APPLY = Parameter(None, "true deletes what is listed; nothing is deleted when left out.")
OLDER = Parameter(
    None,
    "List only what has not changed for so many hours; 24 when left out, to protect running commands.",
)


@click.command("cleanup", cls=Command)
@flag("apply", APPLY)
@number("older_than_hours", OLDER, low=0)
def cleanup(apply: bool, older_than_hours: float | None) -> None:
    """List logged models that no version uses, and abandoned unfinished work; delete them with apply=true."""
    check_store(must_exist=True)

    from pipelines.lifecycle.cleanup import clean

    echo(*clean(24.0 if older_than_hours is None else older_than_hours, deletes=apply))
