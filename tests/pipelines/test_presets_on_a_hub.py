"""Every preset loads its small models and data from a hub, and offline from the cache; some are run to their end."""

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from hub import use_hub
from mlflow import MlflowClient
from preset_hub import ALL_NLI, DEPTH, NEEDED, STSB, filled_hub, named, write_sts, write_sts_file

from pipelines.flows.full import run_full
from pipelines.inputs.load import load_inputs
from sbert_prune.errors import SbertPruneError
from sbert_prune.recipe.files import load_recipe, presets
from tests.in_process import call
from tests.stores import STORE, copy_store, made_once, migrate, tags_of

ROOT = Path(__file__).parents[2]
LANGUAGES = {"marathi": "mr", "hindi": "hi", "tamil": "ta", "telugu": "te"}
SHORT = {
    "nli.max_rows": "48",
    "sts.max_rows": "48",
    "sts.epochs": "1",
    "max_seq_length": "16",
    "robustness": "10",
    "precision": "float32",
    "layers": "2",
}


@pytest.fixture
def hub(tmp_path):
    with filled_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
def empty_folder(hub, tmp_path, monkeypatch):
    """Return the empty working folder of this process, which uses the hub."""
    use_hub(monkeypatch, hub)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def use_store(patch, folder, factory):
    """Put an empty store into the folder, and use it in this process."""
    copy_store(made_once(factory, "store", migrate), folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / STORE}")
    patch.setattr(
        "mlflow.tracking._tracking_service.utils._tracking_uri", None
    )  # commands that ran in this process have set another one


def preset_data(preset, folder):
    """Return the data settings that a preset leaves to the user: a folder, a file, or data sets of the hub."""
    language = LANGUAGES.get(preset.partition("-")[0])
    if preset.startswith("minilm"):
        return {"nli.data": f"{ALL_NLI}:pair-class", "sts.data": STSB}
    if preset == "telugu":
        return {"sts.data": str(write_sts_file(folder / "pairs.csv", language))}
    return {"sts.data": str(write_sts(folder / "sts", language))} if language else {}


def on_hub(recipe):
    """Return the settings that name models and data on the hub, by use."""
    settings = {"base": recipe.base_model, "nli": recipe.nli.data, "sts": recipe.sts.data}
    return {use: setting for use, setting in settings.items() if "/" in setting and not Path(setting).is_absolute()}


def place_of(hub, setting):
    """Return the name of a data set in records, with the commit of its revision."""
    return f"{setting.partition('@')[0]}@{hub.commit('dataset', *named(setting))}"


def describe_inputs(recipe):
    """Return what must be equal whether the inputs come from the hub or from the cache."""
    inputs = load_inputs(recipe)
    rows = {use: (rows.source, len(rows), rows.digest) for use, rows in inputs.splits.items()}
    base = inputs.pruning.base
    return {"base": (base.uri, base.revision, base.checkpoint.depth), "rows": rows, "key": inputs.reference_key(recipe)}


@pytest.mark.parametrize("preset", presets())
def test_a_preset_finds_what_it_needs_at_its_commits_also_without_a_network(hub, empty_folder, monkeypatch, preset):
    recipe = load_recipe(preset, preset_data(preset, empty_folder))

    online = describe_inputs(recipe)
    fetched = hub.fetched
    hub.stop()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = describe_inputs(recipe)

    settings = on_hub(recipe).values()
    assert sorted(fetched) == sorted(
        f"{named(setting)[0]}/{file}" for setting in settings for file in NEEDED[setting.partition("@")[0]]
    )
    assert offline == online
    check_commits(hub, recipe, online)


