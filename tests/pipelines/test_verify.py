"""`verify` finds manual changes to a store, and repairs what can be repaired."""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from pipelines.__main__ import main
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.registry.version import RECORD
from tests.stores import change_tags, tags_of

NAME = "sbert-small"


@pytest.fixture(scope="module")
def made(make_variant, tmp_path_factory: pytest.TempPathFactory):
    """A store with a reference and a variant; the variant is the champion, the reference was before it."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_variant(tmp_path_factory.mktemp("made"))
        project.use(patch)
        for version in ("1", "2"):
            done = CliRunner().invoke(
                main,
                ["promote", "--registered-model", NAME, "--version", version, "--force", "true", "--reason", "test"],
            )
            assert done.exit_code == 0, done.output
        yield project


class Store:
    """A copy of that store, to be damaged."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")

    def version(self, number: str):
        return self.client.get_model_version(NAME, number)

    def files(self, number: str) -> Path:
        """Return the folder of its files."""
        model_id = tags_of(self.client, NAME, number)["sbert_prune.model_id"]
        return self.folder / "mlruns" / "0" / "models" / model_id / "artifacts"

    def model(self, number: str) -> Path:
        return self.files(number) / "model.sentence_transformer"

    def verify(self, *more: str) -> Result:
        return CliRunner().invoke(main, ["verify", *more])


@pytest.fixture
def store(made, monkeypatch: pytest.MonkeyPatch):
    """The store as it was made, at the same place, because it names its artifacts by absolute paths."""
    backup = made.folder.parent / "backup"
    if not backup.exists():
        shutil.copytree(made.folder, backup)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    monkeypatch.chdir(made.folder)
    yield Store(made.folder)
    shutil.rmtree(made.folder / "mlruns")
    shutil.copytree(backup / "mlruns", made.folder / "mlruns")
    with (
        closing(sqlite3.connect(backup / "mlflow.db")) as whole,
        closing(sqlite3.connect(made.folder / "mlflow.db")) as damaged,
    ):
        whole.backup(damaged)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def tag(store: Store, key: str, value: str | None) -> None:
    change_tags(store.client, NAME, "2", {key: value})


def lose_run_and_a_tag(store: Store) -> None:
    store.client.delete_run(store.version("2").run_id)
    tag(store, "sbert_prune.base_sha256", None)


def lose_runs_and_change_the_size(store: Store) -> None:
    tags = tags_of(store.client, NAME, "2")
    for run_id in (store.version("2").run_id, tags["sbert_prune.evaluate_run_id"]):
        store.client.delete_run(run_id)
    tag(store, "size/disk_mb", "1")


DAMAGES = {
    "a flipped byte": (
        lambda store: flip_a_byte(store.model("2") / "model.safetensors"),
        "version 2.*its files have changed",
    ),
    "a truncated file": (
        lambda store: (store.model("2") / "model.safetensors").write_bytes(b"x" * 99),
        "version 2.*does not load",
    ),
    "no folder": (lambda store: shutil.rmtree(store.files("2")), "version 2.*does not load"),
    "another depth": (
        lambda store: edit(store.model("2") / "config.json", num_hidden_layers=3),
        "version 2.*does not load",
    ),
    "another tokenizer": (
        lambda store: edit(store.model("2") / "tokenizer.json", truncation=1),
        "version 2.*its files have changed",
    ),
    "no pruning.json": (
        lambda store: (store.model("2") / "pruning.json").unlink(),
        "version 2.*pruning.json is missing",
    ),
    "another pruning.json": (
        lambda store: edit(store.model("2") / "pruning.json", kept_layers=[1, 2]),
        "version 2.*its tag kept_layers is 0,1, its pruning.json has 1,2",
    ),
    "a metric": (
        lambda store: tag(store, "sts_test/spearman_cosine", "0.99"),
        "version 2.*sts_test/spearman_cosine is 0.99, its run has",
    ),
    "lineage": (
        lambda store: tag(store, "sbert_prune.kept_layers", "0-2"),
        "version 2.*kept_layers is 0-2, its pruning.json has 0,1",
    ),
    "a run and a tag": (lose_run_and_a_tag, "version 2.*its tags lack base_sha256, and its run was deleted"),
    "a logged model": (
        lambda store: store.client.delete_logged_model(tags_of(store.client, NAME, "2")["sbert_prune.model_id"]),
        "version 2.*its logged model .* is gone",
    ),
    "dev pairs": (
        lambda store: (store.files("2") / FILE_NAME).write_text("{}"),
        "version 2.*its dev_pairs.json is damaged",
    ),
    "other dev pairs": (
        lambda store: edit(store.files("2") / FILE_NAME, digest="ab" * 8),
        "version 2.*dev_pairs.json is about pairs abababababababab",
    ),
    "changed dev pairs": (
        lambda store: edit(store.files("2") / FILE_NAME, gold=[number / 60 for number in range(60)]),
        "version 2.*dev_pairs.json is not what was registered",
    ),
    "an empty MLmodel": (
        lambda store: (store.files("2") / "MLmodel").write_text(""),
        "version 2.*its files are not those that were registered",
    ),
    "another learning rate": (
        lambda store: (store.model("2") / "pruning.json").write_text(
            (store.model("2") / "pruning.json").read_text().replace("0.0003", "0.03")
        ),
        "version 2.*its files are not those that were registered",
    ),
    "a file more": (
        lambda store: (store.model("2") / "modeling.py").write_text("import os"),
        "version 2.*its files are not those that were registered",
    ),
    "a fingerprint": (
        lambda store: tag(store, "sbert_prune.fingerprint", "ab" * 32),
        "version 2.*its tag fingerprint is abababababab",
    ),
    "a role": (
        lambda store: tag(store, "sbert_prune.role", "reference"),
        "version 2.*its tags were changed by other means",
    ),
    "a size, when its runs are gone": (
        lose_runs_and_change_the_size,
        "version 2.*its tags were changed by other means",
    ),
    "a record": (
        lambda store: store.client.set_model_version_tag(NAME, "2", RECORD, "{"),
        "version 2.*its tag sbert_prune.record cannot be read",
    ),
    "another's judgement": (
        lambda store: tag(
            store,
            "sbert_prune.evaluate_run_id",
            tags_of(store.client, NAME, "1")["sbert_prune.evaluate_run_id"],
        ),
        "version 2.*evaluate_run_id names run .*, which evaluated another model",
    ),
    "the reference": (
        lambda store: store.client.delete_model_version(NAME, "1"),
        "version 2.*its reference was deleted",
    ),
    "the champion": (lambda store: store.client.delete_model_version(NAME, "2"), "champion.*version 2.* was deleted"),
    "an alias": (
        lambda store: store.client.set_registered_model_alias(NAME, "champion", "1"),
        "alias champion.*names version 1, but the history has 2",
    ),
    "no alias": (
        lambda store: store.client.delete_registered_model_alias(NAME, "champion"),
        "alias champion.*names version none, but the history has 2",
    ),
    "a stage": (
        lambda store: store.client.transition_model_version_stage(NAME, "2", "None"),
        "version 2.*is in stage none, but the history has Production",
    ),
}

