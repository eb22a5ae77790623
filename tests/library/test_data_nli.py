"""NLI files become checked rows, triplets and samples."""

import csv
import io
import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.columns import MISSING
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.normalise import clean
from sbert_prune.data.rows import Label, NliRow, RowSet
from sbert_prune.errors import DataError, RecipeError

E, N, C = Label.ENTAILMENT, Label.NEUTRAL, Label.CONTRADICTION
GOOD = "A man sleeps.,A person rests.,entailment\n"


def saved(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "premise,hypothesis,label\nA man sleeps.,A person rests.,entailment\nA cat runs.,It sits.,contradiction\n",
        "Label,Hypothesis,Premise\nentailment,A person rests.,A man sleeps.\nCONTRADICTION,It sits.,A cat runs.\n",
        "gold_label,id,sentence1,sentence2\nentailment,7,A man sleeps.,A person rests.\n"
        "contradiction,8,A cat runs.,It sits.\n",
        " Sentence 1 ,Sentence-2,LABEL\nA man sleeps., A person rests. ,0\nA cat runs.,It sits.,2.0\n",
        "A man sleeps.,A person rests.,Entailment\nA cat runs.,It sits.,contradictory\n",
        "A man sleeps.;A person rests.;0\nA cat runs.;It sits.;2\n",
        '"premise","hypothesis","label"\n"A man sleeps.","A person rests.","entailed"\n"A cat runs.","It sits.","2"\n',
    ],
)
def test_rows_are_read_whatever_the_order_names_and_spelling(tmp_path, text):
    path = saved(tmp_path, "nli.csv", text)

    rows = parse_nli(path).rows

    assert rows == (NliRow("A man sleeps.", "A person rests.", E), NliRow("A cat runs.", "It sits.", C))


@pytest.mark.parametrize("kind", [pyarrow.int64(), pyarrow.int8(), pyarrow.float32(), pyarrow.string()])
def test_parquet_labels_may_be_of_any_number_type(tmp_path, kind):
    labels = pyarrow.array([0, 1, 2, -1]).cast(kind)
    table = pyarrow.table({"premise": list("abcd"), "hypothesis": list("efgh"), "label": labels})
    pyarrow.parquet.write_table(table, tmp_path / "nli.parquet")

    rows = parse_nli(tmp_path / "nli.parquet")

    assert [row.label for row in rows.rows] == [E, N, C]
    assert rows.num_unlabelled == 1


def test_rows_without_a_gold_label_are_counted_and_are_not_bad(tmp_path):
    path = saved(tmp_path, "nli.csv", f"premise,hypothesis,label\n{GOOD}a,b,-\nc,d,-1\n")

    rows = parse_nli(path)

    assert (len(rows), rows.num_unlabelled, rows.skipped) == (1, 2, ())


def test_the_digest_does_not_depend_on_the_format(tmp_path):
    rows = [("A man, asleep", 'He "rests"', "entailment"), ("एक पुरुष", "b\nc", "neutral")]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    as_csv = saved(tmp_path, "a.csv", buffer.getvalue())
    as_json = saved(
        tmp_path, "b.jsonl", "".join(json.dumps({"label": c, "premise": a, "hypothesis": b}) + "\n" for a, b, c in rows)
    )

    digests = {parse_nli(as_csv).digest, parse_nli(as_json).digest}

    assert len(digests) == 1


def test_the_digest_depends_on_order_and_content():
    one, two = NliRow("a", "b", E), NliRow("a", "b", N)

    digests = {
        RowSet("x", rows, "x").digest for rows in [(one, two), (two, one), (one,), (), (NliRow("a1:b", "b", E),)]
    }

    assert len(digests) == 5


