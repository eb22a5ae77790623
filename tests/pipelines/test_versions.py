"""The versions of a registered model are found by name and by tags, all or the newest few."""

from dataclasses import replace

import pytest

from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import TAGS_CHECKSUM, Version
from sbert_prune.tracking.store import connect
from tests.pipelines import made_versions
from tests.pipelines.made_versions import NAME, add_version


@pytest.fixture
def store(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a b", "\u00fc.x-y"])
def test_names_of_any_letters_are_found_again(store, monkeypatch, name):
    monkeypatch.setattr(made_versions, "NAME", name)
    add_version(noise=0.1, size=1)

    assert numbers(registry.versions(store, name)) == ["1"]
    assert registry.find_tagged(store, name, "role", "variant").name == name


@pytest.mark.parametrize("value", [1234567.8, 0.1 + 0.2, 22_713_216.0, 1e-9, 123_456_789.5])
def test_a_checksum_matches_the_version_read_from_the_registry(store, value):
    add_version(noise=0.1, size=value)

    (version,) = registry.versions(store, NAME)

    assert version.tags[TAGS_CHECKSUM] == registry.tags_checksum(version)
    assert registry.tags_checksum(version) != registry.tags_checksum(
        replace(version, metrics=version.metrics | {"size/disk_mb": 2 * value})
    )
