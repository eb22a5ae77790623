"""Plain text is streamed line by line; other files raise errors with the name, the place, and what was expected."""

import gzip
import lzma

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_prune.data.formats.text import TextLines
from sbert_prune.data.normalise import clean
from sbert_prune.data.texts import load_texts
from sbert_prune.errors import DataError

TEXT = "One sentence.\n\n  Ein zweiter Satz — länger.  \r\nएक वाक्य\n"
READ = ["One sentence.", "Ein zweiter Satz — länger.", "एक वाक्य"]
COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def saved(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", ["corpus.txt", "corpus", "corpus.en"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_is_read_plain_and_compressed_with_and_without_a_mark(tmp_path, name, suffix, mark):
    path = saved(tmp_path, name + suffix, COMPRESSIONS[suffix](mark + TEXT.encode()))

    sentences = list(load_texts(path))

    assert sentences == READ


@given(sentences=st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_sentences_without_a_line_end_come_back(tmp_path_factory, sentences):
    path = saved(tmp_path_factory.mktemp("texts"), "corpus.txt", "\n".join(sentences).encode())

    assert list(load_texts(path)) == [clean(sentence) for sentence in sentences]


def test_old_line_ends_and_a_mark_on_a_line_of_its_own_are_read(tmp_path):
    path = saved(tmp_path, "corpus.txt", b"\xef\xbb\xbf\none\rtwo\r\n\rthree")

    assert list(load_texts(path)) == ["one", "two", "three"]


MISTAKES = {
    "no such file": ("corpus.txt", None, ["corpus.txt does not exist", "holds nothing"]),
    "empty file": ("corpus.txt", b"", ["corpus.txt is empty (0 bytes)", "one sentence a line"]),
    "only blank lines": ("corpus.txt", b"\n \n\r\n", ["corpus.txt holds no text", "one sentence a line"]),
    "only a byte order mark": ("corpus.txt", b"\xef\xbb\xbf", ["corpus.txt holds no text"]),
    "empty gzip": ("corpus.txt.gz", gzip.compress(b""), ["holds no text"]),
    "a table": ("corpus.csv", b"a,b\n", ["corpus.csv is a table (.csv)", "one sentence a line"]),
    "a compressed table": ("corpus.tsv.gz", gzip.compress(b"a\tb\n"), ["is a table (.tsv)"]),
    "parquet": ("corpus.parquet", b"PAR1...", ["is a table (.parquet)"]),
    "parquet named text": ("corpus.txt", b"PAR1...", ["a parquet file"]),
    "Excel named text": ("corpus.txt", b"PK\x03\x04rest", ["a zip or Excel file"]),
    "a zip": ("corpus.zip", b"PK\x03\x04rest", ["a zip or Excel file; unpack it"]),
    "gzip named text": ("corpus.txt", gzip.compress(TEXT.encode()), ["a gzip file", ".gz"]),
    "text named gzip": ("corpus.gz", TEXT.encode(), ["corpus.gz is truncated or not a .gz file", "Copy it again"]),
    "text named xz": ("corpus.txt.xz", TEXT.encode(), ["is truncated or not a .xz file"]),
    "UTF-16 without a mark": (
        "corpus.txt",
        TEXT.encode("utf-16-le"),
        ["is not UTF-8", "it may be in UTF-16 without a byte order mark"],
    ),
    "truncated zstd": (
        "corpus.zst",
        pyarrow.compress(TEXT.encode(), "zstd", asbytes=True)[:-4],
        ["truncated or not a .zst file"],
    ),
    "Latin-1": ("corpus.txt", b"\ncaf\xe9\n", ["line 2, byte 4", "0xe9 is not UTF-8", "Latin-1"]),
    "NUL byte": ("corpus.txt", b"a\0b\n", ["line 1, byte 2", "NUL byte"]),
}


@pytest.mark.parametrize(("name", "content", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_at_the_call(tmp_path, name, content, expected):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError) as refused:
        load_texts(path)

    assert all(part in str(refused.value) for part in expected), str(refused.value)


def test_a_folder_and_a_similar_name_are_reported(tmp_path):
    saved(tmp_path, "corpus-en.txt", b"x")

    with pytest.raises(DataError, match="is a folder; expected one text file"):
        load_texts(tmp_path)
    with pytest.raises(DataError, match=r"Did you mean .*corpus-en\.txt\?"):
        load_texts(tmp_path / "corpus_en.txt")


LATER = {
    "Latin-1": ("corpus.txt", b"one\ntwo\ncaf\xe9\n", "line 3, byte 4: the byte 0xe9 is not UTF-8"),
    "half of UTF-16": (
        "corpus.txt",
        "one\ntwo\n".encode("utf-16")[:-1],
        "line 2: begins as UTF-16, but this line is none",
    ),
    "NUL byte": ("corpus.txt", b"one\ntwo\nt\0\n", "line 3, byte 2: a NUL byte"),
    "truncated gzip": (
        "corpus.gz",
        gzip.compress(b"".join(b"%d\n" % number for number in range(99_999)))[:-9],
        "truncated or not a .gz file",
    ),
}


@pytest.mark.parametrize(("name", "content", "expected"), LATER.values(), ids=LATER)
def test_damage_behind_the_first_sentence_is_refused_with_its_place(tmp_path, name, content, expected):
    path = saved(tmp_path, name, content)

    with pytest.raises(DataError, match=expected):
        list(load_texts(path))


def test_a_line_too_long_for_a_sentence_is_refused(tmp_path):
    path = saved(tmp_path, "corpus.txt", b"short\n" + b"x" * 101)

    with pytest.raises(DataError, match=r"line 2 is longer than .* MiB; expected a row or a sentence a line"):
        list(TextLines.of(path, longest=100))
