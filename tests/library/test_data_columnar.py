"""Formats that store their columns are read as records, with the class names of labels."""

import gzip

import pyarrow
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from sbert_prune.data.formats.read import read_table
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.rows import Label
from sbert_prune.data.sources import load_nli, load_sts
from sbert_prune.errors import DataError

ROWS = {"premise": ["A man sleeps.", "He runs."], "hypothesis": ["He rests.", "He moves."], "label": [2, 0]}


def write_arrow_file(path, table):
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def write_arrow_stream(path, table):
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


WRITERS = {
    "rows.parquet": lambda path, table: pyarrow.parquet.write_table(table, path),
    "rows.arrow": write_arrow_file,
    "stream.arrow": write_arrow_stream,
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
@pytest.mark.parametrize("packed", [False, True])
def test_all_formats_give_the_same_records(tmp_path, name, write, packed):
    path = tmp_path / name
    write(path, pyarrow.table(ROWS))
    if packed:
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = path.with_name(f"{name}.gz")

    table = read_table(path)

    assert (table.header, table.unit) == (tuple(ROWS), "row")
    assert [(record.line, record.cells) for record in table.records()] == [
        (1, ("A man sleeps.", "He rests.", 2)),
        (2, ("He runs.", "He moves.", 0)),
    ]
    assert list(table.records()) == list(table.records())  # a second reading


@pytest.mark.parametrize("name", ["rows.arrow", "stream.arrow"])
def test_a_truncated_arrow_file_is_refused(tmp_path, name):
    WRITERS[name](tmp_path / name, pyarrow.table({key: cells * 5000 for key, cells in ROWS.items()}))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3000])

    with pytest.raises(DataError, match=r"is not a readable Arrow file.*Write it again"):
        list(read_table(tmp_path / name).records())


def dataset(names):
    return Dataset.from_dict(
        ROWS, features=Features(premise=Value("string"), hypothesis=Value("string"), label=ClassLabel(names=names))
    )


ORDERS = [
    (["entailment", "neutral", "contradiction"], [Label.CONTRADICTION, Label.ENTAILMENT]),
    (["contradiction", "neutral", "entailment"], [Label.ENTAILMENT, Label.CONTRADICTION]),
    (["Contradiction", "Entailment", "Neutral"], [Label.NEUTRAL, Label.CONTRADICTION]),
    (["0", "1", "2"], [Label.CONTRADICTION, Label.ENTAILMENT]),
]


@pytest.mark.parametrize(("names", "labels"), ORDERS)
@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_the_words_behind_a_label_count_and_not_its_number(tmp_path, names, labels, kind):
    path = tmp_path / ("saved" if kind == "folder" else "rows.parquet")
    saved = dataset(names)
    saved.save_to_disk(str(path)) if kind == "folder" else saved.to_parquet(str(path))

    rows = parse_nli(path)

    assert [row.label for row in rows.rows] == labels


def test_a_folder_of_datasets_is_read_as_it_was_selected(tmp_path):
    dataset(ORDERS[0][0]).select([1]).save_to_disk(str(tmp_path / "one"))

    assert [row.premise for row in load_nli(str(tmp_path / "one")).rows] == ["He runs."]


def test_a_dict_of_datasets_is_a_folder_of_splits(tmp_path):
    pairs = Dataset.from_dict({"sentence1": ["a", "b", "c"], "sentence2": ["d", "e", "f"], "score": [1.0, 2.0, 5.0]})
    DatasetDict(train=pairs, validation=pairs.select([0]), test=pairs.select([1, 2])).save_to_disk(
        str(tmp_path / "sts")
    )

    data = load_sts(str(tmp_path / "sts"), score_range=(0, 5))

    assert (len(data.train), len(data.dev), len(data.test)) == (3, 1, 2)


def test_a_damaged_folder_of_datasets_is_refused(tmp_path):
    dataset(ORDERS[0][0]).save_to_disk(str(tmp_path / "saved"))
    next((tmp_path / "saved").glob("*.arrow")).unlink()

    with pytest.raises(DataError, match="saved is not a readable folder saved by datasets"):
        load_nli(str(tmp_path / "saved"))
