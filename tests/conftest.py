"""Fixtures of all tests. Libraries are imported in them: the process that only starts the workers needs none."""

import gc
import os
import shutil
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path

# One thread, here and in the commands that tests start, set before torch is imported: on a busy machine,
# two threads wait for each other ten times longer than a tiny model takes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Transformers reads each tensor of a tiny model in a thread of its own, which takes longer than reading it.
os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
# One experiment, number 0, whatever the recipe; tests of the experiments themselves unset it.
os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", "Default")

import pytest
from hypothesis import settings

settings.register_profile("quick", max_examples=50, deadline=None)
settings.load_profile("quick")

ROOT = Path(__file__).parent
_ORDER = ("behaviour", "tuning", "pipelines", "library", "contracts", "services")
"""The folders with the longest tests first, so that both workers end together; the quickstart's store comes last."""


def pytest_collection_finish():
    """Exclude the imported libraries from garbage collection: a million objects that are never freed."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Order the files; each is one worker's, as its tests share what is made for them."""
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(ROOT).parts[0]))


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory):
    """Tests, and the commands that they start, neither find nor leave anything in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk():
    from tests.disk import wait_for_no_disk

    wait_for_no_disk()


@pytest.fixture(scope="session")
def tiny_encoder():
    """A function that builds an encoder: tiny_encoder("roberta", depth=4, width=16, spread=0.2, seed=0)."""
    from tests.tiny import build_encoder

    return build_encoder


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A function that builds a tokenizer whose padding piece has the given id."""
    from tests.tiny import build_tokenizer

    return build_tokenizer


@pytest.fixture(scope="session")
def _saved_base(tmp_path_factory):
    """A function that saves an encoder with its tokenizer, once for equal arguments."""
    from transformers import AutoTokenizer

    from tests.tiny import build_encoder, build_tokenizer

    @cache
    def save(model_type, **sizes):
        encoder, folder = build_encoder(model_type, **sizes), tmp_path_factory.mktemp("base")
        encoder.save_pretrained(folder)
        build_tokenizer(encoder.config.pad_token_id).save_pretrained(folder)
        if model_type == "qwen2":  # Transformers makes a Qwen2Tokenizer of it, whatever class it names
            AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def tiny_base(_saved_base, tmp_path):
    """A function that saves an encoder with its tokenizer and returns the folder: what a user gives as a base."""

    def save(model_type="bert", *, name="base", **sizes):
        return shutil.copytree(_saved_base(model_type, **sizes), tmp_path / name, dirs_exist_ok=True)

    return save


@pytest.fixture(scope="session")
def _loaded_base(_saved_base):
    """A function that loads an encoder as a sentence model, once for equal arguments: a copy takes a fifth as long."""
    from sbert_prune.models.checkpoint import inspect_checkpoint
    from sbert_prune.models.sentence import load_saved

    return lru_cache(20)(lambda *model_type, **sizes: load_saved(inspect_checkpoint(_saved_base(*model_type, **sizes))))


@pytest.fixture
def tiny_model(tiny_base, _loaded_base):
    """A function that returns a sentence model: tiny_model("bert", pooling="mean", max_seq_length=32, depth=4)."""
    from sbert_prune.models.sentence import with_pooling

    def load(model_type="bert", *, name="base", pooling="mean", max_seq_length=32, **sizes):
        tiny_base(model_type, name=name, **sizes)
        return with_pooling(deepcopy(_loaded_base(model_type, **sizes)), pooling, max_seq_length=max_seq_length)

    return load


@pytest.fixture(scope="session")
def sentences():
    """Sentences of the tokenizer's words: 3 to 6 words, all different."""
    subjects = ("a man", "the woman", "a child", "the dog", "the cat")
    actions = ("sings", "sleeps", "runs quickly", "plays the guitar", "eats bread", "is not in the street")
    return tuple(f"{subject} {action}" for subject in subjects for action in actions)
