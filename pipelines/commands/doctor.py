"""`doctor`: check machine, store, base and data for a recipe, and print the commands that fix problems."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pipelines.commands.options import recipe_options
from pipelines.console import Command
from sbert_prune.recipe.recipe import Recipe


@click.command("doctor", cls=Command)
@recipe_options(
    "base_model",
    "layers",
    "convert_pickle",
    "nli_data",
    "sts_data",
    "distil_data",
    "distil_teacher",
    "vocabulary_corpus",
)
def doctor(recipe: Recipe) -> None:
    """Check Python, packages, hardware, disks, store, base and data; train, record and download nothing."""
    from pipelines.doctor.checks import checks_for
    from pipelines.doctor.findings import print_findings, run_checks

    with _without_retry_messages():
        findings = run_checks(checks_for(recipe))
    print_findings(findings)
    if any(finding.state == "fail" for finding in findings):
        click.get_current_context().exit(2)


@contextmanager
def _without_retry_messages() -> Iterator[None]:
    """Silence the messages about repeated requests to a hub: a retry is not a finding."""
    logger = logging.getLogger("sbert_prune.hub.retry")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
