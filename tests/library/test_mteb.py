"""Tasks of mteb give the scores of mteb; what cannot be judged is refused before anything else is done."""

import io
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import datasets
import numpy as np
import pytest

from pipelines.inputs.exam import check_mteb
from sbert_prune.errors import DataError, HubError, RecipeError
from sbert_prune.evaluation.correlation import spearman
from sbert_prune.models.sentence import embed
from sbert_prune.recipe.files import load_recipe

ROOT = Path(__file__).parents[2]
TASK = """
from datasets import Dataset, DatasetDict
from mteb import TaskMetadata
from mteb.abstasks.sts import AbsTaskSTS

PAIRS = {pairs!r}


class {name}(AbsTaskSTS):
    metadata = TaskMetadata(
        name="{name}", description="Pairs of a few words.", type="STS", category="t2t", modalities={modalities!r},
        dataset={{"path": "nobody/nothing", "revision": "1"}}, eval_splits=["test"], eval_langs={languages!r},
        main_score="cosine_spearman",
    )

    def load_data(self, **_):
        self.dataset = {{
            part: DatasetDict(
                test=Dataset.from_dict(dict(zip(("sentence1", "sentence2", "score"), zip(*rows), strict=True)))
            )
            for part, rows in PAIRS.items()
        }}
        if list(PAIRS) == ["default"]:
            self.dataset = self.dataset["default"]
        self.data_loaded = True
"""

needs_mteb = pytest.mark.skipif(find_spec("mteb") is None, reason="mteb is not installed")


@pytest.fixture
def pairs(sentences):
    """Pairs with scores from 0 to 5 that have nothing to do with what a random encoder thinks."""
    scores = np.random.default_rng(3).uniform(0, 5, len(sentences))
    return [
        (left, right, float(score))
        for left, right, score in zip(sentences, sentences[7:] + sentences[:7], scores, strict=True)
    ]


@pytest.fixture
def task_file(tmp_path):
    """A function that writes a user's own task and says how a recipe names it."""

    def write(parts, *, name="FewWords", modalities=("text",)):
        languages = {part: ["eng-Latn"] for part in parts} if list(parts) != ["default"] else ["eng-Latn"]
        path = tmp_path / "my_tasks.py"
        path.write_text(TASK.format(pairs=parts, name=name, modalities=list(modalities), languages=languages))
        return f"{path}:{name}"

    return write


def our_spearman(model, pairs):
    left, right, scores = zip(*pairs, strict=True)
    ours = [
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (embed(model, left), embed(model, right))
    ]
    return float(spearman((ours[0].astype(float) * ours[1]).sum(axis=1)[None], np.array(scores)[None])[0])


def run(model, tasks, scratch):
    from sbert_prune.evaluation.mteb import run_tasks

    return run_tasks(model, tasks, scratch)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@needs_mteb
def test_a_task_of_ones_own_has_the_score_that_we_find_ourselves(tmp_path, tiny_model, pairs, task_file):
    model = tiny_model()

    found = run(model, [task_file({"default": pairs})], tmp_path / "scratch")

    assert found.values == {"mteb/FewWords": pytest.approx(our_spearman(model, pairs), abs=1e-6)}
    assert found.notes == ()
    assert files_in(tmp_path / "scratch") == ["FewWords.json"]


@needs_mteb
def test_a_task_in_several_languages_has_their_mean(tmp_path, tiny_model, pairs, task_file):
    model, parts = tiny_model(), {"one": pairs[:12], "other": pairs[12:]}

    found = run(model, [task_file(parts)], tmp_path / "scratch")

    expected = np.mean([our_spearman(model, part) for part in parts.values()])
    assert found.metrics() == {"mteb/FewWords": pytest.approx(expected, abs=1e-6)}


@needs_mteb
def test_a_score_that_is_no_number_is_a_note_and_no_metric(tmp_path, tiny_model, pairs, task_file):
    equal = [(left, right, 2.0) for left, right, _ in pairs]

    found = run(tiny_model(), [task_file({"default": equal})], tmp_path / "scratch")

    assert found.values == {}
    assert found.notes == ("mteb/FewWords is nan: cosine_spearman has no value for this model on these data",)


@needs_mteb
def test_a_known_task_is_fetched_from_the_hub_and_kept_for_when_it_is_out_of_reach(
    tmp_path, monkeypatch, hub, tiny_model, pairs
):
    import mteb

    asked = mteb.get_task("STS12").metadata.dataset
    rows = io.StringIO()
    rows.write("sentence1,sentence2,score\n" + "".join(f"{left},{right},{score}\n" for left, right, score in pairs))
    hub.add_dataset(asked["path"], {"test.csv": rows.getvalue().encode()}, revision=asked["revision"])
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    model = tiny_model()

    first = run(model, ["STS12"], tmp_path / "scratch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = run(model, ["STS12"], tmp_path / "scratch")

    assert first.values == again.values == {"mteb/STS12": pytest.approx(our_spearman(model, pairs), abs=1e-6)}


@needs_mteb
def test_data_out_of_reach_are_reported_with_the_task(tmp_path, monkeypatch, hub, tiny_model):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError) as caught:
        check_mteb(load_recipe("quickstart", {"mteb": "STS12"}))

    assert str(caught.value).startswith(
        "mteb=STS12: mteb fetches the data of its tasks from the hub, and they are not available. http://127.0.0.1:9"
    )
    assert "Check the network, and HF_ENDPOINT" in str(caught.value)
    assert str(caught.value).endswith("Or leave the task out.")
    with pytest.raises(HubError, match="mteb=STS12"):
        run(tiny_model(), ["STS12"], tmp_path / "scratch")


