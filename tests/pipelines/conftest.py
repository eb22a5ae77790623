"""A small project that is run for real: the embedded base, a handful of rows, a store of its own."""

import csv
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.quickstart.generator import generate_nli, generate_sts
from sbert_prune.recipe import Recipe
from sbert_prune.recipe_files import load_recipe


@dataclass(frozen=True)
class Project:
    """A folder with data files and an MLflow store."""

    folder: Path
    nli: Path
    sts: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def recipe(self, **overrides: str) -> Recipe:
        given = {
            "nli.data": str(self.nli),
            "sts.data": str(self.sts),
            "sts.epochs": "1",
            "layers": "2",
            "precision": "float32",
            "registered_model": "sbert-small",
        }
        return load_recipe("quickstart", given | {key.replace("__", "."): value for key, value in overrides.items()})


@pytest.fixture(autouse=True, scope="session")
def _quick_speed():
    """Speed is measured here by the fewest calls that it takes: no test asks how fast a model is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.judging.measure_speed", partial(measure_speed, budget_s=0.1))
        yield


def write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *rows])


def make_project(folder: Path) -> Project:
    sts = folder / "sts"
    sts.mkdir(parents=True)
    nli_rows = [(row.premise, row.hypothesis, row.label.value) for row in generate_nli("train", num_scenes=60)]
    write_rows(folder / "nli.tsv", ("premise", "hypothesis", "label"), nli_rows)
    for split, count in (("train", 96), ("dev", 60), ("test", 60)):
        pairs = [(row.sentence1, row.sentence2, round(row.score * 5, 2)) for row in generate_sts(split, num_pairs=count)]
        write_rows(sts / f"{split}.csv", ("sentence1", "sentence2", "score"), pairs)
    return Project(folder, folder / "nli.tsv", sts)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = make_project(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that is not there yet, in an empty folder."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    return uri


@pytest.fixture
def everybodys():
    """A folder that all users may enter and write to; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)