BAD_ROWS = {
    "unknown label": (
        "a,b,maybe\n",
        ["nli.csv, line 3", "'maybe'", "contradiction, or e, n, c or 0, 1, 2"],
    ),
    "label 3": ("a,b,3\n", ["line 3", "'3'", "0, 1, 2"]),
    "missing label": ("a,b,\n", ["line 3", "the label is missing"]),
    "empty premise": (",b,neutral\n", ["line 3", "the premise is empty", "expected a sentence"]),
    "blank hypothesis": ("a,  \u00a0 ,neutral\n", ["line 3", "the hypothesis is empty"]),
    "invisible hypothesis": ("a,\u200b\u200b,neutral\n", ["line 3", "the hypothesis is empty"]),
    "a missing value by name": ("a,nan,neutral\n", ["line 3", "the hypothesis is 'nan'", "missing value"]),
    "too few cells": ("a,b\n", ["line 3", "2 cells; expected 3", "columns premise, hypothesis, label"]),
    "too many cells": ("a,b,c,neutral\n", ["line 3", "4 cells; expected 3"]),
    "shifted cells": ("neutral,a,b\n", ["line 3", "'b'", "entailment"]),
    "quote not closed": ('"a,b,neutral\n', ["line 3", "never closed"]),
    "quote not doubled": ('"a "b" c",b,neutral\n', ["line 3", "not doubled"]),
    "a header again": ("premise,hypothesis,label\n", ["line 3", "'label'"]),
}


@pytest.mark.parametrize(("bad", "expected"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_refused_with_file_line_and_reason(tmp_path, bad, expected):
    path = saved(tmp_path, "nli.csv", f"premise,hypothesis,label\n{GOOD}{bad}")

    with pytest.raises(DataError) as caught:
        parse_nli(path)

    assert not [part for part in [*expected, str(path), "on_bad_rows=skip"] if part not in str(caught.value)], str(
        caught.value
    )


@pytest.mark.parametrize("bad", [bad for bad, _ in BAD_ROWS.values()], ids=BAD_ROWS)
def test_a_bad_row_is_skipped_alone_and_reported(tmp_path, bad):
    path = saved(tmp_path, "nli.csv", f"premise,hypothesis,label\n{GOOD}{bad}{GOOD}")

    rows = parse_nli(path, on_bad_rows="skip")

    assert len(rows) == 2
    assert [message.startswith(f"{path}, line 3: ") for message in rows.skipped] == [True]


BAD_OBJECTS = {
    "missing key": ({"premise": "a", "label": 0}, "the hypothesis is missing"),
    "null": ({"premise": None, "hypothesis": "b", "label": 0}, "the premise is missing"),
    "number": ({"premise": 3, "hypothesis": "b", "label": 0}, "the premise is '3' (int)"),
    "list": ({"premise": ["a"], "hypothesis": "b", "label": 0}, "(list); expected a sentence"),
    "NaN": ({"premise": float("nan"), "hypothesis": "b", "label": 0}, "the premise is missing"),
    "NaN label": ({"premise": "a", "hypothesis": "b", "label": float("nan")}, "the label is missing"),
    "true": ({"premise": "a", "hypothesis": "b", "label": True}, "the label is 'True'"),
    "half a surrogate pair": (
        {"premise": "a\ud800", "hypothesis": "b", "label": 0},
        "the premise contains the character",
    ),
    "NUL": ({"premise": "a", "hypothesis": "b\0", "label": 0}, "the hypothesis contains the character"),
}


@pytest.mark.parametrize(("bad", "expected"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_bad_json_row_is_refused_with_its_line(tmp_path, bad, expected):
    good = {"premise": "a", "hypothesis": "b", "label": 0}
    path = saved(tmp_path, "nli.jsonl", f"{json.dumps(good)}\n{json.dumps(bad)}\n")

    with pytest.raises(DataError) as caught:
        parse_nli(path)

    assert "nli.jsonl, line 2" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "premise,hypothesis,score\na,b,1\n",
            ["no column 'label'", "'premise', 'hypothesis', 'score'", "label or gold_label"],
        ),
        ("premise,premise,hypothesis,label\na,b,c,0\n", ["2 columns 'premise'", "expected one"]),
        ("one,two,three\na,b,0\n", ["'one', 'two', 'three'", "premise, hypothesis, label", "no header"]),
        ("a,b\nc,d\n", ["2 cells", "premise, hypothesis, label"]),
        ("premise,hypothesis,label\n", ["holds a header and no rows"]),
        ("premise,hypothesis,label\na,b,-1\nc,d,-\n", ["none of its 2 rows has a gold label"]),
        ('"a" x,b,c\na,b,neutral\n', ["line 1", "the columns cannot be identified"]),
        ("premise\thypothesis\tlabel\n", ["no rows"]),
    ],
)
def test_a_file_that_is_not_nli_is_refused_with_its_contents(tmp_path, text, expected):
    path = saved(tmp_path, "nli.csv", text)

    with pytest.raises(DataError) as caught:
        parse_nli(path, on_bad_rows="skip")

    assert not [part for part in [*expected, "nli.csv"] if part not in str(caught.value)], str(caught.value)


def test_a_file_with_mostly_bad_rows_is_refused_even_when_skipping(tmp_path):
    path = saved(tmp_path, "nli.csv", "premise,hypothesis,label\n" + GOOD + "a,b,x\n" * 4)

    with pytest.raises(DataError, match=r"4 of 5 rows cannot be used.*line 3.*line 4.*line 5"):
        parse_nli(path, on_bad_rows="skip")


def test_an_unknown_way_with_bad_rows_is_refused(tmp_path):
    path = saved(tmp_path, "nli.csv", "premise,hypothesis,label\n" + GOOD)

    with pytest.raises(RecipeError, match=r"on_bad_rows='ignore' is unknown\. It is one of error, skip"):
        parse_nli(path, on_bad_rows="ignore")


VISIBLE = st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Zl", "Zp"))
SENTENCE = st.text(VISIBLE, min_size=1, max_size=15).map(clean).filter(lambda text: text and text not in MISSING)
ROWS = st.lists(st.builds(NliRow, SENTENCE, SENTENCE, st.sampled_from(Label)), min_size=1, max_size=10)


@settings(deadline=None)
@given(rows=ROWS)
def test_rows_written_as_csv_are_read_back_equal(tmp_path_factory, rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("premise", "hypothesis", "label"), *(row.content() for row in rows)])
    path = saved(tmp_path_factory.mktemp("nli"), "nli.csv", buffer.getvalue())

    back = parse_nli(path)

    assert back.rows == tuple(rows)


