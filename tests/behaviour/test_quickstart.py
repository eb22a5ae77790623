"""The quickstart as a stranger runs it, and what fine-tuning and the base's weights are worth in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from transformers import AutoConfig, AutoModel

from sbert_prune.bases import locate_base
from sbert_prune.data.sources import load_nli, load_sts
from sbert_prune.evaluation.sts import evaluate_sts
from sbert_prune.pruning import prune_layers
from sbert_prune.recipe_files import load_recipe
from sbert_prune.sentence import encoder_of, load_saved, with_encoder, with_pooling
from sbert_prune.strategies import choose_layers
from sbert_prune.training.hardware import choose_hardware
from sbert_prune.training.lesson import Setup
from sbert_prune.training.phases import Healer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPE = load_recipe("quickstart")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory):
    """`mlflow run . -e full -P layers=6`, from a folder that is not the project's."""
    folder = tmp_path_factory.mktemp("launched")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    bin_folder = str(Path(sys.executable).parent)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "OMP_"))}
    done = subprocess.run(
        [f"{bin_folder}/mlflow", "run", str(ROOT), "-e", "full", "-P", "layers=6", "--env-manager", "local"],
        cwd=folder,
        env=clean | {"MLFLOW_TRACKING_URI": uri, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, MlflowClient(uri)


@pytest.fixture(scope="module")
def test_score(launched) -> float:
    _, client = launched
    return float(client.get_model_version("sbert-quickstart", "2").tags["sts_test/spearman_cosine"])


def test_mlflow_run_makes_a_registered_variant_of_six_layers(launched):
    output, client = launched

    version = client.get_model_version("sbert-quickstart", "2")

    assert "models:/sbert-quickstart/2" in output
    assert version.tags["sbert_prune.num_layers"] == "6"
    assert 0.85 < float(version.tags["quality/retention"]) < 1.1


def test_mlflows_own_run_is_the_parent_and_ends_finished(launched):
    _, client = launched

    runs = client.search_runs(["0"])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]

    assert parent.info.run_name == "full L6 drop-top s42"
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.params["layers"] == "6"
    assert parent.data.params["recipe.layers"] == "6"


def six_layers(*, pretrained: bool):
    base = locate_base("quickstart").checkpoint
    model = with_pooling(load_saved(base), RECIPE.pooling, max_seq_length=RECIPE.max_seq_length)
    pruned = prune_layers(encoder_of(model), choose_layers("6", strategy=RECIPE.strategy, depth=base.depth))
    if not pretrained:
        pruned = AutoModel.from_config(AutoConfig.for_model(**pruned.config.to_dict()))
    return with_encoder(model, pruned).eval()


def score_on_test(model) -> float:
    rows = load_sts("quickstart").test.rows
    return evaluate_sts(model, rows, "test").value


def test_fine_tuning_beats_none(test_score):
    untrained = score_on_test(six_layers(pretrained=True))

    assert test_score > untrained + 0.05


def test_the_bases_weights_beat_random_ones_after_the_same_fine_tuning(test_score):
    model = six_layers(pretrained=False)
    setup = Setup(choose_hardware("cpu", RECIPE.precision), RECIPE.seed, lambda _: None)
    sts = load_sts("quickstart")
    healer = Healer(model, setup, dev=sts.dev.rows)
    healer.train_nli(load_nli("quickstart").rows, RECIPE.nli)
    healer.train_sts(sts.train.rows, RECIPE.sts)

    from_scratch = score_on_test(model)

    assert test_score > from_scratch + 0.05
