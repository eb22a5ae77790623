"""README's commands, in the order of the page, against one store: on a base and data that train in a moment."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tuning.__main__ import main

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMAND = re.compile(r"^(?:sbert-prune|mlflow run \. --experiment-name \w+ -e) (\w.*(?:\\\n.*)*)$", re.MULTILINE)
PLACES = {"org/encoder": "base", "NLI.tsv": "nli.tsv", "STSB": "sts", "TEXT": "texts.txt", "NAME": "own"}
"""Placeholders, and what stands for them here."""
SMALLER = {
    "12,8,6,4,3,2,1": "2",
    "12,6,3,1": "3,1",
    "--layers 6": "--layers 2",
    "--layers 3": "--layers 2",
    "--trials 20": "--trials 3",
}
"""Numbers of the page, and those that fit a base of three layers."""
DATA = "--base-model base --nli-data nli.tsv --sts-data sts"
SMALL = f"{DATA} --sts-epochs 1 --distil-epochs 1 --robustness 20 --max-seq-length 32"
ADDED = {
    "doctor": "--layers 2",  # what a command prunes to when nothing is given is more than this base has
    "full": f"{SMALL} --layers 2",
    "sweep": SMALL,
    "search": f"{SMALL} --space layers --finalists 1 --controls 0 --screening untrained",
    "promote": "--margin 1",  # what trains in a moment is worth too little for the policy
}
"""What a command gets beside what the page gives it; what the page gives counts."""


def commands() -> list[list[str]]:
    """The commands of the page, as the arguments of `sbert-prune`, without those that only explain the spelling."""
    lines = [line.replace("\\\n", " ") for line in COMMAND.findall(README)]
    given = [re.sub(r"-P (\w+)=", lambda match: f"--{match[1].replace('_', '-')} ", line) for line in lines]
    return [shlex.split(line.replace("--env-manager local", "")) for line in given]


def adapted(arguments: list[str]) -> list[str]:
    name, *rest = [PLACES.get(word, word) for word in arguments]
    line = shlex.join(rest)
    for shown, small in SMALLER.items():
        line = line.replace(shown, small)
    return [name, *shlex.split(ADDED.get(name, "")), *shlex.split(line)]


@pytest.mark.slow
def test_the_commands_run_in_the_order_in_which_they_stand(project):
    (project.folder / "texts.txt").write_text("".join(f"{line}\n" for line in project.nli.read_text().split("\t")))
    outputs: dict[str, list[str]] = {}

    for arguments in commands():
        result = CliRunner().invoke(main, adapted(arguments))
        assert result.exit_code == 0, f"{adapted(arguments)}\n{result.output}\n{result.exception!r}"
        outputs.setdefault(arguments[0], []).append(result.output)

    assert {name: len(lines) for name, lines in outputs.items()} == {
        "sweep": 2,
        "full": 4,
        "doctor": 1,
        "promote": 2,
        "search": 1,
        "rollback": 1,
        "history": 1,
        "verify": 1,
        "cleanup": 1,
    }
    assert "models:/sbert-quickstart/2 is Production now" in outputs["promote"][0]
    assert "models:/sbert-quickstart/2 is Production now" in outputs["rollback"][0]
    assert "rolled back  Production to version 2" in outputs["history"][0]
    assert "every version matches its record" in outputs["verify"][0]
