"""A variant is made in one place: what cuts, trims and trains is imported by sbert_prune/variant.py alone."""

import ast
from pathlib import Path

import pytest

import sbert_prune

ROOT = Path(__file__).parents[2]
MAKERS = {"prune_checkpoint", "prune_layers", "trim_vocabulary", "PhaseTrainer"}
EXCEPTIONS = {
    ("tuning/screening.py", "PhaseTrainer"),  # weights that all selections of a search share
    ("tuning/prepare.py", "PhaseTrainer"),  # the zero-layer baseline, which is no variant
}


def imported(path: Path) -> set[str]:
    """Return the last part of every name that a module imports or reads from another module."""
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_commands_and_trials_leave_cutting_trimming_and_training_to_the_variant():
    modules = [path for package in ("pipelines", "tuning") for path in (ROOT / package).rglob("*.py")]
    found = {(path.relative_to(ROOT).as_posix(), name) for path in modules for name in imported(path) & MAKERS}

    assert found == EXCEPTIONS
    assert imported(ROOT / "sbert_prune" / "variant.py") >= MAKERS, "the test has lost its subject"


def test_training_begins_in_one_place_which_makes_the_weights_float32():
    package = [path for name in ("sbert_prune", "pipelines", "tuning") for path in (ROOT / name).rglob("*.py")]
    loops = {path.name for path in package if "from sbert_prune.training.loop import train" in path.read_text()}

    assert loops == {"phases.py"}
    assert [path.name for path in package if ".backward()" in path.read_text()] == ["gradients.py"]


def test_only_values_of_our_own_processes_are_unpickled():
    package = [path for name in ("sbert_prune", "pipelines", "tuning") for path in (ROOT / name).rglob("*.py")]
    calls = {"pickle.load", "allow_pickle=True", "weights_only=False", "joblib.load", "optuna.samplers import CmaEs"}
    found = {path.relative_to(ROOT).as_posix() for path in package if any(call in path.read_text() for call in calls)}

    assert found == {"sbert_prune/training/distributed.py"}


def test_the_public_names_are_these():
    assert sbert_prune.__all__ == ["Variant", "__version__", "evaluate", "load", "prune", "save", "train"]
    for name in sbert_prune.__all__:
        assert getattr(sbert_prune, name).__doc__, name


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="'sbert_prune' has no attribute 'trane'"):
        sbert_prune.trane  # noqa: B018 - reading it is the test