@needs_mteb
def test_a_loader_that_fails_is_reported_with_the_task(tmp_path, tiny_model, pairs, task_file):
    own = task_file({"default": pairs})
    file = Path(own.rpartition(":")[0])
    file.write_text(file.read_text().replace("self.data_loaded = True", "raise OSError('the disk is gone')"))

    with pytest.raises(DataError, match=r"mteb=FewWords: the data .* cannot be loaded: OSError: the disk is gone"):
        run(tiny_model(), [own], tmp_path / "scratch")


MISTAKES = [
    ("STSBenchmrk", "has no task of this name. Did you mean STSBenchmark"),
    ("sts12", "Did you mean STS12"),
    ("Banking77Clasification", "Did you mean Banking77Classification"),
    ("nowhere.py:Mine", "there is no file nowhere.py."),
    ("{own}s", "has no task 'FewWordss'; it has FewWords."),
    ("{file}", "has no task ''; it has FewWords. Expected FILE.py:CLASS"),
    ("{broken}:Mine", "fails with NameError: name 'nothing' is not defined. Correct the file."),
    ("{empty}:Mine", "it has no class of a task"),
]


@needs_mteb
@pytest.mark.parametrize(("task", "answer"), MISTAKES, ids=[task for task, _ in MISTAKES])
def test_a_task_that_there_is_not_is_refused_with_what_there_is(tmp_path, pairs, task_file, task, answer):
    own = task_file({"default": pairs})
    (tmp_path / "broken.py").write_text("nothing")
    (tmp_path / "empty.py").write_text("from mteb.abstasks.sts import AbsTaskSTS")
    names = {
        "own": own,
        "file": own.rpartition(":")[0],
        "broken": tmp_path / "broken.py",
        "empty": tmp_path / "empty.py",
    }

    with pytest.raises(RecipeError) as caught:
        check_mteb(load_recipe("quickstart", {"mteb": task.format(**names)}))

    assert answer in str(caught.value)


@needs_mteb
def test_a_task_of_pictures_is_refused(pairs, task_file):
    with pytest.raises(RecipeError, match="the task needs image, and a sentence model reads text"):
        check_mteb(load_recipe("quickstart", {"mteb": task_file({"default": pairs}, modalities=("text", "image"))}))


def call(folder, code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_mteb_a_task_is_refused_with_what_to_install(tmp_path):
    code = (
        "import sys\nsys.modules['mteb'] = None  # not to be found\n"
        "from pipelines.__main__ import main\n"
        "main(['evaluate', '--model', 'nowhere', '--mteb', 'STS12'])"
    )

    done = call(tmp_path, code)

    assert done.returncode == 2, done.stderr
    assert (
        "mteb=STS12: the package mteb is not installed here. Install it: pip install 'sbert-prune[mteb]'" in done.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_imports_mteb_without_a_task(tmp_path):
    code = (
        "import sys\nimport sbert_prune.evaluation.mteb\n"
        "from pipelines.inputs.exam import check_mteb\nfrom sbert_prune.recipe.files import load_recipe\n"
        "check_mteb(load_recipe('quickstart'))\nsys.exit('mteb' in sys.modules)"
    )

    done = call(tmp_path, code)

    assert done.returncode == 0, done.stderr


@needs_mteb
@pytest.mark.slow
def test_evaluate_logs_the_score_and_writes_nothing_outside_of_its_store(tmp_path, tiny_base, pairs, task_file):
    from mlflow import MlflowClient

    own, base, work = task_file({"default": pairs}), tiny_base(), tmp_path / "work"
    work.mkdir()
    home = tmp_path / "home"
    environment = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{work}/mlflow.db",
    }
    before = {path.name for path in tmp_path.iterdir()}

    done = call(
        work,
        f"from pipelines.__main__ import main\nmain(['evaluate', '--model', {str(base)!r}, '--mteb', {own!r}])",
        **environment,
    )

    assert done.returncode == 0, done.stderr
    assert "FewWords" not in done.stderr  # no bar, no warning
    client = MlflowClient(f"sqlite:///{work}/mlflow.db")
    (logged,) = client.search_runs(["0"])
    assert -1 <= logged.data.metrics["mteb/FewWords"] <= 1
    assert not [name for name in files_in(home) if "mteb" in name]
    assert not (home / ".cache").exists()
    assert {path.name for path in work.iterdir()} <= {"mlflow.db", "mlflow.db.lock", "mlruns"}
    assert {path.name for path in tmp_path.iterdir()} - before <= {"home"}
