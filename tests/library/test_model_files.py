"""A model's folder gives away nothing but itself: no target of a link, and no file that a model does not need."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

import sbert_prune
from sbert_prune.errors import EncoderError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import read_lineage
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import save_sentence_model
from sbert_prune.pruning import prune_checkpoint

SECRET = "root:secret"
FIRST = LayerSelection((0,), 2)


@pytest.fixture
def folder(tiny_model, tmp_path):
    """Return a sentence model with its further modules."""
    model = tiny_model("bert", depth=2)
    save_sentence_model(
        model, tmp_path / "model", lineage_of(SavedModel("b", None, inspect_checkpoint(tmp_path / "base")))
    )
    return tmp_path / "model"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "private" / "shadow"
    path.parent.mkdir()
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def link(path, target):
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def published(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name",
    [
        *("notes.txt", "README.md", "LICENSE", "chat_template.jinja", "additional_chat_templates/tool.jinja"),
        *("config.json", "modules.json", "pruning.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"),
        *("model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        *("1_Pooling/config.json", "1_Pooling/model.safetensors", "1_Pooling/extra.txt"),
    ],
)
@pytest.mark.parametrize("kind", ["absolute", "relative", "two links"])
def test_a_link_out_of_the_folder_is_refused_and_nothing_is_written(folder, secret, tmp_path, name, kind):
    target = secret
    if kind == "relative":
        target = os.path.relpath(secret, (folder / name).parent)
    elif kind == "two links":
        link(folder / ".hidden", secret)
        target = folder / ".hidden"
    link(folder / name, target)

    with pytest.raises(EncoderError) as caught:
        prune_checkpoint(folder, FIRST, tmp_path / "out")

    assert str(caught.value).startswith(f"{folder / name} is a link to {secret}, outside of the folder.")
    assert "put a copy in the place of the link" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_module_whose_folder_is_a_link_out_of_the_model_is_refused(folder, tmp_path):
    shutil.move(folder / "1_Pooling", tmp_path / "elsewhere")
    (folder / "1_Pooling").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(EncoderError, match=r"1_Pooling/config\.json is a link to .*elsewhere/config\.json"):
        prune_checkpoint(folder, FIRST, tmp_path / "out")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00001.bin", "notes.txt"])
def test_no_link_is_followed_when_pickles_are_converted(folder, secret, tmp_path, name):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    if "-of-" in name:
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    link(folder / name, secret)

    with pytest.raises(EncoderError, match=rf"{name} is a link to .*shadow"):
        prune_checkpoint(folder, FIRST, tmp_path / "out", convert_pickle=True)

    assert not (tmp_path / "out").exists()


def test_the_library_refuses_such_a_base(folder, secret):
    link(folder / "notes.txt", secret)

    with pytest.raises(EncoderError, match="is a link to"):
        sbert_prune.prune(folder, 1)
    with pytest.raises(EncoderError, match="is a link to"):
        sbert_prune.load(folder)


@pytest.mark.parametrize(
    "suffix", ["pkl", "pickle", "bin", "pt", "pth", "ckpt", "joblib", "npy", "py", "sh", "so", "h5"]
)
@pytest.mark.parametrize("linked", [True, False])
def test_what_no_model_needs_stays_behind(folder, secret, tmp_path, suffix, linked):
    names = (
        f"x.{suffix}",
        f"1_Pooling/x.{suffix}",
        f"data/x.{suffix}",
        "data/notes.txt",
        ".env",
        ".git/config",
        "id_rsa",
    )
    for name in names:
        link(folder / name, secret)
        if not linked:
            (folder / name).unlink()
            (folder / name).write_text(SECRET)

    prune_checkpoint(folder, FIRST, tmp_path / "out")

    assert SECRET.encode() not in published(tmp_path / "out")
    assert not [name for name in names if (tmp_path / "out" / name).exists()]


def test_a_link_inside_the_folder_becomes_a_copy(folder, tmp_path):
    (folder / "texts").mkdir()
    (folder / "texts" / "card").write_text("ours")
    link(folder / "README.md", "texts/card")

    prune_checkpoint(folder, FIRST, tmp_path / "out")

    assert (tmp_path / "out" / "README.md").read_text() == "ours"
    assert not (tmp_path / "out" / "README.md").is_symlink()


def into_cache(folder, cache):
    """Lay a model's files out as huggingface_hub does, and return the snapshot."""
    snapshot = cache / "models--org--name" / "snapshots" / ("a" * 40)
    blobs = cache / "models--org--name" / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(path for path in sorted(folder.rglob("*")) if path.is_file()):
        shutil.move(path, blobs / str(number))
        place = snapshot / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blobs / str(number), place.parent))
    return snapshot


def test_a_snapshot_of_a_hub_is_read_wherever_its_cache_lies(folder, tmp_path):
    snapshot = into_cache(folder, tmp_path / "moved-cache")

    prune_checkpoint(snapshot, FIRST, tmp_path / "out")

    assert read_lineage(tmp_path / "out").kept_layers == (0,)
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_a_folder_may_link_into_the_hubs_cache_and_to_nothing_beside_it(folder, secret, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    snapshot = into_cache(folder, cache)
    linked = tmp_path / "linked"
    linked.symlink_to(snapshot)
    (tmp_path / "own").mkdir()
    for path in snapshot.glob("*"):
        (tmp_path / "own" / path.name).symlink_to(path)

    for number, base in enumerate((linked, tmp_path / "own")):
        prune_checkpoint(base, FIRST, tmp_path / str(number))
    (cache / "token").write_text(SECRET)
    link(tmp_path / "own" / "notes.txt", cache / "token")

    with pytest.raises(EncoderError, match=r"is a link to .*cache/token"):
        inspect_checkpoint(tmp_path / "own")
