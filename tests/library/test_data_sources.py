"""Settings become the rows of the splits that they name."""

import subprocess
import sys

import pytest

from sbert_prune.data.describe import describe_rows, preview
from sbert_prune.data.rows import Label, NliRow, RowSet, StsRow
from sbert_prune.data.sources import StsData, load_nli, load_sts, load_sts_for_evaluation
from sbert_prune.errors import DataError, RecipeError

NLI = "premise,hypothesis,label\nA man sleeps.,A person rests.,entailment\nA man sleeps.,He runs.,contradiction\n"
STS = "One {0}.,Two {0}.,4\nThree {0}.,Four {0}.,2.5\n"


def fill(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def sts_rows(count, score="4"):
    return "".join(f"left {number},right {number},{score}\n" for number in range(count))


def test_an_nli_file_is_the_train_split(tmp_path):
    fill(tmp_path, {"pairs.csv": NLI})

    data = load_nli(str(tmp_path / "pairs.csv"))

    assert data.rows[0] == NliRow("A man sleeps.", "A person rests.", Label.ENTAILMENT)
    assert (len(data), data.name) == (2, "pairs.csv")


@pytest.mark.parametrize(
    ("train", "dev"),
    [
        ("train.csv", "dev.csv"),
        ("en-train.csv", "en-dev.csv"),
        ("Train.CSV", "VALIDATION.csv"),
        ("my_training_set.csv", "val.csv"),
        ("train-00000-of-00001.csv", "valid-00000-of-00001.csv"),
    ],
)
def test_the_splits_of_a_folder_are_found_by_name(tmp_path, train, dev):
    setting = fill(
        tmp_path,
        {
            train: NLI,
            dev: NLI,
            "test.csv": "not read",
            "notes.txt": "",
            ".train.csv": "hidden",
            "trained.csv": "no split",
        },
    )

    data = load_nli(setting)

    assert data.name == train


def test_an_sts_folder_gives_train_dev_and_test_with_one_range(tmp_path):
    setting = fill(
        tmp_path, {"train.csv": sts_rows(3, "4.5"), "dev.csv": sts_rows(2, "0.5"), "test.csv": sts_rows(1, "1")}
    )

    data = load_sts(setting, score_range=(0, 5))

    assert data.score_range == (0.0, 5.0)
    assert (data.train.rows[0].score, data.dev.rows[0].score, data.test.rows[0].score) == (0.9, 0.1, 0.2)


def test_a_given_range_is_kept(tmp_path):
    setting = fill(tmp_path, dict.fromkeys(("train.csv", "dev.csv", "test.csv"), sts_rows(2, "40")))

    data = load_sts(setting, score_range=(0, 100))

    assert (data.score_range, data.train.rows[0].score) == ((0, 100), 0.4)


def test_an_sts_file_is_split_and_the_notes_say_so(tmp_path):
    fill(tmp_path, {"pairs.csv": sts_rows(100)})

    data = load_sts(str(tmp_path / "pairs.csv"), score_range=(0, 5))

    assert (len(data.train), len(data.dev), len(data.test)) == (80, 10, 10)
    assert "split 80/10/10 by sentence" in describe_rows("train", data.train)[0]


def test_a_file_to_evaluate_on_is_the_test_split(tmp_path):
    fill(tmp_path, {"pairs.csv": sts_rows(3)})

    splits = load_sts_for_evaluation(str(tmp_path / "pairs.csv"), score_range=(0, 5))

    assert {split: len(rows) for split, rows in splits.items()} == {"test": 3}


@pytest.mark.parametrize("names", [("dev", "test"), ("test",), ("dev",)])
def test_a_folder_to_evaluate_on_gives_what_it_has(tmp_path, names):
    setting = fill(tmp_path, {f"{name}.csv": sts_rows(2) for name in ("train", *names)})

    splits = load_sts_for_evaluation(setting, score_range=(0, 5))

    assert tuple(splits) == names


@pytest.mark.parametrize("load", [load_nli, load_sts, load_sts_for_evaluation])
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("{folder}/tarin", ["tarin does not exist", "Did you mean", "tarn"]),
        ("{folder}/tarn/none/deeper", ["does not exist", "holds rows.csv"]),
        ("https://example.org/train.csv", ["does not exist", "a data set of the hub"]),
        ("  ", ["the data setting is empty", "quickstart"]),
        ("{folder}/" + "x" * 300, ["cannot be opened", "a file, a folder of splits"]),
        ("/dev/null", ["/dev/null is of no known format", ".csv, .tsv"]),
        ("{folder}", ["split; it holds no data file", ".csv, .tsv"]),
    ],
)
def test_a_setting_that_names_no_data_is_refused(tmp_path, load, setting, expected):
    (tmp_path / "tarn").mkdir()
    fill(tmp_path / "tarn", {"rows.csv": NLI})

    with pytest.raises(DataError) as caught:
        load(setting.format(folder=tmp_path))

    assert not [part for part in expected if part.lower() not in str(caught.value).lower()], str(caught.value)


