"""A message names a command in the spelling in which the running command was started."""

import shlex
import sys

import pytest

from sbert_prune.system.command_line import command_line

STARTED_BY = {
    "/somewhere/bin/sbert-prune": "sbert-prune train_sts --model models:/a/1 --sts-data FOLDER",
    r"sbert-prune.exe": "sbert-prune train_sts --model models:/a/1 --sts-data FOLDER",
    "/checkout/pipelines/__main__.py": "mlflow run . -e train_sts -P model=models:/a/1 -P sts_data=FOLDER",
}


@pytest.mark.parametrize(("program", "expected"), STARTED_BY.items())
def test_a_command_is_spelled_as_the_running_one_was_started(monkeypatch, program, expected):
    monkeypatch.setattr(sys, "argv", [program, "full"])

    assert command_line("train_sts", model="models:/a/1", sts_data="FOLDER") == expected


@pytest.mark.parametrize(("prefix", "ending"), [(".venv", " --env-manager local"), ("envs/mlflow-1f2e", "")])
def test_under_mlflow_run_the_environment_is_the_one_that_was_chosen(monkeypatch, prefix, ending):
    monkeypatch.setattr(sys, "argv", ["/checkout/pipelines/__main__.py", "full"])
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr("sbert_prune.system.command_line._IS_LAUNCHED", True)

    assert command_line("promote", version=2) == f"mlflow run . -e promote -P version=2{ending}"


@pytest.mark.parametrize("program", STARTED_BY)
@pytest.mark.parametrize("value", ["two words", "it's $HOME", "मराठी वाक्ये.txt", "@champion", "a=b", ""])
def test_a_shell_reads_every_value_back(monkeypatch, program, value):
    monkeypatch.setattr(sys, "argv", [program])

    words = shlex.split(command_line("full", nli_data=value))

    assert words[-1] in {value, f"nli_data={value}"}