@pytest.mark.parametrize(
    "header",
    [
        "premise,hypothesis,entailment,neutral,contradiction",
        "contradiction,Label_Neutral,is_entailment,hypothesis,premise",
    ],
)
def test_labels_may_be_one_hot(tmp_path, header):
    cells = {"premise": "p", "hypothesis": "h", "entailment": "1", "neutral": "0.0", "contradiction": "false"}
    names = [name.lower().removeprefix("label_").removeprefix("is_") for name in header.split(",")]
    path = saved(tmp_path, "nli.csv", header + "\n" + ",".join(cells[name] for name in names) + "\n")

    rows = parse_nli(path)

    assert rows.rows == (NliRow("p", "h", Label.ENTAILMENT),)
    assert "labels one-hot" in rows.notes


@pytest.mark.parametrize("flags", ["1,1,0", "0,0,0", "2,0,0", "1,,0"])
def test_a_row_that_is_not_one_hot_is_refused(tmp_path, flags):
    path = saved(tmp_path, "nli.csv", f"premise,hypothesis,entailment,neutral,contradiction\np,h,1,0,0\np,h,{flags}\n")

    with pytest.raises(
        DataError, match=r"line 3: the columns entailment, neutral, contradiction hold .* expected a 1 in one of them"
    ):
        parse_nli(path)


def test_numbers_as_labels_are_noted_with_their_meaning(tmp_path):
    path = saved(tmp_path, "nli.csv", "premise,hypothesis,label\np,h,0\np,i,2\n")

    assert "labels 0, 1, 2 read as entailment, neutral, contradiction" in parse_nli(path).notes


def test_a_file_in_utf_16_is_read(tmp_path):
    path = tmp_path / "nli.tsv"
    path.write_bytes("premise\thypothesis\tlabel\nतो झोपतो.\tतो जागा आहे.\tcontradiction\n".encode("utf-16"))

    rows = parse_nli(path)

    assert rows.rows == (NliRow("तो झोपतो.", "तो जागा आहे.", Label.CONTRADICTION),)
    assert "tab-separated, no quotes, UTF-16" in rows.notes
