"""`verify`: compare every registered version with its files, tags, runs and history."""

import click

from pipelines.commands.options import Parameter, flag, json_option, option
from pipelines.console import Command, echo
from sbert_prune.tracking.store_uri import check_store

NAME = Parameter(None, "The registered model; all that sbert-prune has made when left out.")
REPAIR = Parameter(None, "true repairs what can be restored from the other records.")
ADOPT = Parameter(
    None, "true first makes a SQLite store that was moved or copied name its artifacts where they are now."
)

EXIT_FINDINGS = 5  # not 1, with which Python ends on an uncaught exception


@click.command("verify", cls=Command)
@option("registered_model", NAME, unset="all")
@flag("repair", REPAIR)
@flag("adopt", ADOPT)
@json_option
def verify(registered_model: str | None, repair: bool, adopt: bool) -> None:
    """Load every version, and compare bytes, lineage, metrics, runs, stages and aliases; exit status 5 on a finding."""
    check_store(must_exist=True)
    if adopt:
        from sbert_prune.tracking.adoption import adopt as adopt_store

        echo(*adopt_store())

    from pipelines.console import silence_libraries
    from pipelines.lifecycle.verify import verify

    silence_libraries()
    lines, is_sound = verify(registered_model, repair=repair)
    echo(*lines)
    if not is_sound:
        click.get_current_context().exit(EXIT_FINDINGS)
