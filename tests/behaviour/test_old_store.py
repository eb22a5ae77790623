"""This version adopts, verifies, compares, promotes, loads and continues a registry that an earlier version made."""

import json
import shutil
import tarfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from sbert_prune.registry import versions as registry
from sbert_prune.tracking.adoption import adopt
from sbert_prune.tracking.store import connect
from tests.stores import STORE, forget_locations, made_once
from tuning.__main__ import main as tuning

ARCHIVE = Path(__file__).parents[1] / "old_store" / "made_2026_12.tar.xz"
NAME = "old"


def unpack(folder: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")


class Old:
    """A copy of the old project, adopted, in which we are. expected: what it held when it was made."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.expected = json.loads((folder / "expected.json").read_text())
        self.client = MlflowClient(f"sqlite:///{folder / STORE}")

    def done(self, *arguments: str, command=main) -> str:
        """The output of a command that has to go well."""
        result = CliRunner().invoke(command, list(arguments))
        assert result.exit_code == 0, result.output
        return result.output

    def aliases(self) -> dict[str, str]:
        return {alias: str(number) for alias, number in self.client.get_registered_model(NAME).aliases.items()}


@pytest.fixture
def old(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Old:
    unpacked = made_once(tmp_path_factory, "old store", unpack) / "store"
    shutil.copytree(unpacked, tmp_path, dirs_exist_ok=True)
    recipe = tmp_path / "old.yaml"  # what `quickstart` meant then is called quickstart-paper today
    recipe.write_text(recipe.read_text().replace("extends: quickstart\n", "extends: quickstart-paper\n"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / STORE}")
    monkeypatch.chdir(tmp_path)
    assert "71 locations" in adopt()[0]
    forget_locations()
    return Old(tmp_path)


def test_every_version_is_listed_with_all_that_was_known_of_it(old: Old):
    found = {version.version: version for version in registry.versions(connect(), NAME)}

    assert found.keys() == old.expected["versions"].keys()
    for number, then in old.expected["versions"].items():
        version = found[number]
        known = {f"sbert_prune.{key}": value for key, value in version.tags.items()} | {
            key: str(value) for key, value in version.metrics.items()
        }
        assert (version.stage, version.run_id) == (then["stage"], then["run_id"])
        assert known.keys() >= then["tags"].keys()
        assert {key: known[key] for key in then["tags"] if key.startswith("sbert_prune.")} == {
            key: value for key, value in then["tags"].items() if key.startswith("sbert_prune.")
        }
        assert [float(known[key]) for key in then["tags"] if "/" in key] == [
            float(then["tags"][key]) for key in then["tags"] if "/" in key
        ]
    assert old.aliases() == old.expected["aliases"] == {"champion": "2", "challenger": "4"}


def test_it_is_found_sound(old: Old):
    assert "every version matches its record" in old.done("verify")


def test_its_history_is_told_in_full(old: Old):
    told = old.done("history", "--registered-model", NAME)

    for line in (
        "promoted     version 2 to Production, by root: the first",
        "refused      version 3 for Production, version 2 stays, by root: min_retention=2",
        "promoted     version 3 to Production instead of version 2, by root: smaller",
        "rolled back  Production to version 2 from version 3, by root: wrong answers",
        "promoted     version 4 to Staging, by root: its dev score over 2 seeds",
        "now: challenger is version 4, champion is version 2",
    ):
        assert line in told
    assert told.count("  registered   version ") == 6


def test_its_versions_load_with_the_embeddings_that_they_had(old: Old):
    mlflow.set_tracking_uri(f"sqlite:///{old.folder / STORE}")

    for number, embedding in old.expected["embeddings"].items():
        model = mlflow.sentence_transformers.load_model(f"models:/{NAME}/{number}")
        np.testing.assert_allclose(model.encode(old.expected["sentence"]), embedding, atol=1e-5)
    assert sorted(old.expected["embeddings"]) == ["1", "2", "3", "4"]


def test_its_versions_compare_by_the_scores_that_they_had(old: Old):
    given = ("--registered-model", NAME, "--sts-data", "sts", "--robustness", "0")

    told = old.done("compare", "1", "3", "@champion", *given)

    (score,) = (
        line.split()
        for line in told.splitlines()
        if line.split()[:1] == ["sts_test/spearman_cosine"] and "[" in line.split()[2]
    )
    then = [old.expected["versions"][number]["tags"]["sts_test/spearman_cosine"] for number in ("1", "3", "2")]
    assert [float(value) for value in score if value[0].isdigit() and "]" not in value] == pytest.approx(
        [float(value) for value in then], abs=2e-3
    )  # another machine rounds otherwise


def test_it_is_promoted_from_and_rolled_back(old: Old):
    old.done("promote", "--registered-model", NAME, "--version", "3", "--force", "true", "--reason", "again")
    promoted = old.aliases()
    old.done("rollback", "--registered-model", NAME, "--reason", "back")

    assert promoted == {"champion": "3", "previous": "2", "challenger": "4"}
    assert old.aliases() == {"champion": "2", "challenger": "4"}
    told = old.done("history", "--registered-model", NAME)
    assert "promoted     version 3 to Production instead of version 2" in told
    assert ": again" in told
    assert "every version matches its record" in old.done("verify")


def test_the_command_that_was_killed_is_finished(old: Old):
    told = old.done(*old.expected["killed"])

    assert (
        "closed as KILLED, because their process ended without closing them: train_nli, full L1 drop-bottom s42" in told
    )
    assert f"reference: version 1 of {NAME} is reused" in told
    version = old.client.get_model_version(NAME, "7")
    assert (version.tags["sbert_prune.kept_layers"], version.tags["sbert_prune.role"]) == ("2", "variant")
    assert float(version.tags["quality/retention"]) > 0
    old.done("cleanup", "--older-than-hours", "0", "--apply", "true")
    assert list((old.folder / ".sbert-prune" / "unfinished").glob("*")) == []
    assert not [run for run in old.client.search_runs(["0"]) if run.info.status == "RUNNING"]
    assert "every version matches its record" in old.done("verify")


def test_full_in_it_reuses_the_reference_and_leaves_the_versions_as_they_were(old: Old):
    """The reference is found by recipe and data, whichever code trained it. The variant is trained by the new code."""
    told = old.done("full", "--recipe", "old.yaml")

    assert f"reference: version 1 of {NAME} is reused" in told
    assert old.client.get_model_version(NAME, "2").tags == old.expected["versions"]["2"]["tags"]


@pytest.mark.slow
def test_its_search_goes_on(old: Old):
    given = (
        "--layers",
        "2",
        "--trials",
        "3",
        "--space",
        "layers",
        "--screening",
        "untrained",
        "--finalists",
        "1",
        "--keep-models",
        "1",
    )

    told = old.done("search", "--recipe", "old.yaml", *given, command=tuning)

    assert (
        f"study {next((old.folder / '.sbert-prune' / 'search').glob('*.journal')).stem} resumes after 2 trials" in told
    )
    assert len(list((old.folder / ".sbert-prune" / "search").glob("*.journal"))) == 1
    challenger = old.client.get_model_version_by_alias(NAME, "challenger")
    assert challenger.tags["sbert_prune.role"] == "variant"
    assert "every version matches its record" in old.done("verify")
