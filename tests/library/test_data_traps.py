"""Files that look right but could be misread: no row is silently lost, duplicated or swapped."""

import csv
import io

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from sbert_prune.data.formats.read import read_table
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.rows import Label
from sbert_prune.data.sources import load_nli, load_sts
from sbert_prune.errors import DataError

HEADER = "premise,hypothesis,label\n"


def saved(folder, name, text):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def rows(first, last):
    return "".join(f"premise {number},hypothesis {number},neutral\n" for number in range(first, last))


def test_a_quotation_over_two_rows_of_a_plain_file_is_text(tmp_path):
    text = (
        HEADER
        + rows(0, 4)
        + '"I went home.,He left.,neutral\n'
        + rows(4, 6)
        + 'Then I slept.",She slept.,entailment\n'
        + rows(6, 9)
    )

    found = parse_nli(saved(tmp_path, "nli.csv", text))

    assert len(found) == 11
    assert found.rows[4].premise == '"I went home.'
    assert "quotes are text (on 2 lines)" in found.notes[0]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_a_quotation_over_two_rows_of_a_quoted_file_is_a_fault(tmp_path, delimiter):
    text = (
        HEADER
        + '"well, yes; or | no",h,neutral\n'.replace(",h,", f"{delimiter}h{delimiter}")
        + '"open,h,neutral\n'
        + rows(0, 3)
        + 'shut",h,neutral\n'
    )
    path = saved(
        tmp_path,
        "nli.csv",
        text.replace("premise,hypothesis,label", delimiter.join(("premise", "hypothesis", "label"))),
    )
    if delimiter != ",":
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines[:2], *(line.replace(",", delimiter) for line in lines[2:])]))

    with pytest.raises(
        DataError, match=r"line 3: a quoted cell is opened here and closed on line 7, so that it would swallow rows"
    ):
        parse_nli(path)
    assert len(parse_nli(path, on_bad_rows="skip")) == 5


def test_a_tab_separated_file_that_is_quoted_throughout_swallows_nothing(tmp_path):
    text = "premise\thypothesis\tlabel\n" + "".join(f'"A {number}"\t"B {number}"\t"neutral"\n' for number in range(20))
    path = saved(tmp_path, "nli.tsv", text + '"open\th\tneutral\nclose"\th\tneutral\n')

    with pytest.raises(DataError, match="line 22: a quoted cell is opened here"):
        parse_nli(path)


def test_a_cell_of_several_lines_is_kept(tmp_path):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(
        [("premise", "hypothesis", "label"), ("one\ntwo", "h", "neutral"), ("a, b, c\nd", "h", "neutral")]
    )

    found = parse_nli(saved(tmp_path, "nli.csv", buffer.getvalue()))

    assert [row.premise for row in found.rows] == ["one\ntwo", "a, b, c\nd"]


def dataset(column, names):
    features = Features({"premise": Value("string"), "hypothesis": Value("string"), column: ClassLabel(names=names)})
    return Dataset.from_dict({"premise": ["a", "b"], "hypothesis": ["c", "d"], column: [0, 1]}, features=features)


@pytest.mark.parametrize(
    "names", [["refuted", "not enough info", "entailed"], ["entailment", "not_entailment"], ["x", "n", "e"]]
)
def test_words_behind_labels_that_are_none_are_refused(tmp_path, names):
    dataset("label", names).to_parquet(str(tmp_path / "nli.parquet"))

    with pytest.raises(DataError, match=r"its labels stand for .* is none of entailment, neutral, contradiction"):
        parse_nli(tmp_path / "nli.parquet")


@pytest.mark.parametrize("column", ["gold label", "Gold-Label", "label"])
def test_words_behind_labels_are_those_of_the_column_that_is_read(tmp_path, column):
    dataset(column, ["contradiction ", "Entailment", "neutral"]).to_parquet(str(tmp_path / "nli.parquet"))

    assert [row.label for row in parse_nli(tmp_path / "nli.parquet").rows] == [Label.CONTRADICTION, Label.ENTAILMENT]


