"""`doctor` on what a recipe names: a base, data, and the hub that they may come from."""

import gzip
import json
import secrets
import shutil
import sys
from importlib.metadata import version
from runpy import run_module

import pytest

from pipelines.doctor.base import check_layers, check_model, num_parameters
from pipelines.doctor.data import check_rows, check_text
from pipelines.doctor.hub import check_hub
from sbert_prune.recipe.files import load_recipe
from tests.hub import Hub, use_hub, wait_for_no_hub


def test_a_base_is_told_with_its_depth_and_size(tiny_base):
    folder = tiny_base(depth=3)
    recipe = load_recipe("quickstart", {"base_model": str(folder)})

    finding = check_model("base_model", str(folder), recipe)

    assert finding.state == "ok"
    assert "bert, 3 layers" in finding.found
    assert num_parameters(recipe) > 1_000


def test_bases_that_are_missing_damaged_or_pickled_fail_with_a_command(tmp_path, tiny_base):
    folder, recipe = tiny_base(), load_recipe("quickstart")
    cut = shutil.copytree(folder, tmp_path / "cut")
    with (cut / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")

    missing = check_model("base_model", "nowhere", recipe)
    damaged = check_model("base_model", str(cut), recipe)
    refused = check_model("base_model", str(pickled), recipe)
    converted = check_model("base_model", str(pickled), recipe.model_copy(update={"convert_pickle": True}))

    assert [finding.state for finding in (missing, damaged, refused, converted)] == ["fail", "fail", "fail", "ok"]
    assert "no folder of this name" in missing.found
    assert "cut off" in damaged.found + damaged.advice
    assert refused.command == f"mlflow run . -e doctor -P base_model={pickled} -P convert_pickle=true"
    assert check_model("base_model", "models:/m-1", recipe).state == "-"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "drop-tpo"}, "Did you mean 'drop-top'?"),
        ({"layers": "13"}, "layers=13 cannot be kept: the encoder has 12 layers"),
        ({"layers": "0,12"}, "12"),
        ({"strategy": "drop-tpo", "base_model": "org/not-fetched"}, "Did you mean 'drop-top'?"),
    ],
)
def test_layers_that_the_base_cannot_have_fail(settings, message):
    finding = check_layers(load_recipe("quickstart", settings))

    assert (finding.state, finding.command) == ("fail", "mlflow run . -e recipes -P name=quickstart")
    assert message in finding.found + finding.advice


@pytest.mark.parametrize(
    ("settings", "state"), [({}, "ok"), ({"schedule": "12,6,2"}, "ok"), ({"base_model": "org/not-fetched"}, "-")]
)
def test_layers_that_the_base_has_are_told(settings, state):
    assert check_layers(load_recipe("quickstart", settings)).state == state


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with Hub(tmp_path) as running:
        use_hub(monkeypatch, running)
        wait_for_no_hub(monkeypatch)
        yield running


def test_a_base_on_the_hub_is_listed_and_not_fetched_and_one_in_the_cache_is_looked_at(hub, tiny_base):
    hub.add_model("org/base", tiny_base(depth=3))
    recipe = load_recipe("quickstart", {"base_model": "org/base"})

    listed = check_model("base_model", "org/base", recipe)
    fetched = list(hub.fetched)
    from sbert_prune.models.sources import locate_base

    locate_base("org/base")
    hub.stop()
    cached = check_model("base_model", "org/base", recipe)

    assert "on the hub" in listed.found
    assert fetched == []
    assert "bert, 3 layers" in cached.found
    assert "in the cache as of commit" in cached.found


