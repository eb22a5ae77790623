"""Every preset finds what it names on a hub, in small, and without a network in the cache; some are run to their end."""

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
from tests.stores import STORE, copy_store, made_once, migrate

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
def here(hub, tmp_path, monkeypatch):
    """This process uses the hub, in an empty folder."""
    use_hub(monkeypatch, hub)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def use_store(patch, folder, factory):
    """Put a store that holds nothing into the folder, and let this process use it."""
    copy_store(made_once(factory, "store", migrate), folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / STORE}")
    patch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)  # commands that ran in this process have set another one


def given(preset, folder):
    """What a preset leaves to the user, as its hint says: a folder of splits, one file, or data sets of the hub."""
    language = LANGUAGES.get(preset.partition("-")[0])
    if preset.startswith("minilm"):
        return {"nli.data": f"{ALL_NLI}:pair-class", "sts.data": STSB}
    if preset == "telugu":
        return {"sts.data": str(write_sts_file(folder / "pairs.csv", language))}
    return {"sts.data": str(write_sts(folder / "sts", language))} if language else {}


def on_hub(recipe):
    """The settings that name something on the hub, by what they are for."""
    settings = {"base": recipe.base_model, "nli": recipe.nli.data, "sts": recipe.sts.data}
    return {use: setting for use, setting in settings.items() if "/" in setting and not Path(setting).is_absolute()}


def place_of(hub, setting):
    """What the record calls a data set: with the commit that its revision stands for."""
    return f"{setting.partition('@')[0]}@{hub.commit('dataset', *named(setting))}"


def understood(recipe):
    """All of what was found that must not depend on whether it came from the hub or from the cache."""
    inputs = load_inputs(recipe)
    rows = {use: (rows.source, len(rows), rows.digest) for use, rows in inputs.splits.items()}
    base = inputs.pruning.base
    return {"base": (base.uri, base.revision, base.checkpoint.depth), "rows": rows, "key": inputs.reference_key(recipe)}


@pytest.mark.parametrize("preset", presets())
def test_a_preset_fetches_what_it_needs_and_finds_it_again_without_a_network(hub, here, monkeypatch, preset):
    recipe = load_recipe(preset, given(preset, here))

    online = understood(recipe)
    fetched = hub.fetched
    hub.stop()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = understood(recipe)

    settings = on_hub(recipe).values()
    assert sorted(fetched) == sorted(f"{named(setting)[0]}/{file}" for setting in settings for file in NEEDED[setting.partition("@")[0]])
    assert offline == online


@pytest.mark.parametrize("preset", [preset for preset in presets() if not preset.startswith("quickstart")])
def test_a_preset_knows_the_commits_of_what_it_found(hub, here, preset):
    recipe = load_recipe(preset, given(preset, here))
    settings = on_hub(recipe)

    found = understood(recipe)

    if setting := settings.pop("base", None):
        assert found["base"] == (named(setting)[0], hub.commit("model", *named(setting)), DEPTH)
    for use, setting in settings.items():
        sources = {split: source for split, (source, *_) in found["rows"].items() if split.startswith(use)}
        assert sources == {split: f"{place_of(hub, setting)} {split.removeprefix(f'{use} ')}" for split in sources}
        assert sources


def test_the_quickstart_asks_no_hub(hub, here):
    understood(load_recipe("quickstart"))

    assert hub.requests == []


@pytest.mark.parametrize("preset", ["marathi-muril", "hindi", "english"])
def test_the_commands_that_are_told_without_a_network_prepare_the_cache(hub, here, monkeypatch, preset):
    recipe = load_recipe(preset, given(preset, here))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    for _ in on_hub(recipe):
        with pytest.raises(SbertPruneError) as caught:
            load_inputs(recipe)
        _, *told = shlex.split(str(caught.value).rpartition("or run: ")[2])
        subprocess.run([Path(sys.executable).with_name("hf"), *told], env=hub.env, check=True, capture_output=True)
    hub.stop()
    from_prepared = understood(recipe)

    assert from_prepared["base"][1] == hub.commit("model", *named(recipe.base_model))
    with filled_hub(here / "another") as another:
        use_hub(monkeypatch, another)
        assert understood(recipe) == from_prepared


def check_lineage(hub, recipe, version):
    """pruning.json of a version, its tags, and the record of its run name the base and the data with their commits; the first."""
    client = MlflowClient()
    tags = client.get_model_version(recipe.registered_model, version).tags
    artifacts = mlflow.artifacts.download_artifacts(f"models:/{recipe.registered_model}/{version}")
    lineage = json.loads(Path(artifacts, "model.sentence_transformer", "pruning.json").read_text())
    settings = on_hub(recipe)
    base = (named(settings["base"])[0], hub.commit("model", *named(settings["base"])))
    sources = {use: place_of(hub, setting) if use in settings else setting for use, setting in data_of(recipe).items()}

    assert (tags["sbert_prune.base"], tags["sbert_prune.base_revision"]) == (lineage["base"]["id"], lineage["base"]["revision"]) == base
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


