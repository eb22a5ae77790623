"""`doctor`: whether machine, store, base and data are fit for a recipe, and the commands that mend what is not."""

import logging

import click

from pipelines.commands.options import recipe_options
from pipelines.console import Command
from sbert_prune.recipe.recipe import Recipe


@click.command("doctor", cls=Command)
@recipe_options("base_model", "convert_pickle", "nli_data", "sts_data", "distil_data", "distil_teacher", "vocabulary_corpus")
def doctor(recipe: Recipe) -> None:
    """Look at Python, packages, hardware, disks, store, base and data; nothing is trained, recorded or fetched."""
    from pipelines.doctor.checks import checks_for
    from pipelines.doctor.findings import print_findings, run_checks

    logging.getLogger("sbert_prune.hub.retry").setLevel(logging.ERROR)  # that it asks twice is no finding
    findings = run_checks(checks_for(recipe))
    print_findings(findings)
    if any(finding.state == "fail" for finding in findings):
        click.get_current_context().exit(2)
