"""A setting counts in the key of a step unless it is listed as irrelevant: a forgotten one costs a training."""

import pytest
import torch

from pipelines.inputs.base import PruneInputs
from pipelines.steps.keys import phase_key, prune_key
from sbert_prune.models.sources import locate_base
from sbert_prune.recipe.fields import SETTINGS
from sbert_prune.recipe.files import load_recipe
from sbert_prune.training.device import Hardware

CPU = Hardware(torch.device("cpu"), bfloat16=False)
OTHER = {
    "strategy": "drop-bottom",
    "vocabulary": "9000",
    "pooling": "cls",
    "max_seq_length": "32",
    "seed": "7",
    "nli.epochs": "3",
    "nli.loss": "softmax",
    "nli.max_rows": "100",
    "nli.matryoshka_dims": "64,32",
    "sts.learning_rate": "0.001",
    "sts.distillation": "0.5",
    "distil.layer_weight": "2",
}
"""Another value for some settings of each kind."""


@pytest.fixture(scope="module")
def keys():
    """A function that returns the keys of the prune step and of each phase for a recipe with another value."""
    source = locate_base("quickstart")

    def of(**changes):
        recipe = load_recipe("quickstart", changes)
        inputs = PruneInputs(source, ("6",), recipe.strategy)
        phases = {
            phase: phase_key(recipe, CPU, phase, source, data={"rows": "digest"}, taught_by="")
            for phase in ("nli", "sts", "distil")
        }
        return {"prune": prune_key(recipe, source, "6", inputs, trims=False), **phases}

    return of


@pytest.mark.parametrize("path", OTHER)
def test_a_setting_changes_the_keys_of_the_steps_that_it_is_relevant_to_alone(keys, path):
    before, after = keys(), keys(**{path: OTHER[path]})

    phase, _, _ = path.rpartition(".")
    relevant = {phase} if phase else {"prune"}
    if path in {"seed", "max_seq_length"}:
        relevant = {"prune", "nli", "sts", "distil"}
    assert {step for step in before if before[step] != after[step]} == relevant


@pytest.mark.parametrize("phase", ["nli", "sts", "distil"])
def test_every_setting_of_a_phase_but_its_data_and_teacher_is_in_its_settings(phase):
    counted = load_recipe("quickstart").model_settings()

    of_phase = {path for path in SETTINGS if path.startswith(f"{phase}.")}
    assert of_phase - counted.keys() == {f"{phase}.data", f"{phase}.teacher"} & of_phase
