"""Pruning on disk gives the same checkpoint as pruning in memory, and leaves no files after an error."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM, LlamaForQuestionAnswering, T5ForConditionalGeneration

from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import ARCHITECTURES
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import read_lineage
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import embed, encoder_of, load_saved, save_sentence_model, with_encoder
from sbert_prune.pruning import prune_checkpoint, prune_layers
from sbert_prune.system.processes import Process

CUTS = [(0,), (0, 3), (1, 3), (0, 1, 2, 3)]


def legal(model_type, kept):
    return LayerSelection(tuple(sorted({0, *kept})) if ARCHITECTURES[model_type].first_lacks else kept, 4)


def list_modules(folder, *behind):
    """Write modules.json: the encoder and further modules, as (class, folder)."""
    entries = [("Transformer", ""), *behind]
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(entries)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))


def weights_of(folder):
    return (folder / "model.safetensors").read_bytes()


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("kept", CUTS)
def test_the_weights_are_byte_by_byte_those_of_the_way_in_memory(tiny_base, tiny_encoder, tmp_path, model_type, kept):
    folder, selection = tiny_base(model_type, depth=4), legal(model_type, kept)
    prune_layers(tiny_encoder(model_type, depth=4), selection).save_pretrained(tmp_path / "memory")

    prune_checkpoint(folder, selection, tmp_path / "disk")

    assert weights_of(tmp_path / "disk") == weights_of(tmp_path / "memory")
    assert config_of(tmp_path / "disk") == config_of(tmp_path / "memory")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_keep_their_type(tiny_encoder, tiny_tokenizer, tmp_path, dtype):
    encoder, selection = tiny_encoder(depth=4).to(dtype), LayerSelection((1, 2), 4)
    encoder.save_pretrained(tmp_path / "base")
    tiny_tokenizer(0).save_pretrained(tmp_path / "base")
    prune_layers(encoder, selection).save_pretrained(tmp_path / "memory")

    prune_checkpoint(tmp_path / "base", selection, tmp_path / "disk")

    assert weights_of(tmp_path / "disk") == weights_of(tmp_path / "memory")


def test_a_sharded_checkpoint_comes_out_as_one_file(tiny_encoder, tiny_tokenizer, tmp_path):
    encoder, selection = tiny_encoder(depth=4), LayerSelection((0, 3), 4)
    encoder.save_pretrained(tmp_path / "base", max_shard_size="20KB")
    tiny_tokenizer(0).save_pretrained(tmp_path / "base")
    prune_layers(encoder, selection).save_pretrained(tmp_path / "memory")

    prune_checkpoint(tmp_path / "base", selection, tmp_path / "disk")

    assert len(list((tmp_path / "base").glob("model-*.safetensors"))) > 2
    assert [path.name for path in (tmp_path / "disk").glob("*.safetensors*")] == ["model.safetensors"]
    assert weights_of(tmp_path / "disk") == weights_of(tmp_path / "memory")


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "modernbert"])
def test_a_head_stays_behind(tiny_encoder, tiny_tokenizer, tmp_path, model_type):
    torch.manual_seed(3)
    whole = AutoModelForMaskedLM.from_config(tiny_encoder(model_type, depth=4).config)
    whole.save_pretrained(tmp_path / "base")
    tiny_tokenizer(0).save_pretrained(tmp_path / "base")
    selection = LayerSelection((0, 2), 4)
    prune_layers(whole.base_model, selection).save_pretrained(tmp_path / "memory")

    prune_checkpoint(tmp_path / "base", selection, tmp_path / "disk")

    assert weights_of(tmp_path / "disk") == weights_of(tmp_path / "memory")
    assert "architectures" not in config_of(tmp_path / "disk")


def test_a_decoder_stays_behind(tiny_encoder, tiny_tokenizer, tmp_path):
    whole = T5ForConditionalGeneration(tiny_encoder("t5", depth=4).config)
    whole.save_pretrained(tmp_path / "base")
    tiny_tokenizer(0).save_pretrained(tmp_path / "base")

    prune_checkpoint(tmp_path / "base", LayerSelection((1, 2), 4), tmp_path / "disk")

    tensors = load_file(tmp_path / "disk" / "model.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"shared", "encoder"}
    bias = "layer.0.SelfAttention.relative_attention_bias.weight"
    assert torch.equal(tensors[f"encoder.block.0.{bias}"], whole.state_dict()[f"encoder.block.0.{bias}"])
    assert torch.equal(
        tensors["encoder.block.1.layer.0.layer_norm.weight"],
        whole.state_dict()["encoder.block.2.layer.0.layer_norm.weight"],
    )


def test_a_sentence_model_keeps_its_pooling_its_tokenizer_and_its_embeddings(tiny_model, tmp_path, sentences):
    model, selection = tiny_model("mpnet", pooling="cls", depth=4), LayerSelection((0, 1, 3), 4)
    origin = lineage_of(SavedModel("base", None, inspect_checkpoint(tmp_path / "base")))
    save_sentence_model(model, tmp_path / "saved", origin)

    checkpoint = prune_checkpoint(tmp_path / "saved", selection, tmp_path / "disk")

    expected = embed(with_encoder(model, prune_layers(encoder_of(model), selection)), sentences)
    assert (embed(load_saved(checkpoint), sentences) == expected).all()
    assert {path.relative_to(tmp_path / "disk") for path in (tmp_path / "disk").rglob("*")} == {
        path.relative_to(tmp_path / "saved") for path in (tmp_path / "saved").rglob("*")
    }


def test_other_files_come_along_and_weights_in_other_formats_do_not(tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    others = {"onnx/config.json", "tf_model.h5", "pytorch_model.bin", ".cache/x"}
    for name in ("LICENSE", "2_Dense/config.json", *others):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    save_file({"linear.weight": torch.ones(2, 2)}, folder / "2_Dense" / "model.safetensors")
    list_modules(folder, ("Dense", "2_Dense"))

    prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"LICENSE", "2_Dense/config.json", "2_Dense/model.safetensors", "tokenizer.json", "pruning.json"} <= names
    assert not names & others


def test_the_lineage_names_the_base_by_the_digest_of_its_weights(tiny_base, tmp_path):
    folder = tiny_base(depth=4)

    prune_checkpoint(folder, LayerSelection((0, 2), 4), tmp_path / "out")

    lineage = read_lineage(tmp_path / "out")
    assert (lineage.base.id, lineage.base.sha256) == (str(folder), inspect_checkpoint(folder).sha256())
    assert (lineage.kept_layers, lineage.strategy, lineage.base.depth) == ((0, 2), "explicit", 4)


def test_cutting_twice_reports_the_layers_of_the_first_base(tiny_base, tmp_path):
    folder = tiny_base(depth=5)
    prune_checkpoint(folder, LayerSelection((0, 2, 3, 4), 5), tmp_path / "once")

    prune_checkpoint(tmp_path / "once", LayerSelection((1, 3), 4), tmp_path / "twice")

    lineage = read_lineage(tmp_path / "twice")
    assert (lineage.kept_layers, lineage.base.id) == ((2, 4), str(folder))
    assert [(cut.kept_layers, cut.strategy) for cut in lineage.chain] == [
        ((0, 2, 3, 4), "explicit"),
        ((2, 4), "explicit"),
    ]
    assert inspect_checkpoint(tmp_path / "twice").depth == 2


def test_neither_torch_nor_transformers_is_loaded(tiny_base, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from sbert_prune.layers import LayerSelection; from sbert_prune.pruning import prune_checkpoint\n"
        "prune_checkpoint(Path(sys.argv[1]), LayerSelection((0, 2), 4), Path(sys.argv[2]))\n"
        "print({'torch', 'transformers', 'numpy', 'safetensors'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tiny_base(depth=4)), str(tmp_path / "out")]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_a_lineage_that_speaks_of_another_model_is_refused(tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    prune_checkpoint(folder, LayerSelection((0, 2), 4), tmp_path / "once")
    shutil.copy(tmp_path / "once" / "pruning.json", folder)

    with pytest.raises(EncoderError, match=r"records 2 kept layers \(0,2\), the encoder beside it has 4"):
        prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "once"]


@pytest.mark.parametrize("place", ["onnx", ".dense", "deep/dense"])
def test_a_module_comes_along_whatever_its_folder_is_called(tiny_base, tmp_path, place):
    folder = tiny_base(depth=4)
    (folder / place).mkdir(parents=True)
    save_file({"linear.weight": torch.ones(2, 2)}, folder / place / "model.safetensors")
    list_modules(folder, ("Dense", place))

    prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    assert (tmp_path / "out" / place / "model.safetensors").is_file()


def test_a_module_behind_a_link_inside_the_folder_comes_along(tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    (folder / "parts").mkdir()
    save_file({"linear.weight": torch.ones(2, 2)}, folder / "parts" / "model.safetensors")
    (folder / "2_Dense").symlink_to(folder / "parts")
    (folder / "loop").symlink_to(folder)
    (folder / "dead").symlink_to(folder / "nowhere")
    list_modules(folder, ("Dense", "2_Dense"))

    prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    copied = tmp_path / "out" / "2_Dense" / "model.safetensors"
    assert copied.is_file()
    assert not copied.is_symlink()


def test_pickled_weights_are_cut_only_when_asked_for_and_come_out_as_the_same_bytes(tiny_base, tmp_path):
    folder, selection = tiny_base(depth=4), LayerSelection((0, 3), 4)
    prune_checkpoint(folder, selection, tmp_path / "expected")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="Have it converted with convert_pickle=true"):
        prune_checkpoint(folder, selection, tmp_path / "out")

    prune_checkpoint(folder, selection, tmp_path / "out", convert_pickle=True)

    assert weights_of(tmp_path / "out") == weights_of(tmp_path / "expected")
    assert read_lineage(tmp_path / "out").base.id == str(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "expected", "out"]


# What goes wrong


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (LayerSelection((0, 1), 12), "The selection 0,1 was made for 12 layers; the encoder in {folder} has 4."),
        (LayerSelection((0,), 3), "The selection 0 was made for 3 layers; the encoder in {folder} has 4."),
    ],
)
def test_a_selection_made_for_another_depth_writes_nothing(tiny_base, tmp_path, selection, expected):
    folder = tiny_base(depth=4)

    with pytest.raises(SelectionError) as caught:
        prune_checkpoint(folder, selection, tmp_path / "out")

    assert str(caught.value) == expected.format(folder=folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_layer_0_of_a_modernbert_has_to_stay(tiny_base, tmp_path):
    folder = tiny_base("modernbert", depth=4)

    with pytest.raises(SelectionError, match="leave out layer 0, which has to stay in a modernbert"):
        prune_checkpoint(folder, LayerSelection((2, 3), 4), tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_an_output_folder_that_holds_something_stays_as_it_is(tiny_base, tmp_path):
    folder, out = tiny_base(depth=4), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")

    with pytest.raises(EncoderError, match="already exists and is not empty"):
        prune_checkpoint(folder, LayerSelection((0,), 4), out)

    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "out"]


def test_an_empty_output_folder_is_used(tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    (tmp_path / "out").mkdir()

    assert prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out").depth == 1


@pytest.mark.parametrize("inside", ["", "cut"])
def test_an_output_folder_inside_the_base_is_refused(tiny_base, inside):
    folder = tiny_base(depth=4)
    before = sorted(folder.rglob("*"))

    with pytest.raises(EncoderError, match="lies inside"):
        prune_checkpoint(folder, LayerSelection((0,), 4), folder / inside)

    assert sorted(folder.rglob("*")) == before


def test_a_disk_without_room_is_refused_before_anything_is_written(tiny_base, tmp_path, monkeypatch):
    folder = tiny_base(depth=4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))

    with pytest.raises(
        EncoderError, match=r"needs 0 MB, and .* has 0 MB left. Free disk space, or give another folder"
    ):
        prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


CUT = (
    "import sys; from pathlib import Path\n"
    "from sbert_prune.layers import LayerSelection; from sbert_prune.pruning import prune_checkpoint\n"
    "from sbert_prune.errors import EncoderError\n"
    "try: prune_checkpoint(Path(sys.argv[1]), LayerSelection((0, 1), 4), Path(sys.argv[2]))\n"
    "except EncoderError as error: print(error)"
)


def test_a_write_that_fails_in_the_middle_leaves_nothing(tiny_base, tmp_path):
    def at_most_20_kb():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-c", CUT, str(tiny_base(depth=4, width=32)), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=at_most_20_kb)

    assert done.stdout.startswith(
        f"{tmp_path / 'out'} could not be written: File too large. No partial folder was left."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_the_next_prune_removes_what_a_killed_one_left(tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    current = Process.current()
    alive, dead, elsewhere = (
        tmp_path / f".out.{process}-0123abcd.partial"
        for process in (
            current,
            Process(current.machine, current.pid, current.started_ms - 60_000),
            Process("0123456789ab", current.pid, current.started_ms),
        )
    )
    for partial in (alive, dead, elsewhere):
        partial.mkdir()
        (partial / "model.safetensors").write_text("half")

    prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, elsewhere.name, "base", "out"])


def test_an_interrupted_cut_leaves_nothing(tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    # What a shell starts in the background ignores SIGINT, and so do its children: the handler is set here.
    slow = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    slow += "import time, sbert_prune.pruning as p\n"
    slow += "p.write_tensors = lambda *_: (print('writing', flush=True), time.sleep(60))\n"

    running = subprocess.Popen(
        [sys.executable, "-c", slow + CUT, str(folder), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert running.stdout.readline() == b"writing\n"
    assert len(list(tmp_path.glob(".out.*.partial"))) == 1
    running.send_signal(signal.SIGINT)
    running.wait(timeout=120)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ((("Transformer", "0_Transformer"),), "keeps its encoder in 0_Transformer, an old layout. Save it anew"),
        (
            (("Transformer", ""), ("WeightedLayerPooling", "1_W")),
            "has a WeightedLayerPooling module after its encoder, which sbert-prune does not",
        ),
        ((("Transformer", ""), ("Dense", "2_Dense")), "2_Dense holds no weights of its Dense"),
        ((("Transformer", ""), ("Dense", "../2_Dense")), "outside of the folder's own"),
        ((("CNN", ""),), "begins with CNN; a Transformer encoder is expected"),
    ],
)
def test_modules_that_cannot_be_carried_along_are_refused(tiny_base, tmp_path, modules, expected):
    folder = tiny_base(depth=4)
    listed = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in modules]
    (folder / "modules.json").write_text(json.dumps(listed))

    with pytest.raises(EncoderError, match=re.escape(expected)):
        prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


@pytest.mark.parametrize("path", [".", "a**b[", "ünï çödé"])
def test_any_name_serves_as_output(tiny_base, tmp_path, monkeypatch, path):
    folder = tiny_base(depth=4)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    prune_checkpoint(folder, LayerSelection((0,), 4), Path(path))

    assert inspect_checkpoint((tmp_path / "work" / path).resolve()).depth == 1


def test_two_cuts_to_one_output_at_once_end_in_one_whole_folder(tiny_base, tmp_path):
    folder = tiny_base(depth=4)

    def cut(_):
        try:
            return prune_checkpoint(folder, LayerSelection((0,), 4), tmp_path / "out").depth
        except EncoderError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(cut, range(4)))

    assert outcomes.count(1) == 1
    assert all(
        "already exists and is not empty" in outcome or "Directory not empty" in outcome
        for outcome in outcomes
        if outcome != 1
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "out"]


def test_the_single_file_is_what_counts_where_shards_were_left_beside_it(tiny_encoder, tiny_base, tmp_path):
    folder = tiny_base(depth=4)
    tiny_encoder(depth=4, seed=9).save_pretrained(tmp_path / "other", max_shard_size="20KB")
    for path in (tmp_path / "other").glob("model*"):
        shutil.copy(path, folder)
    selection = LayerSelection((0, 3), 4)
    prune_layers(AutoModel.from_pretrained(folder), selection).save_pretrained(tmp_path / "memory")

    prune_checkpoint(folder, selection, tmp_path / "disk")

    assert weights_of(tmp_path / "disk") == weights_of(tmp_path / "memory")


def test_layers_where_transformers_does_not_look_are_refused(tiny_encoder, tiny_tokenizer, tmp_path):
    LlamaForQuestionAnswering(tiny_encoder("llama").config).save_pretrained(tmp_path / "base")
    tiny_tokenizer(0).save_pretrained(tmp_path / "base")

    with pytest.raises(
        EncoderError, match=r"keeps its layers under transformer\.layers, where Transformers does not look for them"
    ):
        inspect_checkpoint(tmp_path / "base")


@pytest.mark.parametrize(("model_type", "entries"), [("modernbert", ["full_attention"]), ("qwen3", "full_attention")])
def test_a_list_with_another_number_of_entries_than_layers_is_refused(tiny_base, tmp_path, model_type, entries):
    folder = tiny_base(model_type, depth=4)
    (folder / "config.json").write_text(json.dumps(config_of(folder) | {"layer_types": entries}))

    with pytest.raises(EncoderError, match="should list one entry per layer under 'layer_types', 4 in all"):
        prune_checkpoint(folder, LayerSelection((0, 1), 4), tmp_path / "out")
