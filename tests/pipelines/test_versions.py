"""The versions of a registered model are found by name and by tags, all or the newest few."""

import json
import re
from dataclasses import replace

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from sbert_prune.errors import TrackingError
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import RECORD, TAGS_CHECKSUM, Version, pack_tags, unpack_tags
from sbert_prune.report.descriptions import catalogue
from sbert_prune.tracking.store import connect
from tests.pipelines import made_versions
from tests.pipelines.made_versions import NAME, add_version, call

LINKED = "mlflow.modelVersions"


@pytest.fixture
def store(uri):
    return connect()


def numbers(versions: list[Version]) -> list[str]:
    return [version.version for version in versions]


def test_all_the_newest_and_those_with_every_tag(store):
    for recipe, role in (("r", "reference"), ("r", "variant"), ("s", "reference"), ("r", "reference")):
        add_version(noise=0.1, size=1, recipe=recipe, role=role)

    assert numbers(registry.versions(store, NAME)) == ["1", "2", "3", "4"]
    assert numbers(registry.versions(store, NAME, newest=2)) == ["3", "4"]
    assert numbers(registry.versions(store, NAME, tagged={"role": "reference", "reference_key": "r"})) == ["1", "4"]
    assert numbers(registry.versions(store, NAME, tagged={"role": "reference"}, newest=2)) == ["3", "4"]
    assert registry.versions(store, NAME, tagged={"role": "nobody"}) == registry.versions(store, "another") == []
    assert registry.find_tagged(store, NAME, "reference_key", "r").version == "4"


def test_a_models_page_shows_it_as_registered_as_mlflows_server_would(store):
    number = add_version(noise=0.1, size=1)
    (version,) = registry.versions(store, NAME)
    model_id = version.tags["model_id"]

    ours = store.client.get_logged_model(model_id).tags
    SqlAlchemyStore(store.uri, "mlruns").set_model_versions_tags(NAME, number, model_id)

    assert store.client.get_logged_model(model_id).tags == ours
    again = registry.register(store, replace(version, version=""), model_id)
    linked = json.loads(store.client.get_logged_model(model_id).tags[LINKED])
    assert linked == [{"name": NAME, "version": number}, {"name": NAME, "version": again.version}]


def test_verify_with_repair_shows_the_models_of_an_older_store_as_registered(store):
    add_version(noise=0.1, size=1)
    model_id = registry.versions(store, NAME)[0].tags["model_id"]
    store.client.delete_logged_model_tag(model_id, LINKED)

    outputs = [call("verify", "--repair", "true").output for _ in range(2)]

    assert "1 of its models are shown as registered" in outputs[0]
    assert "shown as registered" not in outputs[1]
    assert LINKED in store.client.get_logged_model(model_id).tags


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a b", "\u00fc.x-y"])
def test_names_of_any_letters_are_found_again(store, monkeypatch, name):
    monkeypatch.setattr(made_versions, "NAME", name)
    add_version(noise=0.1, size=1)

    assert numbers(registry.versions(store, name)) == ["1"]
    assert registry.find_tagged(store, name, "role", "variant").name == name


def test_a_version_shows_few_tags_and_its_record_has_the_others(store):
    number = add_version(noise=0.1, size=1, **{f"mteb/{task}": 0.5 for task in range(60)})
    (version,) = registry.versions(store, NAME)

    registry.update(store, version, {"mteb/1": 0.75, "size/disk_mb": 2.0}, {"sts_test_digest": "new"})

    stored = store.client.get_model_version(NAME, number).tags
    (updated,) = registry.versions(store, NAME)
    assert (stored["size/disk_mb"], len(stored) <= 25, "mteb/1" in stored) == ("2", True, False)
    assert json.loads(stored[RECORD]).items() >= {"mteb/1": "0.75", "sbert_prune.sts_test_digest": "new"}.items()
    assert updated.metrics == version.metrics | {"mteb/1": 0.75, "size/disk_mb": 2}
    assert updated.tags[TAGS_CHECKSUM] == registry.tags_checksum(updated)


@pytest.mark.parametrize("number", [0, 10, 5_000])
def test_a_record_that_would_be_too_long_leaves_the_rest_as_tags(number):
    values = {"sbert_prune.role": "variant"} | {f"mteb/{task}": "0.123456" for task in range(number)}

    packed = pack_tags(values)

    assert unpack_tags(packed) == values
    assert max(map(len, packed.values())) <= 100_000
    assert len(packed) == 2 or number == 5_000


@pytest.mark.parametrize("value", [1234567.8, 0.1 + 0.2, 22_713_216.0, 1e-9, 123_456_789.5])
def test_a_checksum_matches_the_version_read_from_the_registry(store, value):
    add_version(noise=0.1, size=value)

    (version,) = registry.versions(store, NAME)

    assert version.tags[TAGS_CHECKSUM] == registry.tags_checksum(version)
    assert registry.tags_checksum(version) != registry.tags_checksum(
        replace(version, metrics=version.metrics | {"size/disk_mb": 2 * value})
    )


def test_the_name_of_a_prompt_is_refused_before_training(store):
    """MLflow keeps prompts among the registered models, and would add a version to it."""
    store.client.register_prompt(NAME, "Say {{x}}")

    with pytest.raises(TrackingError, match=f"registered_model={NAME} is a prompt .* Give another name"):
        registry.check_may_register(store, NAME)

    registry.check_may_register(store, "another")


def test_the_description_begins_with_what_is_used_and_what_is_good_and_folds_trials():
    def version(number: int, role: str, dev: float, size: float, **tags: str) -> Version:
        known = {"role": role, "reference_key": "r", "kept_layers": "0", "depth": "3", "nli_digest": "x", **tags}
        return Version("m", str(number), "", "None", known, {"sts_dev/spearman_cosine": dev, "size/disk_mb": size})

    trials = [version(number, "trial", number / 10, 1, study="s") for number in (6, 7)]
    variants = [version(1, "reference", 0.8, 12), version(2, "variant", 0.7, 3), version(3, "variant", 0.795, 6)]
    variants += [version(4, "variant", 0.81, 5), version(5, "variant", 0.75, 4, bytes="let go")]

    text = catalogue("m", [*variants, *trials], {"champion": "3"})

    assert re.findall(r"^\| \[(\d)\]", text, re.MULTILINE) == ["3", "1", "4", "5", "2"]
    assert "(champion) | 0 of 3 | - | nli | 6.0 MB" in text
    assert "[5](#/models/m/versions/5) (no files)" in text
    assert "- 2 trials of search `s`, dev 0.6000 to 0.7000" in text