@pytest.mark.parametrize("missing", ["train", "dev", "test"])
def test_a_missing_sts_split_is_named_with_what_is_there(tmp_path, missing):
    setting = fill(tmp_path, {f"{name}.csv": sts_rows(2) for name in ("train", "dev", "test") if name != missing})

    with pytest.raises(DataError, match=rf"has no {missing} split; it holds (dev|test)\.csv, (test|train)\.csv"):
        load_sts(setting)


def test_a_folder_of_folders_is_refused_with_their_names(tmp_path):
    (tmp_path / "en").mkdir()
    (tmp_path / "mr").mkdir()

    with pytest.raises(
        DataError, match="no train and no dev and no test split; it holds no data file, but the folders en, mr"
    ):
        load_sts(str(tmp_path))


def test_two_files_for_one_split_are_refused_with_both_names(tmp_path):
    setting = fill(tmp_path, {"en-train.csv": NLI, "hi-train.tsv.gz": "", "dev.csv": NLI})

    with pytest.raises(DataError, match=r"2 files for the split train: en-train\.csv and hi-train\.tsv\.gz"):
        load_nli(setting)


def test_a_bad_split_is_named_by_its_file(tmp_path):
    setting = fill(tmp_path, {"train.csv": sts_rows(3), "dev.csv": sts_rows(2) + "a,b,9\n", "test.csv": sts_rows(2)})

    with pytest.raises(DataError, match=r"dev\.csv, line 3: the score is 9; expected 0 to 5"):
        load_sts(setting, score_range=(0, 5))


@pytest.mark.parametrize("load", [load_nli, load_sts, load_sts_for_evaluation])
def test_an_unknown_way_with_bad_rows_is_refused_before_anything_is_read(load):
    with pytest.raises(RecipeError, match="on_bad_rows='drop' is unknown"):
        load("quickstart", on_bad_rows="drop")


def test_the_description_lists_files_rows_ranges_and_skipped_rows(tmp_path):
    text = "sentence1,sentence2,score\n" + sts_rows(4) + "a,b,9\n"
    setting = fill(tmp_path, {"train.csv": text, "dev.csv": sts_rows(1), "test.csv": "x,y,1\n"})

    lines = describe_rows("train", load_sts(setting, on_bad_rows="skip", score_range=(0, 5)).train)

    assert lines[0].startswith(
        f"train: {tmp_path / 'train.csv'}: 4 rows, 1 bad row skipped (comma-separated, quoted; columns sentence1"
    )
    assert lines[0].endswith("scores 0-5, given)")
    assert lines[1].endswith("train.csv, line 6: the score is 9; expected 0 to 5 (the given range).")


def test_rows_without_a_gold_label_are_described(tmp_path):
    fill(tmp_path, {"nli.csv": NLI + "a,b,-\n"})

    lines = describe_rows("train", load_nli(str(tmp_path / "nli.csv")))

    assert "2 rows, 1 without a gold label left out" in lines[0]


def test_the_quickstart_data_is_generated():
    nli, sts = load_nli("quickstart"), load_sts("quickstart")

    assert isinstance(sts, StsData)
    assert isinstance(nli.rows[0], NliRow)
    assert isinstance(sts.test.rows[0], StsRow)
    assert {rows.source for rows in (nli, sts.train, sts.dev, sts.test)} == {"generated"}
    assert set(load_sts_for_evaluation("quickstart")) == {"dev", "test"}


def test_a_row_set_knows_its_length_and_its_digest():
    rows = RowSet("x", (StsRow("a", "b", 0.5),), "x.csv")

    assert len(rows) == 1
    assert len(rows.digest) == 64


def test_importing_the_sources_imports_nothing_heavy():
    heavy = {"torch", "transformers", "pyarrow", "scipy", "numpy", "pandas"}
    code = f"import sys, sbert_prune.data.sources; print(sorted({heavy} & set(sys.modules)))"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002.csv", "train-00001-of-00002.csv"],
        ["train_0000.csv", "train_0001.csv"],
        ["train/0000.csv", "train/0001.csv"],
        ["train/part-00000-of-00002.csv", "train/part-00001-of-00002.csv"],
    ],
)
def test_the_parts_of_a_split_are_read_in_their_order(tmp_path, names):
    (tmp_path / "train").mkdir()
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f"premise,hypothesis,label\np{number},h,entailment\n", encoding="utf-8")

    rows = load_nli(str(tmp_path))

    assert [row.premise for row in rows.rows] == ["p0", "p1"]
    assert rows.name.endswith("and 1 more")


def test_two_files_in_a_split_s_folder_that_are_no_parts_are_refused(tmp_path):
    (tmp_path / "train").mkdir()
    fill(tmp_path / "train", {"en.csv": NLI, "hi.csv": NLI})

    with pytest.raises(DataError, match=r"2 files for the split train: en\.csv and hi\.csv"):
        load_nli(str(tmp_path))


def test_the_first_rows_are_shown_as_a_table(tmp_path):
    fill(tmp_path, {"nli.csv": NLI + "क्या हाल है,ठीक है,neutral\nnot shown,x,neutral\n"})

    lines = preview(load_nli(str(tmp_path / "nli.csv")))

    assert lines[0].split() == ["premise", "hypothesis", "label"]
    assert [line.split()[-1] for line in lines[-3:]] == ["entailment", "contradiction", "neutral"]
    assert "क्या हाल है" in lines[-1]