def test_a_preset_is_run_to_its_end_from_the_cache_alone(hub, here, monkeypatch, tmp_path_factory):
    use_store(monkeypatch, here, tmp_path_factory)
    whole = load_recipe("english", SHORT | {"layers": str(DEPTH)})
    load_inputs(whole)
    hub.stop()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    run_full(whole)

    lineage = check_lineage(hub, whole, "1")
    assert lineage["kept_layers"] == list(range(DEPTH))


class Made:
    """A preset, run to its end by a command as a user gives it."""

    def __init__(self, preset, folder, hub):
        settings = given(preset, folder) | SHORT
        self.hub, self.recipe, self.folder = hub, load_recipe(preset, settings), folder
        parameters = [part for name, value in settings.items() for part in (f"--{name.replace('.', '-').replace('_', '-')}", value)]
        self.arguments = ["full", "--recipe", preset, *parameters]
        self.store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / STORE}"}

    def run(self, **environment):
        return call(self.folder, *self.arguments, **self.store, **environment)

    def run_in_a_process(self):
        env = self.hub.env | {"PYTHONPATH": str(ROOT)} | self.store
        command = [sys.executable, "-m", "pipelines", *self.arguments]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def check_requests(self):
        """The hub was asked for what the recipe names, and for no other model or data set, as Transformers might."""
        asked = {named(setting)[0] for setting in on_hub(self.recipe).values()}
        assert {name for name in asked for request in self.hub.requests if name in request.what} == asked
        assert all(any(name in request.what for name in asked) for request in self.hub.requests)


@pytest.fixture(scope="module")
def asked_hosts():
    """The names of the hosts that this process has looked up."""
    hosts = set()
    look_up = socket.getaddrinfo

    def noted(host, *arguments, **named):
        hosts.add(host)
        return look_up(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", noted)
        yield hosts


@pytest.fixture(scope="module", params=["marathi-muril", "marathi-modern", "english", "tamil"])
def made(request, tmp_path_factory, asked_hosts):
    folder = tmp_path_factory.mktemp(request.param)
    with filled_hub(folder, depth=4) as hub, pytest.MonkeyPatch.context() as patch:
        use_store(patch, folder, tmp_path_factory)
        use_hub(patch, hub)
        made = Made(request.param, folder, hub)
        made.first = made.run()
        yield made


@pytest.mark.slow
def test_full_registers_a_variant_whose_lineage_names_base_and_data_with_their_commits(made, asked_hosts):
    assert made.first.exit_code == 0, made.first.output
    assert f"models:/{made.recipe.registered_model}/2" in made.first.stdout

    lineage = check_lineage(made.hub, made.recipe, "2")

    assert len(lineage["kept_layers"]) == 2
    trims = [change for change in lineage["chain"] if change["kind"] == "trim"]
    assert bool(trims) is made.recipe.vocabulary_limit.trims
    assert all(trim["pieces"] < trim["pieces_before"] for trim in trims)
    assert "warning:" not in made.first.stdout  # the tokenizer fits, vowel signs and all
    made.check_requests()
    assert asked_hosts == {"127.0.0.1"}


@pytest.mark.slow
def test_the_same_command_without_a_network_reuses_what_it_made(made):
    made.hub.stop()

    again = made.run(HF_HUB_OFFLINE="1")

    assert again.exit_code == 0, again.output
    assert f"reference: version 1 of {made.recipe.registered_model} is reused" in again.stdout
    assert f"variant: version 2 of {made.recipe.registered_model} is the same, and is reused" in again.stdout
    versions = MlflowClient().search_model_versions(f"name='{made.recipe.registered_model}'")
    assert sorted(str(version.version) for version in versions) == ["1", "2"]
    check_lineage(made.hub, made.recipe, "2")


@pytest.mark.slow
def test_a_process_of_its_own_takes_all_from_the_hub_that_its_environment_names(tmp_path, monkeypatch, tmp_path_factory):
    with filled_hub(tmp_path, depth=4) as hub:
        use_store(monkeypatch, tmp_path, tmp_path_factory)
        made = Made("marathi-modern", tmp_path, hub)

        done = made.run_in_a_process()

        assert done.returncode == 0, done.stderr
        assert f"models:/{made.recipe.registered_model}/2" in done.stdout
        made.check_requests()
        check_lineage(hub, made.recipe, "2")
