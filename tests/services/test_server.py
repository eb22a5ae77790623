"""`full` against a tracking server that also serves the artifacts, as a team has it."""

import mlflow
import pytest
from mlflow import MlflowClient

from docs.take_screenshots import serve
from pipelines.flows.full import run_full
from sbert_prune.tracking.logged_models import fetch_model

pytestmark = pytest.mark.service


def test_full_works_against_a_server_and_leaves_no_file_of_a_store_behind(
    tmp_path, monkeypatch: pytest.MonkeyPatch, make_project
):
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    before = {path.name for path in project.folder.iterdir()}
    with serve(f"sqlite:///{tmp_path / 'server.db'}") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

        run_full(project.recipe(layers="1"))
        run_full(project.recipe(layers="1"))

        client = MlflowClient(address)
        numbers = sorted(str(version.version) for version in client.search_model_versions("name='sbert-small'"))
        version = client.get_model_version("sbert-small", "2")
        model = mlflow.pyfunc.load_model("models:/sbert-small/2")
        folder = fetch_model("models:/sbert-small/2")
        again, parent = client.search_runs(
            ["0"], "tags.sbert_prune.step = 'full' and attributes.run_name LIKE 'full %'"
        )
        pictures = [item.path for item in client.list_artifacts(parent.info.run_id) if item.path.endswith(".png")]

    assert numbers == ["1", "2"]
    assert again.data.tags["sbert_prune.reused_from"] == version.run_id
    assert version.tags["sbert_prune.kept_layers"] == "0"
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:")
    assert model.predict(["A dog runs."]).shape == (1, 32)
    assert (folder / "pruning.json").is_file()
    assert pictures == ["layers.png", "speed.png", "variants.png"]
    assert {path.name for path in project.folder.iterdir()} == before
