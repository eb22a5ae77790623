"""The delimiter and the quoting of a text are recognised from its lines."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.formats.delimited import choose_delimiter, parse_lines, reads_as_quoted

PLAIN_CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip)
LINES_CELL = st.text(st.sampled_from('ab ",\n'), max_size=12)


def lines_of(text):
    return io.StringIO(text, newline="\n").readlines()


@settings(deadline=None)
@given(rows=st.lists(st.tuples(PLAIN_CELL, st.one_of(PLAIN_CELL, LINES_CELL), PLAIN_CELL), min_size=1, max_size=12))
def test_tab_separated_text_that_a_csv_writer_quoted_is_recognised(rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter="\t", quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *rows])
    lines = lines_of(buffer.getvalue())

    quoted = reads_as_quoted(lines, "\t")

    assert [record.cells for record in parse_lines(lines, "\t", quoted=quoted)] == [("a", "b", "c"), *rows]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a\tb\tc\n", False),
        ('He said "no".\tb\tc\nd\t"Well" she said\tf\n', False),
        ('"Superman" shirt\tb\tc\nd\te\tf\ng\the said "no\ti\n', False),
        ('"opened here\tb\tc\nd\te\tf\ng\t"closed" there"\ti\n', False),
        ('"opened here\tb\tc\nd\te\tf\ng\tclosed here"\ti\n', False),
        ('"He said ""no""."\tb\tc\nd\te\tf\n', True),
        ('"He said ""no""."\tb\tc\n"She said ""yes""."\tb\tc\nd\tan "odd" one\tf\n', True),
        ('"a"\t"b"\t"c"\n"d"\t"e"\t"f"\n', True),
        ('a\t"open\tc\nx\ty\nz\tshut"\tw\nd\te\tf\n', False),
        ('"a\nb"\tc\td\ne\tf\tg\n"h\ni"\tj\tk\n', True),
        ('"a\tb"\tc\td\ne\tf\tg\nh\ti\tj\n', True),
    ],
)
def test_quoting_of_tab_separated_text_is_decided_by_evidence(text, quoted):
    lines = lines_of(text)

    decided = reads_as_quoted(lines, "\t")

    assert decided is quoted


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b,1\nc,d,2\n", ","),
        ("a;b;3,8\nc;d;4,2\n", ";"),
        ("sentence1;sentence2;score\nOne, two;three;1\n", ";"),
        ("x\ty\tOne, two, three.\nz\tw\tFour.\n", "\t"),
        ("one column only\nand no more\n", ","),
    ],
)
def test_the_delimiter_of_a_csv_file_is_recognised(text, delimiter):
    lines = lines_of(text)

    chosen = choose_delimiter(lines)

    assert chosen == delimiter
