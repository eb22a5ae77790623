"""Errors where what a preset names is out of reach: exit status 2, one paragraph, and nothing is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hub import Fault, use_hub
from preset_hub import ALL_NLI, BERT, INDICXNLI, MAHABERT, MURIL, filled_hub, write_sts

from tests.in_process import call

ROOT = Path(__file__).parents[2]
CONVERTED = "refs/convert/parquet"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with filled_hub(tmp_path / "hub") as hub:
        use_hub(monkeypatch, hub)
        monkeypatch.setattr("sbert_prune.hub.retry.WAITS_S", (0.01, 0.01))
        yield hub


@pytest.fixture
def empty_folder(tmp_path):
    """An empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def sts(tmp_path):
    return ["--sts-data", str(write_sts(tmp_path / "sts", "mr"))]


def refused(empty_folder, *arguments, **environment):
    """Return the error message of `full` in an empty folder."""
    done = call(empty_folder, "full", "--recipe", *arguments, **environment)
    assert done.exit_code == 2, done.output
    return error_message(done.stderr, empty_folder)


def refused_in_a_process(hub, empty_folder, *arguments):
    """Return the error message of `full` in a separate process, whose libraries print nothing either."""
    own = {key: value for key, value in hub.env.items() if not key.startswith("MLFLOW_")} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines", "full", "--recipe", *arguments]
    done = subprocess.run(command, cwd=empty_folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return error_message(done.stderr, empty_folder)


def error_message(stderr, empty_folder):
    *before, message = stderr.splitlines()
    assert message.startswith("Error: ")
    assert set(before) <= {"The connection to the hub failed. Trying again in 1 s."}
    assert list(empty_folder.iterdir()) == []
    return message


LACKING = [
    (
        ["marathi"],
        "The recipe marathi lacks 'sts.data'. The Marathi translation of STSb is in "
        "https://github.com/l3cube-pune/MarathiNLP under",
    ),
    (
        ["marathi-muril"],
        "put its train, dev and test .tsv files into one folder and give it as sts_data=FOLDER",
    ),
    (["tamil"], "No Tamil STS data set is known. Give a file of two sentences and a score"),
    (
        ["minilm", "--sts-data", "quickstart"],
        "The recipe minilm lacks 'nli.data'. Use any file of premise, hypothesis and label.",
    ),
    (["hindi", "--sts-data", "missing.tsv"], "missing.tsv does not exist."),
    (["hindi", "--sts-data", str(ROOT)], "has no train and no dev and no test split"),
    (["english", "--nli-data", "missing.csv"], "missing.csv does not exist."),
]


@pytest.mark.parametrize(
    ("arguments", "answer"), LACKING, ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_data_that_are_not_given_are_told_before_anything_is_fetched(hub, empty_folder, arguments, answer):
    message = refused(empty_folder, *arguments)

    assert answer in message
    assert hub.requests == []
    assert not hub.home.exists()


def test_data_that_are_not_given_are_told_before_anything_heavy_is_imported(hub, empty_folder):
    code = (
        "import json, sys\nfrom pipelines.__main__ import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try: main(['full', '--recipe', *arguments])\n"
        "    except SystemExit as end: assert end.code == 2\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'datasets', 'pyarrow', 'pandas', 'scipy', 'huggingface_hub'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code, json.dumps([arguments for arguments, _ in LACKING])]

    done = subprocess.run(
        command, cwd=empty_folder, env=hub.env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert all(answer in line for (_, answer), line in zip(LACKING, done.stderr.splitlines(), strict=True))


def test_a_hub_that_is_down_is_told_with_what_to_look_at(hub, sts, empty_folder):
    hub.stop()

    message = refused_in_a_process(hub, empty_folder, "marathi", *sts)

    assert f"{hub.endpoint} did not give the model {MAHABERT}: " in message
    assert (
        "Check the network, and HF_ENDPOINT and HTTPS_PROXY where they are set; without a network, give a local folder."
        in message
    )


def test_an_empty_cache_without_a_network_is_told_with_a_command(hub, sts, empty_folder):
    message = refused(empty_folder, "marathi", *sts, HF_HUB_OFFLINE="1")

    assert (
        f"HF_HUB_OFFLINE is set, and the cache in {hub.cache} has no model {MAHABERT} at revision e2663114" in message
    )
    assert f"run: hf download {MAHABERT} --revision e2663114bfcde919e823e89fa7d5d27cad6034ad" in message
    assert hub.requests == []


def test_data_that_the_cache_lacks_are_told_by_their_own_name(hub, sts, empty_folder):
    hub.fail(f"{INDICXNLI}/mr", Fault(status=404, times=9))
    refused(empty_folder, "marathi", *sts)  # the base has come

    message = refused(empty_folder, "marathi", *sts, HF_HUB_OFFLINE="1")

    assert f"has no data set {INDICXNLI} at revision {CONVERTED}" in message
    assert f"run: hf download {INDICXNLI} --repo-type dataset --revision {CONVERTED}" in message


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("", "and are logged in. Accept them at"),
        ("hf_somebodyelse", "and the owner of this token has not done so. Accept them at"),
    ],
)
def test_a_gated_base_is_told_with_its_page(hub, sts, empty_folder, token, answer):
    hub.close("model", MURIL, gated=True)

    message = refused(empty_folder, "marathi-muril", *sts, **({"HF_TOKEN": token} if token else {}))

    assert f"base_model={MURIL}@afd9f36c7923d54e97903922ff1b260d091d202f: " in message
    assert f"The model {MURIL} is gated: its owner gives it to users who accept the terms" in message
    assert f"{answer} {hub.endpoint}/{MURIL}" in message
    assert "hf_somebodyelse" not in message


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("", f"shows no data set {ALL_NLI} without a login"),
        ("hf_somebodyelse", f"has no data set {ALL_NLI}, or does not show it to"),
    ],
)
def test_a_data_set_that_is_gone_is_told(hub, empty_folder, token, answer):
    hub.close("dataset", ALL_NLI, gated=False)

    message = refused(empty_folder, "english", **({"HF_TOKEN": token} if token else {}))

    assert answer in message
    assert f"Check the name at {hub.endpoint}/datasets/{ALL_NLI}" in message


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--nli-data", f"{INDICXNLI}:mrr@{CONVERTED}"], f"{INDICXNLI} has no config 'mrr'. Did you mean mr?"),
        (
            ["--nli-data", f"{INDICXNLI}@{CONVERTED}"],
            f"{INDICXNLI} has 4 configs: hi, mr, ta, te. Give one of them, such as {INDICXNLI}:hi.",
        ),
        (["--nli-data", f"{INDICXNLI}:mr@v9"], f"The data set {INDICXNLI} has no revision 'v9'."),
        (["--base-model", f"{MURIL}@{'0' * 40}"], f"The model {MURIL} has no revision '{'0' * 40}'."),
        (["--base-model", MURIL], f"{MURIL} at commit"),  # what is newer than the pinned commit has no weights
        (
            ["--base-model", f"{MURIL}@afd9f36c7923d54e97903922ff1b260d091d202f"],
            "Where you trust them, give convert_pickle=true",
        ),
    ],
)
def test_a_name_that_the_hub_does_not_have_is_told_with_what_it_has(hub, sts, empty_folder, arguments, answer):
    assert answer in refused(empty_folder, "marathi", *sts, *arguments)


def test_rows_that_arrive_damaged_are_asked_for_twice_and_not_kept(hub, sts, empty_folder):
    hub.fail(f"{INDICXNLI}/mr/train", Fault(damage=True, times=2))

    message = refused_in_a_process(hub, empty_folder, "marathi", *sts)

    assert f"mr/train/0000.parquet of the data set {INDICXNLI} arrived damaged, twice" in message
    assert hub.fetched.count(f"{INDICXNLI}/mr/train/0000.parquet") == 2
    assert not list(hub.cache.rglob("*.parquet"))


def test_weights_that_arrive_damaged_are_not_kept(hub, empty_folder):
    hub.fail(f"{BERT}/model.safetensors", Fault(damage=True, times=2))

    message = refused(empty_folder, "english")

    assert f"model.safetensors of the model {BERT} arrived damaged, twice" in message
    assert not list(hub.cache.rglob("*.safetensors"))