@pytest.mark.parametrize("on_bad_rows", ["error", "skip"])
def test_labels_from_one_to_three_are_refused(tmp_path, on_bad_rows):
    path = saved(tmp_path, "nli.csv", HEADER + "a,b,1\nc,d,2\ne,f,1\ng,h,3\ni,j,3\n")

    with pytest.raises(DataError, match="has labels up to 3; expected 0, 1, 2"):
        parse_nli(path, on_bad_rows=on_bad_rows)


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00003.csv", "train-00002-of-00003.csv"],
        ["train-00000-of-00005.csv"],
        ["train-0000.csv", "train-0002.csv"],
        ["train-00000-of-00001.csv", "train-00000-of-00002.csv", "train-00001-of-00002.csv"],
        ["train/part-00001-of-00002.csv"],
    ],
)
def test_parts_that_are_not_all_of_one_set_are_refused(tmp_path, names):
    for name in names:
        saved(tmp_path, name, HEADER + "a,b,neutral\n")

    with pytest.raises(DataError, match="these are not all of one set"):
        load_nli(str(tmp_path))


@pytest.mark.parametrize("name", ["snli_1.0_{}.csv", "stsb.{}.csv", "xnli.{}.hi.csv"])
def test_a_split_is_recognised_by_the_whole_name(tmp_path, name):
    for split in ("train", "dev", "test"):
        saved(
            tmp_path,
            name.format(split),
            "sentence1,sentence2,score\n" + "".join(f"{split} {n},other,{n}\n" for n in range(6)),
        )

    data = load_sts(str(tmp_path), score_range=(0, 5))

    assert [rows.rows[0].sentence1 for rows in (data.train, data.dev, data.test)] == ["train 0", "dev 0", "test 0"]


def pairs(highest, count=40):
    return "sentence1,sentence2,score\n" + "".join(
        f"left {n},right {n},{highest * n / (count - 1):.3f}\n" for n in range(count)
    )


def test_splits_with_different_ranges_of_scores_are_refused(tmp_path):
    for split, highest in (("train", 1), ("dev", 5), ("test", 5)):
        saved(tmp_path, f"{split}.csv", pairs(highest))

    with pytest.raises(
        DataError, match=r"different ranges: .*train\.csv from 0 to 1, .*dev\.csv from 0 to 5.*sts_score_range=0-5"
    ):
        load_sts(str(tmp_path))
    assert load_sts(str(tmp_path), score_range=(0, 5)).score_range == (0, 5)


def test_nli_labels_are_no_scores(tmp_path):
    path = saved(
        tmp_path, "nli.csv", "sentence1,sentence2,label\n" + "".join(f"a {n},b {n},{n % 3}\n" for n in range(60))
    )

    with pytest.raises(DataError, match="the scores are 0, 1, 2 alone, as NLI labels are"):
        load_sts(str(path))
    assert load_sts(str(path), score_range=(0, 2)).score_range == (0, 2)


def test_the_observed_scores_are_noted_beside_the_range(tmp_path):
    path = saved(tmp_path, "sts.csv", pairs(4))

    assert "scores 0-4, inferred from 0 to 4" in load_sts(str(path)).train.notes


def test_a_stream_cut_between_two_batches_is_refused(tmp_path):
    table = pyarrow.table({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]})
    with (
        pyarrow.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink,
        pyarrow.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=1)
    (tmp_path / "rows.arrow").write_bytes((tmp_path / "rows.arrow").read_bytes()[:-8])

    with pytest.raises(DataError, match="its end is missing, so it was cut off"):
        read_table(tmp_path / "rows.arrow")


def test_unused_columns_may_be_vectors_or_have_the_same_name(tmp_path):
    vectors = pyarrow.array([[1.0, 2.0]], pyarrow.list_(pyarrow.float32()))
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(["a"]), vectors, pyarrow.array(["x"]), pyarrow.array(["y"])], names=["a", "v", "x", "x"]
    )
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")

    found = read_table(tmp_path / "rows.parquet")

    assert found.header == ("a", "x", "x")
    assert [record.cells for record in found.records()] == [("a", "x", "y")]


def test_an_empty_folder_of_datasets_is_refused(tmp_path):
    dataset("label", ["entailment", "neutral"]).select([]).save_to_disk(str(tmp_path / "saved"))

    with pytest.raises(DataError, match="saved"):
        load_nli(str(tmp_path / "saved"))


@pytest.mark.parametrize(
    "setting",
    ["org/name:", "org/name@", "org/name:a@b@c", "datasets/org/name", "https://huggingface.co/datasets/org/name"],
)
def test_an_invalid_hub_name_is_refused_with_the_right_form(setting):
    with pytest.raises(DataError, match="Expected org/name, org/name:config, or either with @revision after it"):
        load_nli(setting)


def test_shares_too_small_for_the_rows_are_refused(tmp_path):
    path = saved(tmp_path, "sts.csv", pairs(5))

    with pytest.raises(DataError, match=r"40 rows, and split 98/1/1 one split gets 0\.4 of them"):
        load_sts(str(path), shares=(0.98, 0.01, 0.01))
