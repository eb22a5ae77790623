"""A faulty folder is refused before torch is loaded, and a complete one is read."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sbert_prune.errors import EncoderError
from sbert_prune.models.architectures import ARCHITECTURES
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel


@pytest.fixture
def sharded(tiny_encoder, tiny_tokenizer, tmp_path):
    """Return a folder with the weights in several files."""
    folder = tmp_path / "sharded"
    tiny_encoder(depth=4).save_pretrained(folder, max_shard_size="20KB")
    tiny_tokenizer(0).save_pretrained(folder)
    return folder


def set_in_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def message_of(folder):
    with pytest.raises(EncoderError) as caught:
        inspect_checkpoint(folder)
    return str(caught.value)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_whole_folder_is_read_whatever_its_architecture(tiny_base, model_type):
    folder = tiny_base(model_type, depth=3)

    checkpoint = inspect_checkpoint(folder)

    assert (checkpoint.depth, checkpoint.weights) == (3, (folder / "model.safetensors",))
    assert set(checkpoint.tensors) == set(load_file(folder / "model.safetensors"))


def test_a_sharded_folder_is_read_as_the_same_model(tiny_encoder, tiny_tokenizer, sharded, tmp_path):
    tiny_encoder(depth=4).save_pretrained(tmp_path / "single")
    tiny_tokenizer(0).save_pretrained(tmp_path / "single")

    several, single = inspect_checkpoint(sharded), inspect_checkpoint(tmp_path / "single")

    assert len(several.weights) > 2
    assert (several.depth, set(several.tensors)) == (single.depth, set(single.tensors))


def test_nothing_but_the_standard_library_reads_a_folder(tiny_base, sharded):
    folders = [str(tiny_base()), str(sharded)]
    code = (
        "import sys, pathlib; from sbert_prune.models.checkpoint import inspect_checkpoint\n"
        "depths = [inspect_checkpoint(pathlib.Path(folder)).depth for folder in sys.argv[1:]]\n"
        "print(depths, {'torch', 'transformers', 'numpy', 'safetensors'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code, *folders], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[4, 4] set()"


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused_wherever_it_was_cut(tiny_base, share):
    weights = tiny_base() / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])

    message = message_of(weights.parent)

    assert str(weights) in message
    assert "cut off" in message
    assert message.endswith("Fetch it again.")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n",
            "is not a safetensors file, or it is cut off",
        ),
        (b"abc", "is not a safetensors file, or it is cut off: 3 bytes"),
        ((8).to_bytes(8, "little") + b"not json", "has a damaged header"),
        ((2).to_bytes(8, "little") + b"[]", "has a damaged header"),
        ((2).to_bytes(8, "little") + b"{}", "has a damaged header"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "has a damaged header"),
        ((22).to_bytes(8, "little") + b'{"a": {"shape": [1] }}', "has a damaged header"),
        ((4).to_bytes(8, "little") + b"\xff\xfe\xff\xfe", "has a damaged header"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tiny_base, content, expected):
    weights = tiny_base() / "model.safetensors"
    weights.write_bytes(content)

    message = message_of(weights.parent)

    assert expected in message
    assert message.endswith("Fetch it again.")


def test_bytes_behind_the_last_tensor_are_damage_too(tiny_base):
    weights = tiny_base() / "model.safetensors"
    size = weights.stat().st_size
    weights.write_bytes(weights.read_bytes() + b"x")

    assert f"should be {size} bytes by its own header, and is {size + 1}" in message_of(weights.parent)


def test_missing_shards_are_named(sharded):
    gone = sorted(sharded.glob("model-*.safetensors"))[1:3]
    total = len(list(sharded.glob("model-*.safetensors")))
    for path in gone:
        path.unlink()

    assert message_of(sharded) == (
        f"{sharded} lacks {gone[0].name}, {gone[1].name} of the {total} weight files "
        "that model.safetensors.index.json lists. Fetch the rest."
    )


@pytest.mark.parametrize(
    "index",
    ["{}", "[]", '{"weight_map": {}}', '{"weight_map": []}', '{"weight_map": ["a"]}', '{"weight_map": {"a": 1}}'],
)
def test_an_index_that_lists_nothing_is_refused(sharded, index):
    (sharded / "model.safetensors.index.json").write_text(index)

    assert message_of(sharded).endswith("lists no weight files beside it. Restore it from where the model came from.")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\xfd"])
def test_invalid_json_is_refused(sharded, name, content):
    (sharded / name).write_bytes(content)

    message = message_of(sharded)

    assert message.startswith(f"{sharded / name} is not valid JSON (")
    assert message.endswith("Restore it from where the model came from.")


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_weights_as_a_pickle_are_refused_with_the_way_out(tiny_base, pickle):
    folder = tiny_base()
    (folder / "model.safetensors").rename(folder / pickle)

    assert message_of(folder) == (
        f"{folder} holds its weights as {pickle}, a pickle, which can run code when it is loaded. "
        "Have it converted with convert_pickle=true: nothing but tensors is then read from it."
    )


def test_a_pickle_beside_safetensors_does_no_harm(tiny_base):
    folder = tiny_base()
    shutil.copy(folder / "model.safetensors", folder / "pytorch_model.bin")

    assert inspect_checkpoint(folder).weights == (folder / "model.safetensors",)


def test_a_folder_without_weights_is_refused(tiny_base):
    folder = tiny_base()
    (folder / "model.safetensors").unlink()

    assert message_of(folder).startswith(f"{folder} holds no model.safetensors.")


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_config_is_refused(tmp_path, exists):
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()

    assert (
        message_of(folder)
        == f"{folder} holds no config.json. Give a folder that holds a Transformers encoder or a sentence model."
    )


@pytest.mark.parametrize("content", ["{}", "[]", '"bert"', '{"hidden_size": 3}'])
def test_a_config_of_something_else_is_refused(tiny_base, content):
    folder = tiny_base()
    (folder / "config.json").write_text(content)

    assert "names no model_type, so it is not the config of a Transformers encoder. Restore it" in message_of(folder)


def test_an_unknown_architecture_is_refused(tiny_base):
    folder = tiny_base()
    set_in_json(folder / "config.json", model_type="reformer", architectures=["ReformerModel"])

    assert message_of(folder).startswith("Encoders of the type 'reformer' (ReformerModel) are not known")


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("announced", [3, 5, 12])
def test_a_config_that_disagrees_with_the_weights_is_refused(tiny_base, model_type, announced):
    folder = tiny_base(model_type, depth=4)
    set_in_json(folder / "config.json", **{ARCHITECTURES[model_type].depth_keys[0]: announced})

    assert message_of(folder) == (
        f"{folder}: config.json announces {announced} layers, the weights hold layers 0-3 (4). "
        "Loaded like this, layers would be random or lost. Correct config.json, or fetch the folder again."
    )


def test_weights_without_any_layer_are_refused(tiny_base):
    folder = tiny_base()
    save_file({"embeddings.word_embeddings.weight": torch.zeros(2, 2)}, folder / "model.safetensors")

    assert "the weights hold no layers." in message_of(folder)


@pytest.mark.parametrize("gone", ["encoder.layer.1.output.dense.weight", "encoder.layer.3.attention.self.query.bias"])
def test_weights_with_a_hole_in_a_layer_are_refused(tiny_base, gone):
    folder = tiny_base()
    tensors = load_file(folder / "model.safetensors")
    del tensors[gone]
    save_file(tensors, folder / "model.safetensors")

    assert gone in message_of(folder)


def test_weights_of_a_model_with_a_task_on_top_are_read(tiny_base):
    folder = tiny_base()
    tensors = load_file(folder / "model.safetensors")
    save_file({f"bert.{name}": tensor for name, tensor in tensors.items()}, folder / "model.safetensors")

    assert inspect_checkpoint(folder).depth == 4


@pytest.mark.parametrize(
    ("model_type", "expected"), [("bert", 64), ("distilbert", 64), ("electra", 64), ("roberta", 62), ("mpnet", 62)]
)
def test_the_longest_input_leaves_out_positions_behind_the_padding(tiny_base, model_type, expected):
    assert inspect_checkpoint(tiny_base(model_type)).max_positions == expected


def test_the_digest_follows_the_weights_and_nothing_else(tiny_base):
    one, other, same = tiny_base(name="one"), tiny_base(name="other", seed=1), tiny_base(name="same")
    (same / "README.md").write_text("A model.")

    digests = [inspect_checkpoint(folder).sha256() for folder in (one, other, same)]

    assert digests[0] == digests[2] != digests[1]


def test_the_bytes_on_disk_are_those_of_every_file(tiny_base):
    folder = tiny_base()
    before = inspect_checkpoint(folder).num_bytes()
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_bytes(b"x" * 100)

    assert inspect_checkpoint(folder).num_bytes() == before + 100


@pytest.mark.parametrize("has_modules", [True, False])
def test_a_sentence_model_is_recognized_by_its_modules(tiny_base, has_modules):
    folder = tiny_base()
    if has_modules:
        (folder / "modules.json").write_text(
            '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]'
        )

    assert SavedModel("name", None, inspect_checkpoint(folder)).is_sentence_model is has_modules


def test_a_folder_without_a_tokenizer_is_refused(tiny_encoder, tmp_path):
    tiny_encoder().save_pretrained(tmp_path / "bare")

    assert "holds no tokenizer (one of tokenizer.json, " in message_of(tmp_path / "bare")


def test_a_damaged_tokenizer_is_refused(tiny_base):
    folder = tiny_base()
    (folder / "tokenizer.json").write_text("{")

    assert "tokenizer.json is not valid JSON" in message_of(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "2_Dense/model.safetensors", "1_Pooling/config.json"]
)
def test_the_fingerprint_changes_with_whatever_decides_an_embedding(tiny_base, name):
    folder = tiny_base()
    for part in ("2_Dense/model.safetensors", "1_Pooling/config.json"):
        (folder / part).parent.mkdir()
        shutil.copy(folder / ("model.safetensors" if part.endswith("safetensors") else "config.json"), folder / part)
    checkpoint = inspect_checkpoint(folder)
    before = (checkpoint.fingerprint(), checkpoint.sha256())

    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)

    assert checkpoint.fingerprint() != before[0]
    assert (checkpoint.sha256() != before[1]) == (name == "model.safetensors")


@pytest.mark.parametrize("name", ["README.md", "pruning.json", ".gitattributes"])
def test_the_fingerprint_is_not_that_of_what_stands_beside(tiny_base, name):
    folder = tiny_base()
    before = inspect_checkpoint(folder).fingerprint()

    (folder / name).write_text("{}")

    assert inspect_checkpoint(folder).fingerprint() == before
