"""Files of a hub arrive complete, at the requested commit, or the error says why not."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest
from httpx2 import ConnectError
from hub import Fault
from huggingface_hub import HfApi

from sbert_prune.errors import HubError
from sbert_prune.hub.errors import Requested, explain
from sbert_prune.hub.retry import HubBusyError, with_retries
from sbert_prune.hub.snapshot import resolve

WEIGHTS = bytes(range(256)) * 400
CUTTABLE = os.urandom(1 << 16) * (12 << 4)  # 12 MB: huggingface_hub writes, and so resumes, by 10 MB
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "onnx/model.onnx": b"x" * 50_000}


@pytest.fixture
def commit(hub):
    return hub.add_model("org/name", FILES)


def fetch(*names, revision=None, repo_id="org/name"):
    return resolve(repo_id, kind="model", revision=revision).fetch(names or ("config.json", "model.safetensors"))


def refusal(call):
    with pytest.raises(HubError) as caught:
        call()
    return str(caught.value)


def test_only_the_files_that_are_asked_for_are_fetched_and_once_only(hub, commit):
    folder = fetch()
    again = fetch()

    assert folder == again == hub.cache / "models--org--name" / "snapshots" / commit
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.fetched == ["org/name/config.json", "org/name/model.safetensors"]
    assert not (folder / "onnx").exists()


def test_a_snapshot_lists_all_files_with_their_sizes_and_hashes(hub, commit):
    snapshot = resolve("org/name", kind="model")

    assert (snapshot.commit, snapshot.note, hub.fetched) == (commit, "", [])
    assert {file.path: file.size for file in snapshot.files} == {path: len(body) for path, body in FILES.items()}
    assert snapshot.files[1].digest == hashlib.sha256(WEIGHTS).hexdigest()
    assert snapshot.files[0].digest == hashlib.sha1(b"blob 8\0" + FILES["config.json"]).hexdigest()


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", None])
def test_a_branch_or_tag_stands_for_its_commit(hub, commit, revision):
    hub.add_model("org/name", FILES, revision="v1.0")
    hub.add_model("org/name", FILES, revision="refs/pr/1")

    assert resolve("org/name", kind="model", revision=revision).commit == commit
    assert resolve("org/name", kind="model", revision=commit).commit == commit


def test_a_branch_that_moves_on_is_followed_and_the_old_commit_stays(hub, commit):
    old = fetch()
    later = hub.add_model("org/name", {**FILES, "config.json": b"{}"})

    new = fetch()

    assert new.name == later != commit == old.name
    assert [(folder / "config.json").read_bytes() for folder in (old, new)] == [FILES["config.json"], b"{}"]
    assert hub.fetched.count("org/name/model.safetensors") == 1  # the same content


BUSY = {"Retry-After": "0"}


@pytest.mark.parametrize(
    ("where", "faults"),
    [
        ("api/models", [Fault(status=500)]),
        ("api/models", [Fault(status=503), Fault(status=502), Fault(status=504)]),
        ("api/models", [Fault(status=429, headers=BUSY)]),
        ("api/models", [Fault(cut_after=20)]),
        ("api/models", [Fault(cut_after=20, reset=True)]),
        ("org/name/model.safetensors", [Fault(status=500, method="HEAD")]),
        ("org/name/model.safetensors", [Fault(status=429, headers=BUSY, method="HEAD")]),
        ("org/name/model.safetensors", [Fault(status=500), Fault(status=503)]),
        ("org/name/model.safetensors", [Fault(status=429, headers=BUSY)]),
        ("org/name/config.json", [Fault(status=520)]),
        ("org/name/model.safetensors", [Fault(damage=True)]),
        ("org/name/config.json", [Fault(damage=True)]),
    ],
)
def test_a_fault_that_passes_leaves_no_trace(hub, commit, where, faults):
    hub.fail(where, *faults)

    folder = fetch()

    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_bytes() == FILES["config.json"]
    assert not any(fault.times for fault in faults)
    assert len(list((hub.cache / "models--org--name" / "blobs").iterdir())) == 2


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_is_cut_goes_on_where_it_was(hub, reset):
    hub.add_model("org/large", {"model.safetensors": CUTTABLE})
    hub.fail("org/large/model.safetensors", Fault(cut_after=11 << 20, reset=reset))

    folder = fetch("model.safetensors", repo_id="org/large")

    first, second = (
        request for request in hub.requests if request.what == "org/large/model.safetensors" and request.method == "GET"
    )
    assert (folder / "model.safetensors").read_bytes() == CUTTABLE
    assert (first.range, second.range) == ("", f"bytes={10 << 20}-")
    assert second.num_bytes == 2 << 20


@pytest.mark.parametrize(
    ("headers", "pauses_s"),
    [
        ([{}, {}], [1.0, 2.0]),
        ([{"Retry-After": "0"}, {"Retry-After": "3"}], [1.0, 3.0]),
        ([{"RateLimit": '"api";r=0;t=7'}], [7.0]),
    ],
)
def test_the_hub_decides_how_long_to_wait(hub, commit, headers, pauses_s):
    hub.fail("api/models", *(Fault(status=429, headers=header) for header in headers))
    pauses = []

    with_retries(lambda: HfApi(hub.endpoint).model_info("org/name"), sleep=pauses.append)

    assert pauses == pauses_s


def test_a_hub_is_waited_for_no_longer_than_for_all_pauses_together(hub, commit):
    hub.fail("api/models", *(Fault(status=429, headers={"Retry-After": "3"}) for _ in range(9)))
    pauses = []

    with pytest.raises(HubBusyError):
        with_retries(
            lambda: HfApi(hub.endpoint).model_info("org/name"), waits_s=(1.0, 1.0, 1.0, 1.0, 5.0), sleep=pauses.append
        )

    assert pauses == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("where", ["api/models", "org/name/model.safetensors"])
@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}])
def test_a_hub_that_asks_for_an_hour_is_not_waited_for(hub, commit, where, headers):
    hub.fail(where, Fault(status=429, headers=headers))

    message = refusal(fetch)

    assert "it has too many requests (HTTP status 429), and asks to wait 3600 s. Give the same command later" in message


ALWAYS = 99


@pytest.mark.parametrize(
    ("where", "fault", "expected"),
    [
        (
            "api/models",
            {"status": 503},
            "did not give the model org/name: it fails (HTTP status 503). Give the same command later",
        ),
        (
            "api/models",
            {"status": 429},
            "it has too many requests (HTTP status 429). Give the same command later; with a login (HF_TOKEN",
        ),
        ("api/models", {"cut_after": 20}, "peer closed connection without sending complete message body"),
        (
            "api/models",
            {"page": "<html>Please log in.</html>"},
            "the answer is not from a hub. Check the network, and HF_ENDPOINT",
        ),
        ("api/models", {"page": '{"id": 3}'}, "the answer is not from a hub."),
        ("api/models", {"page": "[]"}, "the answer is not from a hub."),
        ("api/models", {"page": '{"id": "org/name", "sha": "../../x"}'}, "the answer is not from a hub."),
        (
            "api/models",
            {
                "page": '{"id": "org/name", "sha": "../../x", "siblings": '
                '[{"rfilename": "config.json", "size": 2, "blobId": "ab"}]}'
            },
            "the answer is not from a hub.",
        ),
        ("api/models", {"status": 418}, "refuses the model org/name (HTTP status 418). Look at"),
        (
            "api/models",
            {"status": 403},
            "does not give the model org/name to the owner of this token. The token needs permission to read it:",
        ),
        (
            "api/models",
            {"status": 403, "headers": {"X-Error-Message": "Access to this resource is disabled."}},
            "has disabled the model org/name",
        ),
        (
            "name/model.safetensors",
            {"status": 500},
            "did not give model.safetensors of the model org/name: it fails (HTTP status 500).",
        ),
        (
            "name/model.safetensors",
            {"status": 404, "headers": {"X-Error-Code": "EntryNotFound"}, "method": "HEAD"},
            "lists model.safetensors of the",
        ),
        (
            "name/model.safetensors",
            {"damage": True},
            "model.safetensors of the model org/name arrived damaged, twice: its size or hash is not",
        ),
        ("name/config.json", {"page": "<html>"}, "config.json of the model org/name arrived damaged, twice"),
        (
            "name/config.json",
            {"page": "<html>", "method": "HEAD"},
            "did not give config.json of the model org/name: the answer is not from a hub",
        ),
    ],
)
def test_a_fault_that_stays_is_explained(hub, commit, where, fault, expected):
    hub.fail(where, Fault(**fault, times=ALWAYS))

    message = refusal(fetch)

    assert expected in message
    assert "Traceback" not in message


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_of_a_file_that_arrives_damaged_nothing_stays_in_the_cache(hub, commit, name):
    hub.fail(f"org/name/{name}", Fault(damage=True, times=2))

    refusal(lambda: fetch(name))

    assert not [path for path in (hub.cache / "models--org--name").rglob("*") if path.is_file() or path.is_symlink()]
    assert (fetch(name) / name).read_bytes() == FILES[name]


def test_what_is_in_the_cache_is_not_hashed_again(hub, commit):
    path = fetch() / "model.safetensors"
    path.resolve().write_bytes(b"changed by its owner")

    assert (fetch() / "model.safetensors").read_bytes() == b"changed by its owner"


@pytest.mark.parametrize(
    ("asked", "token", "expected"),
    [
        (("org/other", None), None, "shows no model org/other without a login: it does not exist, or it is private."),
        (("org/other", None), "hf_wrong", "has no model org/other, or does not show it to the owner of this token."),
        (("org/hidden", None), None, "for a private one, set HF_TOKEN or run `hf auth login`."),
        (("org/hidden", None), "hf_wrong", "a private one needs a token with permission to read it"),
        (
            ("org/gated", None),
            None,
            "is gated: its owner gives it to users who accept the terms and are logged in. Accept them at",
        ),
        (("org/gated", None), "hf_wrong", "and the owner of this token has not done so. Accept them at"),
        (("org/name", "gone"), None, "The model org/name has no revision 'gone'. Take a branch, tag or commit from"),
        (("org/name", None), "expired", "does not accept the token it was sent. Make a new one at"),
        (("name", None), None, "'name' is no name on a hub. Expected organisation/name"),
        (("org/na me", None), None, "is no name on a hub."),
        (("org/..", None), None, "is no name on a hub."),
        (("org/a--b", None), None, "is no name on a hub."),
        (
            ("org/name", "../../x"),
            None,
            "'../../x' is no revision of the model org/name. Expected a branch, a tag, or a commit of 40 characters.",
        ),
        (("org/name", "/etc"), None, "is no revision"),
    ],
)
def test_what_the_hub_does_not_have_or_give_is_answered_with_what_to_do(hub, monkeypatch, asked, token, expected):
    hub.add_model("org/name", FILES)
    hub.add_model("org/hidden", FILES)
    hub.close("model", "org/hidden", gated=False)
    hub.add_model("org/gated", FILES)
    hub.close("model", "org/gated", gated=True)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)

    message = refusal(lambda: fetch(repo_id=asked[0], revision=asked[1]))

    assert expected in message
    assert not token or token not in message


def test_who_is_let_in_gets_a_gated_model_and_the_token_stays_with_the_hub(hub, monkeypatch):
    hub.add_model("org/gated", FILES)
    hub.close("model", "org/gated", gated=True)
    monkeypatch.setenv("HF_TOKEN", hub.token)

    assert (fetch(repo_id="org/gated") / "model.safetensors").read_bytes() == WEIGHTS
    assert not [
        request
        for request in hub.requests
        if request.what == "org/gated/model.safetensors" and request.method == "GET" and request.has_token
    ]


def test_a_token_that_cannot_be_sent_is_reported_and_not_shown(hub, commit, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_sécret123")

    assert refusal(fetch) == (
        "The token for the hub contains a character that tokens do not have. "
        "Set HF_TOKEN again, or run `hf auth login`."
    )


def test_a_token_in_the_words_of_an_error_is_not_shown(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "of-another-form")
    error = ConnectError("hf_secret1 of-another-form Bearer abc https://me:secret2@cdn/x?sig=secret3 refused")

    assert str(explain(error, Requested("org/name", "model", "main", hub.endpoint))).startswith(
        f"{hub.endpoint} did not give the model org/name: hf_*** *** Bearer *** https://cdn/x refused."
    )


def test_a_password_in_the_address_of_the_hub_is_not_shown(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://user:secret@127.0.0.1:9")

    message = refusal(fetch)

    assert message.startswith("http://127.0.0.1:9 did not give the model org/name:")
    assert "secret" not in message


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "ftp://127.0.0.1:9", "http://127.0.0.1:99999"])
def test_an_address_that_is_none_is_an_error_like_any_other(hub, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    assert "Check the network, and HF_ENDPOINT" in refusal(fetch)


def test_a_file_that_the_commit_lacks_is_named(hub, commit):
    message = refusal(lambda: fetch("config.json", "model.bin"))

    assert message == (
        f"The model org/name at commit {commit[:8]} has no model.bin; "
        "it has config.json, model.safetensors, onnx/model.onnx. "
        "Give another revision."
    )
    assert hub.fetched == []


@pytest.mark.parametrize("revision", ["main", "v1.0", "commit"])
def test_offline_the_cache_serves_what_was_fetched(hub, commit, monkeypatch, revision):
    hub.add_model("org/name", FILES, revision="v1.0")
    revision = commit if revision == "commit" else revision
    folder = fetch(revision=revision)
    hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    snapshot = resolve("org/name", kind="model", revision=revision)

    assert snapshot.fetch(["config.json", "model.safetensors"]) == folder
    assert (snapshot.commit, snapshot.note, snapshot.is_from_cache) == (commit, "", True)
    assert [file.path for file in snapshot.files] == ["config.json", "model.safetensors"]
    assert hub.requests == []


def test_offline_what_is_missing_is_named_with_the_command_that_gets_it(hub, commit, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    nothing = refusal(fetch)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    fetch("config.json")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    some = refusal(fetch)

    get = "With a network, unset HF_HUB_OFFLINE and give the same command, or run: hf download org/name --revision main"
    assert nothing == (
        f"HF_HUB_OFFLINE is set, and the cache in {hub.cache} has no model org/name at revision main. {get}"
    )
    assert some == (
        f"The cache of the model org/name as of commit {commit[:8]} lacks model.safetensors "
        f"(HF_HUB_OFFLINE is set). {get}"
    )


def test_a_branch_whose_new_files_did_not_arrive_stands_for_the_old_ones_offline(hub, commit, monkeypatch):
    old = fetch()
    hub.add_model("org/name", {**FILES, "model.safetensors": WEIGHTS[::-1]})
    hub.fail("org/name/model.safetensors", Fault(status=500, times=ALWAYS))
    refusal(fetch)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert fetch() == old


@pytest.mark.parametrize("fault", ["stopped", "fails", "portal"])
def test_a_hub_out_of_reach_is_replaced_by_the_cache_and_says_so(hub, commit, fault):
    folder = fetch()
    if fault == "stopped":
        hub.stop()
    else:
        hub.fail(
            "api/models", Fault(status=503, times=ALWAYS) if fault == "fails" else Fault(page="<html>", times=ALWAYS)
        )

    snapshot = resolve("org/name", kind="model")

    assert snapshot.fetch(["model.safetensors"]) == folder
    assert snapshot.note.startswith("the hub is out of reach (")
    assert snapshot.note.endswith(f"); taken from the cache as of commit {commit[:8]}")


def test_a_hub_out_of_reach_and_an_empty_cache_is_an_answer(hub, commit):
    hub.stop()

    message = refusal(fetch)

    assert message.startswith(
        f"{hub.endpoint} did not give the model org/name: [Errno 111] Connection refused. Check the network"
    )


def test_a_model_and_a_data_set_of_one_name_are_two(hub, commit):
    hub.add_dataset("org/name", {"train.csv": b"a,b\n"})

    folder = resolve("org/name", kind="dataset").fetch(["train.csv"])

    assert (folder / "train.csv").read_bytes() == b"a,b\n"
    assert folder.parent.parent.name == "datasets--org--name"
    assert "data set org/other" in refusal(lambda: resolve("org/other", kind="dataset"))


FETCH = """
import resource, signal, sys
from sbert_prune.hub.snapshot import resolve
from sbert_prune.errors import HubError
assert not any(name.startswith(("huggingface_hub", "httpx", "torch")) for name in sys.modules)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
try:
    print(resolve("org/name", kind="model").fetch(["model.safetensors"]))
except HubError as error:
    sys.exit(f"HubError: {error}")
"""


def test_the_hub_is_imported_without_huggingface_hub_and_takes_all_from_the_environment(hub, commit):
    done = subprocess.run(
        [sys.executable, "-c", FETCH, "10000000"], env=hub.env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(hub.cache / "models--org--name" / "snapshots" / commit)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="limits the size of files, as a full disk does")
def test_a_full_disk_is_reported_with_the_folder_that_needs_space(hub, commit):
    done = subprocess.run(
        [sys.executable, "-c", FETCH, "50000"], env=hub.env, capture_output=True, text=True, check=False
    )

    assert (
        f"HubError: There is no disk space for model.safetensors of the model org/name in {hub.cache} (" in done.stderr
    )
    assert "Free some, or set HF_HOME to a folder on a larger disk." in done.stderr
    assert not list(hub.cache.rglob("*.incomplete"))


def test_a_mirror_that_lists_files_by_the_tree_alone_will_do(hub, commit):
    listed = resolve("org/name", kind="model").files
    hub.lists_files = False

    by_tree = resolve("org/name", kind="model")

    assert by_tree.commit == commit
    assert by_tree.files == listed != ()
