"""The quickstart as a stranger runs it, and what fine-tuning and the base's weights are worth in it."""

from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModel

from sbert_prune.data.sources import load_nli, load_sts
from sbert_prune.evaluation.sts import evaluate_sts
from sbert_prune.models.sentence import encoder_of, load_saved, with_encoder, with_pooling
from sbert_prune.models.sources import locate_base
from sbert_prune.pruning import prune_layers
from sbert_prune.recipe.files import load_recipe
from sbert_prune.strategies import choose_layers
from sbert_prune.training.device import choose_hardware
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from tests.quickstart_store import NAME, SIX, Quickstart

pytestmark = pytest.mark.slow

RECIPE = load_recipe("quickstart", {"sts.distillation": "0"})
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def test_score(quickstart: Quickstart) -> float:
    return float(quickstart.client.get_model_version(NAME, "2").tags["sts_test/spearman_cosine"])


def test_mlflow_run_makes_a_registered_variant_of_six_layers(quickstart: Quickstart):
    version = quickstart.client.get_model_version(NAME, "2")

    assert f"models:/{NAME}/2" in quickstart.output
    assert version.tags["sbert_prune.num_layers"] == "6"
    assert 0.95 < float(version.tags["quality/retention"]) < 1.1


def test_mlflows_own_run_is_the_parent_and_ends_finished(quickstart: Quickstart):
    runs = quickstart.client.search_runs([quickstart.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags and run.info.run_name == SIX]

    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.params["layers"] == "6"
    assert parent.data.params["recipe.layers"] == "6"
    assert parent.data.params["strategy"] == "as-recipe"


def test_the_page_of_the_run_is_short_and_shows_no_empty_parameter(quickstart: Quickstart):
    parameters = [run.data.params for run in quickstart.client.search_runs([quickstart.experiment_id])]
    (launched,) = [given for given in parameters if "registered_model" in given]

    assert len([name for name in launched if not name.startswith("recipe.")]) < 20
    assert all(value.strip("'") for given in parameters for value in given.values())


def test_the_second_variant_shares_the_reference(quickstart: Quickstart):
    versions = quickstart.client.search_model_versions(f"name='{NAME}'")

    layers = {str(version.version): version.tags["sbert_prune.num_layers"] for version in versions}
    assert layers == {"1": "12", "2": "6", "3": "3"}


README = (ROOT / "README.md").read_text()


def test_the_readme_shows_what_the_command_ends_with(quickstart: Quickstart):
    (shown,) = (block for block in README.split("```") if block.lstrip().startswith("variant "))

    first_words = [
        [line.split()[0] for line in text.splitlines() if line.strip()] for text in (shown, quickstart.output)
    ]

    assert first_words[1][-len(first_words[0]) :] == first_words[0]


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
    setup = TrainerSetup(choose_hardware("cpu", RECIPE.precision), RECIPE.seed, lambda _: None)
    sts = load_sts("quickstart")
    trainer = PhaseTrainer(model, setup, dev=sts.dev.rows)
    trainer.train("nli", load_nli("quickstart").rows, RECIPE.nli)
    trainer.train("sts", sts.train.rows, RECIPE.sts)

    from_scratch = score_on_test(model)

    assert test_score > from_scratch + 0.05
