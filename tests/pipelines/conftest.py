"""A small project for whole commands: a base of three layers, a few rows, a store of its own."""

import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from pipelines.flows.full import run_full
from sbert_prune.data.quickstart.generator import generate_nli, generate_sts
from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import Recipe
from tests.quick import be_quick
from tests.small_base import save_small_base
from tests.stores import STORE, copy_store, made_once, migrate

RECIPE = "quickstart-paper"
"""The two phases alone, without a teacher: the quickest."""


@dataclass(frozen=True)
class Project:
    """A folder with a base, data files and an MLflow store."""

    folder: Path

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def nli(self) -> Path:
        return self.folder / "nli.tsv"

    @property
    def sts(self) -> Path:
        return self.folder / "sts"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / STORE}"

    @property
    def given(self) -> tuple[str, ...]:
        """The recipe, the base and the data as options of a command."""
        return ("--recipe", RECIPE, "--base-model", str(self.base), *self.data)

    @property
    def data(self) -> tuple[str, ...]:
        return ("--nli-data", str(self.nli), "--sts-data", str(self.sts))

    def recipe(self, **overrides: str) -> Recipe:
        settings = {
            "base_model": str(self.base),
            "nli.data": str(self.nli),
            "sts.data": str(self.sts),
            "sts.epochs": "1",
            "layers": "2",
            "robustness": "20",
            "precision": "float32",
            "registered_model": "sbert-small",
        }
        return load_recipe(RECIPE, settings | {key.replace("__", "."): value for key, value in overrides.items()})

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Use this folder and store."""
        patch.setenv("MLFLOW_TRACKING_URI", self.uri)
        patch.chdir(self.folder)


@pytest.fixture(autouse=True, scope="module")
def _quick():
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        yield


def write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *rows])


def fill_project(folder: Path, *, depth: int = 3) -> None:
    """Write a base, data and an empty migrated store."""
    save_small_base(folder / "base", depth=depth)
    (folder / "sts").mkdir()
    nli_rows = [(row.premise, row.hypothesis, row.label.value) for row in generate_nli("train", num_scenes=60)]
    write_rows(folder / "nli.tsv", ("premise", "hypothesis", "label"), nli_rows)
    for split, count in (("train", 96), ("dev", 60), ("test", 60)):
        pairs = [
            (row.sentence1, row.sentence2, round(row.score * 5, 2)) for row in generate_sts(split, num_pairs=count)
        ]
        write_rows(folder / "sts" / f"{split}.csv", ("sentence1", "sentence2", "score"), pairs)
    migrate(folder)


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory):
    """A function that makes a project in a folder: make_project(folder, store=False) leaves the store out."""
    return partial(copy_project, made_once(tmp_path_factory, "project", fill_project))


def fill_with_variant(project: Path, folder: Path) -> None:
    """Copy a project, and run its recipe: version 1 is the reference, version 2 the variant of two layers."""
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        made = copy_project(project, folder)
        made.use(patch)
        run_full(made.recipe())


@pytest.fixture(scope="session")
def make_variant(tmp_path_factory: pytest.TempPathFactory):
    """A function that makes a project in a folder, with the two versions of its recipe."""
    project = made_once(tmp_path_factory, "project", fill_project)
    return partial(copy_project, made_once(tmp_path_factory, "variant", partial(fill_with_variant, project)))


def copy_project(made: Path, folder: Path, *, store: bool = True) -> Project:
    copy_store(made, folder)
    if not store:
        (folder / STORE).unlink()
    return Project(folder)


@pytest.fixture
def project(make_project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = make_project(tmp_path)
    made.use(monkeypatch)
    return made


@pytest.fixture
def untouched(make_project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose store does not exist yet."""
    made = make_project(tmp_path, store=False)
    made.use(monkeypatch)
    return made


@pytest.fixture
def store_with(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """A function that copies a store, which `fill` fills once for a test run, and returns its URI."""

    def make(fill: Callable[[], object], folder: Path) -> None:
        migrate(folder)
        with pytest.MonkeyPatch.context() as patch:
            Project(folder).use(patch)
            fill()

    def copy(name: str, fill: Callable[[], object]) -> str:
        copy_store(made_once(tmp_path_factory, name, partial(make, fill)), tmp_path)
        made = Project(tmp_path)
        made.use(monkeypatch)
        return made.uri

    return copy


@pytest.fixture
def uri(store_with) -> str:
    """The URI of an empty store, alone in its folder."""
    return store_with("store", lambda: None)


@pytest.fixture
def everybodys():
    """A folder that all users may enter and write to; pytest's own belong to root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)