def test_a_base_that_the_hub_lacks_or_has_as_a_pickle_fails(hub):
    hub.add_model("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    recipe = load_recipe("quickstart")

    missing = check_model("base_model", "org/missing", recipe)
    pickled = check_model("base_model", "org/pickled", recipe)

    assert (missing.state, missing.command) == ("fail", "hf download org/missing --revision main")
    assert pickled.command == "mlflow run . -e doctor -P base_model=org/pickled -P convert_pickle=true"


def test_weights_beside_the_model_are_none_of_its(hub):
    hub.add_model("org/exported", {"config.json": b"{}", "onnx/model.safetensors": b"x"})

    finding = check_model("base_model", "org/exported", load_recipe("quickstart"))

    assert (finding.state, "has no model.safetensors" in finding.found) == ("fail", True)


def test_half_a_base_in_the_cache_fails_without_the_hub(hub, tiny_base):
    hub.add_model("org/base", tiny_base())
    from sbert_prune.hub.snapshot import resolve

    resolve("org/base", kind="model").fetch(["config.json"])
    hub.stop()
    finding = check_model("base_model", "org/base", load_recipe("quickstart"))

    assert finding.state == "fail"
    assert "the cache does not have all that is needed" in finding.found
    assert finding.command == "hf download org/base --revision main"


def test_a_data_set_without_a_split_is_told_of(hub):
    hub.add_dataset("org/pairs", {"train.csv": b"a", "test.csv": b"b"})

    finding = check_rows("sts", load_recipe("quickstart", {"sts.data": "org/pairs"}))

    assert finding.state == "warn"
    assert finding.found.endswith("; no dev split")


def test_a_hub_out_of_reach_fails_what_is_not_in_the_cache_and_shows_no_token(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert check_hub().found == f"{hub.endpoint} answers; a token is set"

    hub.stop()

    assert check_hub().state == "warn"
    assert check_model("base_model", "org/base", load_recipe("quickstart")).state == "fail"
    assert hub.token not in str(check_hub())


def test_data_on_the_hub_are_listed_by_split_and_data_in_the_cache_are_read(hub):
    rows = b"premise,hypothesis,label\n" + b"a man sings,a man is singing,entailment\n" * 4
    hub.add_dataset("org/nli", {"mr/train.csv": rows, "hi/train.csv": rows})
    recipe = load_recipe("quickstart", {"nli.data": "org/nli:mr"})

    listed = check_rows("nli", recipe)
    fetched = list(hub.fetched)
    from sbert_prune.data.sources import load_nli

    load_nli("org/nli:mr")
    hub.stop()
    cached = check_rows("nli", recipe)
    missing = check_rows("nli", load_recipe("quickstart", {"nli.data": "org/other"}))

    assert "on the hub" in listed.found
    assert fetched == []
    assert (cached.state, "columns premise, hypothesis, label" in cached.found) == ("ok", True)
    assert (missing.state, missing.command) == ("fail", "hf download org/other --repo-type dataset --revision main")


def test_files_and_columns_are_told(project):
    nli, sts = check_rows("nli", project.recipe()), check_rows("sts", project.recipe())

    assert (nli.state, sts.state) == ("ok", "ok")
    assert f"{project.nli}: nli.tsv (tab-separated" in nli.found
    assert "columns premise, hypothesis, label" in nli.found
    assert "train train.csv, dev dev.csv, test test.csv" in sts.found
    assert "scores 0-5, inferred" in sts.found


def test_data_that_are_missing_or_lack_a_column_or_a_split_fail(project):
    (project.folder / "two.csv").write_text("premise,label\na,entailment\n")
    (project.sts / "dev.csv").unlink()

    missing = check_rows("nli", project.recipe(nli__data="nly.tsv"))
    column = check_rows("nli", project.recipe(nli__data="two.csv"))
    split = check_rows("sts", project.recipe())
    none = check_rows("sts", load_recipe("marathi"))

    assert [finding.state for finding in (missing, column, split, none)] == ["fail"] * 4
    assert "Did you mean" in missing.advice
    assert "has no column 'hypothesis'" in column.found
    assert "no dev split" in split.found
    assert "The Marathi translation of STSb" in none.advice
    assert none.command == "mlflow run . -e doctor -P recipe=marathi -P sts_data=FOLDER"


def test_no_nli_data_are_wanted_where_no_phase_is():
    recipe = load_recipe("minilm", {"phases": "sts"})

    assert check_rows("nli", recipe).state == "-"
    assert check_rows("nli", load_recipe("minilm")).state == "fail"


def test_a_bad_row_near_the_beginning_is_told_with_its_place(project):
    lines = project.nli.read_text().splitlines(keepends=True)
    project.nli.write_text("".join([*lines[:4], "a\tb\tperhaps\n", *lines[4:]]))

    finding = check_rows("nli", project.recipe())
    skipped = check_rows("nli", project.recipe(on_bad_rows="skip"))

    assert (finding.state, skipped.state) == ("fail", "warn")
    assert f"{project.nli}, line 5: the label is 'perhaps'" in finding.advice
    assert finding.command.endswith("-P on_bad_rows=skip")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_only_the_beginning_of_a_large_file_is_read(project, packed):
    header, row = "premise,hypothesis,label\n", '"a man, who\nsings","a man is ""singing""",entailment\n'
    text = header + row * 2_000 + "rubbish\n" * 100_000
    large = project.folder / ("large.csv.gz" if packed else "large.csv")
    large.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    finding = check_rows("nli", project.recipe(nli__data=str(large)))

    assert finding.state == "ok", finding
    assert str(large) in finding.found


def test_a_parquet_file_is_read_by_its_first_rows(project):
    import pyarrow
    from pyarrow import parquet

    premises = [f"{secrets.token_hex(30)} sings" for _ in range(5_000)]
    columns = {"premise": premises, "hypothesis": ["he is singing"] * 5_000, "label": [0] * 4_999 + [7]}
    parquet.write_table(pyarrow.table(columns), project.folder / "nli.parquet")

    finding = check_rows("nli", project.recipe(nli__data="nli.parquet"))

    assert finding.state == "ok"
    assert "nli.parquet (parquet; columns premise, hypothesis, label; labels 0, 1, 2 read as" in finding.found


def test_texts_are_told_by_their_first_line_and_tables_are_none(project):
    (project.folder / "corpus.txt").write_text("a man sings\n")
    (project.folder / "empty.txt").touch()

    assert "'a man sings'" in check_text("distil_data", "corpus.txt").found
    assert check_text("distil_data", "missing.txt").state == "fail"
    assert check_text("distil_data", "empty.txt").state == "fail"
    assert (
        check_text("vocabulary_corpus", str(project.nli)).command
        == "mlflow run . -e doctor -P vocabulary_corpus=FILE.txt"
    )


def test_the_answer_of_torch_is_json(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["device", "cpu", "auto"])
    monkeypatch.delitem(sys.modules, "pipelines.doctor.device", raising=False)  # it is run, not imported

    run_module("pipelines.doctor.device", run_name="__main__")

    assert json.loads(capsys.readouterr().out)["version"] == version("torch")