def check_commits(hub, recipe, inputs):
    """Check that base and data name the commits of their revisions, and that nothing else asked the hub."""
    settings = on_hub(recipe)
    assert settings or hub.requests == []
    if setting := settings.pop("base", None):
        assert inputs["base"] == (named(setting)[0], hub.commit("model", *named(setting)), DEPTH)
    for use, setting in settings.items():
        sources = {split: source for split, (source, *_) in inputs["rows"].items() if split.startswith(use)}
        assert sources == {split: f"{place_of(hub, setting)} {split.removeprefix(f'{use} ')}" for split in sources}
        assert sources


@pytest.mark.parametrize("preset", ["marathi-muril", "english"])
def test_the_commands_that_are_told_without_a_network_prepare_the_cache(hub, empty_folder, monkeypatch, preset):
    recipe = load_recipe(preset, preset_data(preset, empty_folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    for _ in on_hub(recipe):
        with pytest.raises(SbertPruneError) as caught:
            load_inputs(recipe)
        _, *arguments = shlex.split(str(caught.value).rpartition("or run: ")[2])
        subprocess.run([Path(sys.executable).with_name("hf"), *arguments], env=hub.env, check=True, capture_output=True)
    hub.stop()
    from_prepared = describe_inputs(recipe)

    assert from_prepared["base"][1] == hub.commit("model", *named(recipe.base_model))
    with filled_hub(empty_folder / "another") as another:
        use_hub(monkeypatch, another)
        assert describe_inputs(recipe) == from_prepared


def check_lineage(hub, recipe, version):
    """Check that pruning.json, tags and run of a version name base and data with their commits; return pruning.json."""
    client = MlflowClient()
    tags = tags_of(client, recipe.registered_model, version)
    artifacts = mlflow.artifacts.download_artifacts(f"models:/{recipe.registered_model}/{version}")
    lineage = json.loads(Path(artifacts, "model.sentence_transformer", "pruning.json").read_text())
    settings = on_hub(recipe)
    base = (named(settings["base"])[0], hub.commit("model", *named(settings["base"])))
    sources = {use: place_of(hub, setting) if use in settings else setting for use, setting in data_of(recipe).items()}

    assert (
        (tags["sbert_prune.base"], tags["sbert_prune.base_revision"])
        == (lineage["base"]["id"], lineage["base"]["revision"])
        == base
    )
    trained = {change["phase"]: change["data"]["source"] for change in lineage["chain"] if change["kind"] == "train"}
    assert trained["nli"] == f"{sources['nli']} train"
    assert trained["sts"].startswith(sources["sts"])
    assert all(sources["nli"] in source for phase, source in trained.items() if phase != "sts")
    assert all(sources["nli"] in change["corpus"]["source"] for change in lineage["chain"] if change["kind"] == "trim")
    inputs = client.get_run(tags["sbert_prune.parent_run_id"]).inputs.dataset_inputs
    uris = [json.loads(entry.dataset.source)["uri"] for entry in inputs]
    assert len(uris) == 4  # nli train; sts train, dev and test
    assert all(uri.startswith(tuple(sources.values())) for uri in uris)
    return lineage


def data_of(recipe):
    return {"nli": recipe.nli.data, "sts": recipe.sts.data}


def test_a_preset_is_run_to_its_end_from_the_cache_alone(tmp_path, monkeypatch, tmp_path_factory):
    with filled_hub(tmp_path, depth=4) as hub:
        use_hub(monkeypatch, hub)
        monkeypatch.chdir(tmp_path)
        use_store(monkeypatch, tmp_path, tmp_path_factory)
        whole = load_recipe("english", SHORT | {"layers": "4"})
        load_inputs(whole)
        hub.stop()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")

        run_full(whole)

        assert check_lineage(hub, whole, "1")["kept_layers"] == [0, 1, 2, 3]


class PresetRun:
    """A preset that is run by a command of a user."""

    def __init__(self, preset, folder, hub):
        settings = preset_data(preset, folder) | SHORT
        self.hub, self.recipe, self.folder = hub, load_recipe(preset, settings), folder
        parameters = [
            part
            for name, value in settings.items()
            for part in (f"--{name.replace('.', '-').replace('_', '-')}", value)
        ]
        self.arguments = ["full", "--recipe", preset, *parameters]
        self.store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / STORE}"}

    def run(self, **environment):
        return call(self.folder, *self.arguments, **self.store, **environment)

    def run_in_a_process(self):
        env = self.hub.env | {"PYTHONPATH": str(ROOT)} | self.store
        command = [sys.executable, "-m", "pipelines", *self.arguments]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def check_requests(self):
        """Check that all models and data of the recipe were requested, and no others, as Transformers might."""
        asked = {named(setting)[0] for setting in on_hub(self.recipe).values()}
        assert {name for name in asked for request in self.hub.requests if name in request.what} == asked
        assert all(any(name in request.what for name in asked) for request in self.hub.requests)


@pytest.fixture(scope="module")
def resolved_hosts():
    """Return the names of the hosts that this process has resolved."""
    hosts = set()
    resolve = socket.getaddrinfo

    def recording(host, *arguments, **named):
        hosts.add(host)
        return resolve(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", recording)
        yield hosts


@pytest.fixture(scope="module", params=["marathi-muril-paper", "marathi", "english-paper", "tamil-paper"])
def preset_run(request, tmp_path_factory, resolved_hosts):
    folder = tmp_path_factory.mktemp(request.param)
    with filled_hub(folder, depth=4) as hub, pytest.MonkeyPatch.context() as patch:
        use_store(patch, folder, tmp_path_factory)
        use_hub(patch, hub)
        preset_run = PresetRun(request.param, folder, hub)
        preset_run.first = preset_run.run()
        yield preset_run


@pytest.mark.slow
def test_full_registers_a_variant_whose_lineage_names_base_and_data_with_their_commits(preset_run, resolved_hosts):
    assert preset_run.first.exit_code == 0, preset_run.first.output
    assert f"models:/{preset_run.recipe.registered_model}/2" in preset_run.first.stdout

    lineage = check_lineage(preset_run.hub, preset_run.recipe, "2")

    assert len(lineage["kept_layers"]) == 2
    trims = [change for change in lineage["chain"] if change["kind"] == "trim"]
    assert bool(trims) is preset_run.recipe.vocabulary_limit.trims
    assert all(trim["pieces"] < trim["pieces_before"] for trim in trims)
    warnings = [line for line in preset_run.first.stdout.splitlines() if line.startswith("warning:")]
    assert [line for line in warnings if "other programs" not in line] == []  # the tokenizer fits, vowel signs and all
    preset_run.check_requests()
    assert resolved_hosts == {"127.0.0.1"}


@pytest.mark.slow
def test_the_same_command_without_a_network_reuses_what_it_made(preset_run):
    preset_run.hub.stop()

    again = preset_run.run(HF_HUB_OFFLINE="1")

    assert again.exit_code == 0, again.output
    assert f"reference: version 1 of {preset_run.recipe.registered_model} is reused" in again.stdout
    assert f"variant: version 2 of {preset_run.recipe.registered_model} is the same, and is reused" in again.stdout
    versions = MlflowClient().search_model_versions(f"name='{preset_run.recipe.registered_model}'")
    assert sorted(str(version.version) for version in versions) == ["1", "2"]
    check_lineage(preset_run.hub, preset_run.recipe, "2")


@pytest.mark.slow
def test_a_process_of_its_own_takes_all_from_the_hub_that_its_environment_names(
    tmp_path, monkeypatch, tmp_path_factory
):
    with filled_hub(tmp_path, depth=4) as hub:
        use_store(monkeypatch, tmp_path, tmp_path_factory)
        preset_run = PresetRun("marathi", tmp_path, hub)

        done = preset_run.run_in_a_process()

        assert done.returncode == 0, done.stderr
        assert f"models:/{preset_run.recipe.registered_model}/2" in done.stdout
        preset_run.check_requests()
        check_lineage(hub, preset_run.recipe, "2")
