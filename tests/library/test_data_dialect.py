"""The delimiter and the quoting of a text are recognised from its lines."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.formats.delimited import choose_delimiter, parse_lines, reads_as_quoted
from sbert_prune.data.sources import load_nli, load_sts_for_evaluation
from sbert_prune.errors import DataError

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


PAIRS = [(f"One {number}, or so.", f"Two {number}", number % 6) for number in range(24)]


def pairs_of(delimiter, *, number=str, end="\n", row="{}"):
    cells = ((f'"{one}"', two, number(score)) for one, two, score in PAIRS)
    return "".join(row.format(delimiter.join(line)) + end for line in cells)


def numbered(lines):
    return "".join(f'"{number}"\t{line}\n' for number, line in enumerate(lines.splitlines(), start=1))


HEADER = "sentence1;sentence2;score"
SPREADSHEETS = {
    "Excel's hint": ("s.csv", f"\ufeffsep=;\r\n{HEADER}\r\n{pairs_of(';', end=chr(13) + chr(10))}", ""),
    "the hint in quotes, of tabs": ("s.csv", '"sep=\t"\n' + HEADER.replace(";", "\t") + "\n" + pairs_of("\t"), ""),
    "empty columns and rows": ("s.csv", f"{HEADER};;;\n{pairs_of(';', row='{};;;')}" + ";;;;;\n" * 5, ""),
    "an empty row between": ("s.csv", f"{HEADER}\n;;\n ; ; \n{pairs_of(';')}", ""),
    "a title": ("s.csv", f"Ratings of 2024;;\n;;\nRater:;A;\n{HEADER}\n{pairs_of(';')}", "title lines above: 2"),
    "a title in one cell": ("s.csv", f"Ratings\n\n{HEADER.replace(';', ',')}\n{pairs_of(',')}", "title lines above: 1"),
    "decimal commas": ("s.csv", f"{HEADER}\n{pairs_of(';', number='{},0'.format)}", ""),
    "tabs and quoted names": ("s.tsv", '"sentence1"\t"sentence2"\t"score"\n' + pairs_of("\t"), ""),
    "R's row names": ("s.tsv", HEADER.replace(";", "\t") + "\n" + numbered(pairs_of("\t")), "behind row names"),
}


@pytest.mark.parametrize(("name", "text", "note"), SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_what_spreadsheets_write_around_the_rows_is_understood(tmp_path, name, text, note):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")

    rows = load_sts_for_evaluation(str(tmp_path / name))["test"]

    assert [(*row.sentences, round(row.score * 5)) for row in rows.rows] == PAIRS
    assert note in "; ".join(rows.notes)


def test_rows_above_a_header_that_are_no_title_are_not_lost(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(f"{pairs_of(';')}{HEADER}\n{pairs_of(';')}")

    with pytest.raises(DataError, match="line 25: the score is 'score', which is not a number"):
        load_sts_for_evaluation(str(path), score_range=(0, 5))


def test_the_files_of_semeval_are_named_with_how_to_join_them(tmp_path):
    (tmp_path / "STS.input.news.txt").write_text("One.\tTwo.\n")
    (tmp_path / "STS.gs.news.txt").write_text("4\n")

    for setting in (tmp_path, tmp_path / "STS.input.news.txt"):
        with pytest.raises(DataError, match=r"without scores, .*: paste STS\.gs\.news\.txt STS\.input\.news\.txt"):
            load_sts_for_evaluation(str(setting))


LETTERS = {
    "small": "enc",
    "capital": "ENC",
    "numbers": "012",
}


@pytest.mark.parametrize("labels", LETTERS.values(), ids=LETTERS)
def test_letters_stand_for_labels(tmp_path, labels):
    path = tmp_path / "nli.jsonl"
    lines = [f'{{"context": "One.", "hypothesis": "Two.", "label": "{label}"}}\n' for label in labels]
    path.write_text("".join(lines))

    rows = load_nli(str(path))

    assert [row.label.value for row in rows.rows] == ["entailment", "neutral", "contradiction"]
    assert f"labels {', '.join(labels.lower())} read as entailment, neutral, contradiction" in rows.notes


TRIPLETS = {
    "anchor,positive,negative\na,b,c\n": "two rows: anchor, positive, entailment; and anchor, negative, contradiction",
    '["a", "b", "c"]\n["d", "e", "f"]\n': "It has an array a line, without names of columns",
}


@pytest.mark.parametrize(("text", "expected"), TRIPLETS.items())
def test_triplets_are_refused_with_what_to_make_of_them(tmp_path, text, expected):
    path = tmp_path / ("t.jsonl" if text.startswith("[") else "t.csv")
    path.write_text(text)

    with pytest.raises(DataError, match=expected):
        load_nli(str(path))


def test_skipping_most_rows_is_not_advised(tmp_path):
    path = tmp_path / "nli.csv"
    path.write_text("premise,hypothesis,label\na,b,neutral\na,c,Widerspruch\na,d,Folgerung\n")

    with pytest.raises(DataError) as caught:
        load_nli(str(path))

    assert str(caught.value).endswith("2 rows are bad of 3; fix the file.")