REPAIRED = {
    "a metric",
    "lineage",
    "dev pairs",
    "other dev pairs",
    "changed dev pairs",
    "a fingerprint",
    "the champion",
    "an alias",
    "no alias",
    "a stage",
}


def words(result: Result) -> str:
    """Return the table as running text, because its cells are broken into lines."""
    return re.sub(r"\s+", " ", result.output)


def test_an_undamaged_store_has_no_findings(store: Store):
    result = store.verify()

    assert result.exit_code == 0, result.output
    assert "every version matches its record" in result.output
    assert f"{NAME}: 2 versions checked" in result.output


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found_and_repaired_if_possible(store: Store, damage):
    do, expected = DAMAGES[damage]
    do(store)

    first = store.verify("--registered-model", NAME, "--repair", "true" if damage not in REPAIRED else "false")

    assert first.exit_code == 5, first.output
    assert "Traceback" not in first.output
    parts = expected.split(".*")
    assert all(re.search(part.replace(" ", r"\s+"), words(first)) for part in parts), first.output
    if damage in REPAIRED:
        assert store.verify("--repair", "true").exit_code == store.verify().exit_code == 0


def test_repaired_tags_equal_the_original_ones(store: Store):
    before = dict(store.version("2").tags)
    for damage in ("a metric", "lineage", "an alias", "a stage"):
        DAMAGES[damage][0](store)

    assert store.verify("--repair", "true").exit_code == 0

    assert dict(store.version("2").tags) == before
    assert store.client.get_registered_model(NAME).aliases == {"champion": 2, "previous": 1}


def test_a_version_whose_run_was_deleted_has_its_own_lineage(store: Store):
    store.client.delete_run(store.version("2").run_id)

    assert store.verify().exit_code == 0


def test_a_deleted_champion_is_replaced_by_the_one_before(store: Store):
    DAMAGES["the champion"][0](store)

    store.verify("--repair", "true")

    assert store.client.get_registered_model(NAME).aliases == {"champion": 1}


def test_a_lost_tag_whose_value_the_registry_has_is_no_damage(store: Store):
    tag(store, "sbert_prune.model_id", None)
    (store.files("1") / FILE_NAME).unlink()

    result = store.verify("--repair", "true")

    assert result.exit_code == 0, result.output
    assert "1 found, 1 repaired" in result.output


def test_an_irreparable_damage_does_not_prevent_other_repairs(store: Store):
    (store.files("2") / FILE_NAME).unlink()
    (store.files("2") / FILE_NAME).mkdir()
    tag(store, "size/disk_mb", "1")

    result = store.verify("--repair", "true")

    assert result.exit_code == 5, result.output
    assert "2 found, 1 repaired" in result.output


def test_versions_not_made_by_sbert_prune_are_left_alone(store: Store):
    source = store.version("2").source
    store.client.create_model_version(NAME, source, tags={"owner/score": "0.5"})
    store.client.set_model_version_tag(NAME, "2", "owner/score", "0.7")

    result = store.verify()

    assert result.exit_code == 0, result.output
    assert "1 of its versions were not made by sbert-prune, and are left alone" in result.output


def test_a_name_that_is_not_there_is_a_mistake(store: Store):
    result = store.verify("--registered-model", "nothing")

    assert result.exit_code == 2
    assert "there is no such registered model" in result.output
