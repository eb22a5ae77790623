"""Every command refuses a model that Transformers would compute otherwise than its author, and writes nothing."""

import pytest
import torch
from safetensors.torch import load_file, save_file

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
