"""What commands say of encoders: one that Transformers would compute otherwise than its author is refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.inputs.base import describe_pruning, find_base
from sbert_prune.recipe.files import load_recipe
from tests.in_process import call

COMMANDS = [
    ("full", "--base-model"),
    ("full", "--plan", "true", "--base-model"),
    ("full", "--phases", "distil,sts", "--distil-teacher"),
    ("sweep", "--base-model"),
    ("search", "--base-model"),
    ("search", "--plan", "true", "--base-model"),
    ("prune", "--base-model"),
    ("evaluate", "--model"),
    ("compare", "quickstart"),
]


@pytest.fixture
def relative(tiny_base):
    """A base with tables of relative positions in its layers, as older releases of Transformers computed them."""
    folder = tiny_base("bert", depth=3)
    path = folder / "model.safetensors"
    name = "encoder.layer.{}.attention.self.distance_embedding.weight"
    tables = {name.format(layer): torch.ones(127, 8) for layer in range(3)}
    save_file(load_file(path) | tables, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_refuses_tensors_that_the_class_has_no_place_for(tmp_path, relative, command):
    here = tmp_path / "here"
    here.mkdir()

    module = "tuning" if command[0] == "search" else "pipelines"
    done = call(here, *command, str(relative), module=module)

    assert "attention.self.distance_embedding.weight, " in done.output
    assert "has no place" in done.output
    assert done.exit_code == 2
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("precision", "ending"),
    [
        ("float32", "is saved in float32 (save_precision=float16 keeps half the bytes)"),
        ("float16", "is saved in float16"),
    ],
)
def test_a_base_in_half_precision_is_described_with_its_size_on_disk(precision, ending):
    recipe = load_recipe("quickstart", {"save_precision": precision})

    line = describe_pruning(find_base(recipe), recipe)

    assert line.endswith(f"; the base is in float16, 8.1 MB on disk, and what is made of it {ending}")
