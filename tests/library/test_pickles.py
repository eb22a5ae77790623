"""Only tensors are read from pickled weights, and only on request."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file

from sbert_prune.errors import EncoderError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.pickles import convert_pickles, holds_pickles
from sbert_prune.models.sources import locate_base


@pytest.fixture
def pickled(tiny_base):
    """Return a base whose weights are a pickle, and the weights."""
    folder = tiny_base(depth=3)
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder, weights


def same(actual, expected):
    return actual.keys() == expected.keys() and all(
        torch.equal(actual[name], tensor) for name, tensor in expected.items()
    )


def test_a_pickle_comes_out_as_the_same_tensors_with_everything_beside_it(pickled, tmp_path):
    folder, weights = pickled

    convert_pickles(folder, tmp_path / "out")

    assert same(load_file(tmp_path / "out" / "model.safetensors"), weights)
    assert inspect_checkpoint(tmp_path / "out").depth == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in folder.iterdir()} - {
        "pytorch_model.bin"
    } | {"model.safetensors"}


def test_a_pickle_in_several_files_comes_out_as_one(pickled, tmp_path):
    folder, weights = pickled
    (folder / "pytorch_model.bin").unlink()
    names = {name: f"pytorch_model-0000{1 + place % 2}-of-00002.bin" for place, name in enumerate(weights)}
    for file in set(names.values()):
        torch.save({name: weights[name] for name in names if names[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))

    convert_pickles(folder, tmp_path / "out")

    assert same(load_file(tmp_path / "out" / "model.safetensors"), weights)


def test_names_that_share_memory_each_keep_their_tensor(pickled, tmp_path):
    folder, weights = pickled
    tied = weights | {"cls.predictions.decoder.weight": weights["embeddings.word_embeddings.weight"]}
    torch.save(tied, folder / "pytorch_model.bin")

    convert_pickles(folder, tmp_path / "out")

    assert same(load_file(tmp_path / "out" / "model.safetensors"), tied)


def test_the_pickle_of_a_further_module_is_converted_too(tiny_base, tmp_path):
    folder = tiny_base()
    (folder / "2_Dense").mkdir()
    torch.save({"linear.weight": torch.eye(3)}, folder / "2_Dense" / "pytorch_model.bin")
    listed = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(EncoderError, match=r"holds its weights as pytorch_model\.bin, a pickle"):
        inspect_checkpoint(folder)

    convert_pickles(folder, tmp_path / "out")

    assert same(load_file(tmp_path / "out" / "2_Dense" / "model.safetensors"), {"linear.weight": torch.eye(3)})
    inspect_checkpoint(tmp_path / "out")


DAMAGED = r"is damaged, or holds more than tensors \(\w+\), and is not loaded"


class Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            lambda path: path.write_bytes(pickle.dumps({"a": Malicious()})),
            DAMAGED,
        ),
        (lambda path: torch.save({"a": Malicious()}, path), DAMAGED),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), DAMAGED),
        (lambda path: path.write_bytes(b""), DAMAGED),
        (lambda path: torch.save([1, 2], path), "holds no table of tensors by name"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no table of tensors by name"),
        (lambda path: torch.save({"a": torch.eye(3).to_sparse()}, path), "are of a kind that safetensors cannot hold"),
    ],
)
def test_a_pickle_that_holds_anything_else_is_refused_and_nothing_is_left(pickled, tmp_path, capfd, content, expected):
    folder, _ = pickled
    content(folder / "pytorch_model.bin")

    with pytest.raises(EncoderError, match=expected):
        convert_pickles(folder, tmp_path / "out")

    assert "code ran" not in capfd.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_a_missing_part_is_named(pickled, tmp_path):
    folder, _ = pickled
    (folder / "pytorch_model.bin").unlink()
    (folder / "pytorch_model.bin.index.json").write_text(
        json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}})
    )

    with pytest.raises(EncoderError, match=r"lacks pytorch_model-00001-of-00001.bin of the 1 weight files"):
        convert_pickles(folder, tmp_path / "out")


def test_a_base_is_converted_only_when_asked_for(pickled):
    folder, weights = pickled
    assert holds_pickles(folder)
    with pytest.raises(EncoderError, match="Have it converted with convert_pickle=true"):
        locate_base(str(folder))

    base = locate_base(str(folder), convert_pickle=True)

    assert base.uri == str(folder)
    assert same(load_file(base.folder / "model.safetensors"), weights)


def test_a_base_with_safetensors_is_taken_as_it_is(tiny_base):
    folder = tiny_base()
    (folder / "pytorch_model.bin").write_bytes(b"old")

    assert locate_base(str(folder), convert_pickle=True).folder == folder
