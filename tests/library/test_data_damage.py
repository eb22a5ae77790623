"""Unusable files raise errors with the file's name, the place, and what was expected."""

import gzip
import io
import lzma

import pyarrow
import pyarrow.parquet
import pytest

from sbert_prune.data.formats.read import read_table
from sbert_prune.errors import DataError


def saved(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet_bytes():
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"a": ["text"] * 50}), buffer)
    return buffer.getvalue()


TEXT = "\n".join(f"sentence {number},another {number},{number}" for number in range(200)).encode()

DAMAGES = {
    "no such file": ("rows.csv", None, ["rows.csv does not exist", "holds nothing"]),
    "empty file": ("rows.csv", b"", ["rows.csv is empty (0 bytes)", "expected rows"]),
    "only a byte order mark": ("rows.csv", b"\xef\xbb\xbf", ["rows.csv holds no text"]),
    "only blank lines": ("rows.tsv", b"\n\n  \n", ["rows.tsv holds no text"]),
    "unknown suffix": ("rows.xlsx", b"x", ["'.xlsx'", ".csv, .tsv, .jsonl, .ndjson, .json, .parquet, .arrow"]),
    "no suffix": ("rows", b"x", ["it ends in ''", ".csv"]),
    "compressed without a format": ("rows.gz", b"x", ["it ends in ''", ".csv"]),
    "truncated gzip": ("rows.csv.gz", gzip.compress(TEXT)[:-20], ["rows.csv.gz is truncated or not a .gz file"]),
    "truncated xz": ("rows.csv.xz", lzma.compress(TEXT)[:-20], ["rows.csv.xz is truncated or not a .xz file"]),
    "truncated zstd": (
        "rows.csv.zst",
        pyarrow.compress(TEXT, "zstd", asbytes=True)[:-4],
        ["rows.csv.zst is truncated or not a .zst file"],
    ),
    "plain text named zstd": ("rows.csv.zst", TEXT, ["rows.csv.zst is truncated or not a .zst file", "Copy it again"]),
    "plain text named gzip": ("rows.csv.gz", TEXT, ["rows.csv.gz is truncated or not a .gz file", "Copy it again"]),
    "empty gzip": ("rows.csv.gz", gzip.compress(b""), ["rows.csv.gz holds no text"]),
    "gzip named plain": ("rows.csv", gzip.compress(TEXT), ["rows.csv, line 1", "a gzip file", ".gz"]),
    "Excel named csv": ("rows.csv", b"PK\x03\x04rest", ["a zip or Excel file", "save it as csv"]),
    "parquet named csv": ("rows.csv", b"PAR1....", ["a parquet file", ".parquet"]),
    "UTF-16 without a mark": ("rows.csv", "a,b,c".encode("utf-16-le"), ["NUL byte", "UTF-16 needs a byte order mark"]),
    "UTF-16 cut in a character": (
        "rows.csv",
        "a,b,c\n".encode("utf-16")[:-1],
        ["line 1: begins as UTF-16, but this line is none"],
    ),
    "Latin-1": ("rows.csv", b"a,b,c\ncaf\xe9,e,f\n", ["rows.csv, line 2, byte 4", "0xe9 is not UTF-8", "Latin-1"]),
    "NUL byte": ("rows.tsv", b"a\tb\tc\nd\t\0e\tf\n", ["rows.tsv, line 2, byte 3", "NUL byte"]),
    "no readable csv line": ("rows.csv", b'"a" b,c\n', ["rows.csv, line 1", "not doubled", "No line of the file"]),
    "text named json lines": (
        "rows.jsonl",
        b"a,b\nc,d\n",
        ["rows.jsonl, line 1", "invalid JSON", "expected one object"],
    ),
    "a JSON array": ("rows.jsonl", b'[{"a": 1}]\n', ["rows.jsonl, line 1", "a JSON array; expected one object", "jq"]),
    "deep JSON": ("rows.jsonl", b'{"a":' * 200_000, ["rows.jsonl, line 1", "JSON that cannot be read"]),
    "corrupt parquet": ("rows.parquet", b"PAR1 and no more PAR1", ["rows.parquet is not a readable parquet file"]),
    "truncated parquet": (
        "rows.parquet",
        parquet_bytes()[:-9],
        ["rows.parquet is not a readable parquet file", "Write it again"],
    ),
    "text named parquet": ("rows.parquet", TEXT, ["rows.parquet is not a readable parquet file"]),
}


@pytest.mark.parametrize(("name", "content", "expected"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_with_its_name_and_place(tmp_path, name, content, expected):
    path = tmp_path / name if content is None else saved(tmp_path, name, content)

    with pytest.raises(DataError) as caught:
        read_table(path)

    assert not [part for part in expected if part not in str(caught.value)], str(caught.value)


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"a": pyarrow.array([], pyarrow.string())}), tmp_path / "rows.parquet")

    with pytest.raises(DataError, match="holds no rows"):
        read_table(tmp_path / "rows.parquet")


def test_a_folder_is_not_a_file(tmp_path):
    (tmp_path / "rows.csv").mkdir()

    with pytest.raises(DataError, match=r"rows\.csv is a folder; expected rows"):
        read_table(tmp_path / "rows.csv")


def test_a_missing_file_suggests_near_names(tmp_path):
    saved(tmp_path, "train.csv", "a,b,c\n")

    with pytest.raises(DataError, match=r"trian\.csv does not exist\. Did you mean .*train\.csv\?"):
        read_table(tmp_path / "trian.csv")
