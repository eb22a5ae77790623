"""Files of every format come back as records, each with its place."""

import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.formats.delimited import parse_lines
from sbert_prune.data.formats.read import read_table

PLAIN_CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip)
ANY_CELL = st.text(st.sampled_from("ab \"\t,;\n'é"), max_size=12)


def lines_of(text):
    return io.StringIO(text, newline="\n").readlines()


def cells_of(path):
    return [record.cells for record in read_table(path).records()]


def saved(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@settings(deadline=None)
@given(rows=st.lists(st.tuples(ANY_CELL, ANY_CELL, PLAIN_CELL), min_size=1, max_size=8))
def test_rows_of_a_csv_writer_are_read_back_unchanged(rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)

    records = list(parse_lines(lines_of(buffer.getvalue()), ",", quoted=True))

    assert [record.cells for record in records] == rows
    assert not any(record.fault for record in records)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(*[PLAIN_CELL.filter(lambda text: '"' not in text)] * 3), min_size=1, max_size=8))
def test_tab_separated_text_without_quoting_is_read_back_equal(rows):
    text = "\n".join("\t".join(row) for row in rows)

    records = list(parse_lines(lines_of(text), "\t", quoted=False))

    assert [record.cells for record in records] == rows


def test_stray_quotes_lose_no_row(tmp_path):
    rows = (
        [("he said", "a", "1")] * 20
        + [('"Well" he said', "b", "2"), ("c", 'a "u2" sign', "3"), ('"open', "d", "4")]
        + [("e", 'end"', "5")] * 3
    )
    path = saved(tmp_path, "stray.tsv", "\n".join("\t".join(row) for row in rows))

    cells = cells_of(path)

    assert cells == rows


def test_a_quoted_cell_may_span_lines_and_the_record_is_placed_where_it_starts(tmp_path):
    path = saved(tmp_path, "multi.csv", 'a,b,c\n"one\ntwo",d,e\n\nf,g,h\n')

    table = read_table(path)

    assert [record.line for record in table.records()] == [1, 2, 5]
    assert list(table.records())[1].cells == ("one\ntwo", "d", "e")


def test_an_unclosed_quote_costs_one_record_and_not_the_rest(tmp_path):
    path = saved(tmp_path, "unclosed.csv", 'a,b,c\n"one,two,3\nd,e,f\n"g, g",h,i\nj,k,l\n')

    records = list(read_table(path).records())

    assert [record.line for record in records if record.fault] == [2]
    assert [record.cells for record in records if not record.fault] == [
        ("a", "b", "c"),
        ("d", "e", "f"),
        ("g, g", "h", "i"),
        ("j", "k", "l"),
    ]


def test_many_unclosed_quotes_are_read_in_linear_time():
    lines = ['"one,two,3\n', 'four,"five,6\n'] * 20_000

    records = list(parse_lines(lines, ",", quoted=True))

    assert len(records) == 40_000


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_byte_order_marks_and_line_ends_change_nothing(tmp_path, start, end, last, suffix):
    mark = b"," if suffix == ".csv" else b"\t"
    content = (
        start
        + end.join([mark.join([b"a", b"b", b"c"]), mark.join([b"d", b"e", "ल".encode()])])
        + (end if last else b"")
    )
    path = saved(tmp_path, f"rows{suffix}", content)

    cells = cells_of(path)

    assert cells == [("a", "b", "c"), ("d", "e", "ल")]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_real_line_ends_end_a_line(tmp_path, separator):
    path = saved(tmp_path, "odd.tsv", f"a{separator}b\tc\td\ne\tf\tg\n")

    cells = cells_of(path)

    assert cells == [(f"a{separator}b", "c", "d"), ("e", "f", "g")]


@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
def test_compressed_files_read_as_plain_ones(tmp_path, name, suffix, compress):
    table = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"a": ["1"], "b": ["2"]}), table)
    contents = {
        "rows.csv": b"a,b\n1,2\n",
        "rows.tsv": b"a\tb\n1\t2\n",
        "rows.jsonl": b'{"a": "1", "b": "2"}\n',
        "rows.parquet": table.getvalue(),
    }
    path = saved(tmp_path, name + suffix, compress(contents[name]))

    cells = cells_of(path)

    assert cells[-1] == ("1", "2")


def test_json_lines_take_their_columns_from_all_lines(tmp_path):
    path = saved(tmp_path, "rows.jsonl", '{"a": 1}\n\n{"b": null, "a": "x"}\n')

    table = read_table(path)

    assert table.header == ("a", "b")
    assert [(record.line, record.cells) for record in table.records()] == [(1, (1, None)), (3, ("x", None))]


def test_parquet_counts_rows_and_leaves_out_times(tmp_path):
    times = pyarrow.array([2**63 - 1, 1], pyarrow.timestamp("ns"))
    pyarrow.parquet.write_table(
        pyarrow.table({"a": ["x", None], "when": times, "b": [1, 2]}), tmp_path / "rows.parquet"
    )

    table = read_table(tmp_path / "rows.parquet")

    assert (table.header, table.unit) == (("a", "b"), "row")
    assert [(record.line, record.cells) for record in table.records()] == [(1, ("x", 1)), (2, (None, 2))]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"a": 1}\n{"a": \n', "invalid JSON (Expecting value at character"),
        (b'{"a": 1}\n3\n', "JSON int '3'; expected an object"),
        (b'{"a": 1}\n' + b"1" * 5000 + b"\n", "JSON that cannot be read"),
    ],
)
def test_one_bad_json_line_is_a_fault_of_that_line(tmp_path, content, fault):
    path = saved(tmp_path, "rows.jsonl", content)

    records = list(read_table(path).records())

    assert [record.line for record in records if record.fault] == [2]
    assert fault in records[1].fault


@settings(deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from("ab"), st.one_of(st.none(), PLAIN_CELL, st.integers()), min_size=2, max_size=2),
        min_size=1,
    )
)
def test_json_lines_come_back_equal(tmp_path_factory, rows):
    path = saved(tmp_path_factory.mktemp("jsonl"), "rows.jsonl", "\n".join(map(json.dumps, rows)))

    table = read_table(path)

    assert [dict(zip(table.header, record.cells, strict=True)) for record in table.records()] == rows


def test_the_notes_say_how_a_file_was_read(tmp_path):
    path = saved(tmp_path, "rows.tsv", 'a "b" c\td\te\n' * 3)

    notes = read_table(path).notes

    assert notes == ("tab-separated, quotes are text (on 3 lines)",)


def test_suffixes_may_be_upper_case(tmp_path):
    path = saved(Path(tmp_path), "ROWS.CSV", "a,b,c\n")

    cells = cells_of(path)

    assert cells == [("a", "b", "c")]
