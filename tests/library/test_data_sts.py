"""STS files become checked rows with scores from 0 to 1."""

import csv
import io
import json
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data import sts as sts_files
from sbert_prune.data.rows import RowSet, StsRow
from sbert_prune.data.scores import ScoreRange, ScoreStatistics, parse_number
from sbert_prune.errors import DataError

GOOD = "A man sleeps.,A person rests.,3.5\n"


def parse_sts(path, score_range=(0, 5), **given):
    return sts_files.parse_sts({"test": [path]}, score_range=score_range, **given)[0]["test"]


def saved(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("name", "text", "layout"),
    [
        ("s.csv", "One.,Two.,4\nThree.,Four.,2.5\n", "no header: sentence1, sentence2, score"),
        ("s.csv", "4,One.,Two.\n2.5,Three.,Four.\n", "no header: score, sentence1, sentence2"),
        ("s.csv", "Score,Sentence2,Sentence1\n4,Two.,One.\n2.5,Four.,Three.\n", "columns score, sentence2, sentence1"),
        (
            "s.csv",
            "id,sent_1,sent_2,similarity\n1,One.,Two.,4\n2,Three.,Four.,2.5\n",
            "columns id, sent_1, sent_2, similarity",
        ),
        ("s.csv", "s1;s2;label\nOne.;Two.;4,0\nThree.;Four.;2,5\n", "columns s1, s2, label"),
        ("s.csv", "One.;Two.;4,0\nThree.;Four.;2,5\n", "no header: sentence1, sentence2, score"),
        (
            "s.tsv",
            "news\tf\t2012\t1\t4\tOne.\tTwo.\nnews\tf\t2012\t2\t2.5\tThree.\tFour.\n",
            "no header: genre, file, year, id, score, sentence1, sentence2",
        ),
        (
            "s.csv",
            "news\tf, g\t2012\t1\t4\tOne.\tTwo.\turl\nnews\tf\t2012\t2\t2.5\tThree.\tFour.\n",
            "no header: genre, file, year, id, score, sentence1, sentence2",
        ),
        (
            "s.jsonl",
            '{"sentence1": "One.", "sentence2": "Two.", "score": 4}\n'
            '{"score": "2.5", "sentence2": "Four.", "sentence1": "Three."}\n',
            "columns",
        ),
    ],
)
def test_columns_are_identified_by_their_names_or_contents(tmp_path, name, text, layout):
    path = saved(tmp_path, name, text)

    rows = parse_sts(path)

    assert [(*row.sentences, row.score) for row in rows.rows] == [("One.", "Two.", 0.8), ("Three.", "Four.", 0.5)]
    assert layout in " ".join(rows.notes)
    assert "scores 0-5, given" in rows.notes


@pytest.mark.parametrize(
    ("name", "text", "origins"),
    [
        (
            "s.tsv",
            "news\tf\t2012\t1\t4\tOne.\tTwo.\nweb\tg\t2012\t2\t2.5\tThree.\tFour.\n",
            [("news", "f"), ("web", "g")],
        ),
        ("s.csv", "Genre,sentence1,sentence2,score\nnews,One.,Two.,4\n,Three.,Four.,2.5\n", [("news", ""), ("", "")]),
        ("s.csv", "sentence1,sentence2,score\nOne.,Two.,4\nThree.,Four.,2.5\n", [("", ""), ("", "")]),
        ("s.csv", "One.,Two.,4\nThree.,Four.,2.5\n", [("", ""), ("", "")]),
    ],
)
def test_the_origin_of_a_pair_is_kept_and_does_not_change_its_digest(tmp_path, name, text, origins):
    rows = parse_sts(saved(tmp_path, name, text))

    assert [(row.genre, row.file) for row in rows.rows] == origins
    assert rows.digest == RowSet("", (StsRow("One.", "Two.", 0.8), StsRow("Three.", "Four.", 0.5)), "").digest


def test_one_damaged_first_row_does_not_hide_the_layout(tmp_path):
    path = saved(tmp_path, "s.csv", "One.,Two.,\n" + GOOD * 5)

    rows = parse_sts(path, on_bad_rows="skip")

    assert len(rows) == 5
    assert "line 1: the score is missing" in rows.skipped[0]
    assert "If this line is a header, name its columns sentence1, sentence2, score" in rows.skipped[0]


def test_a_tab_in_a_sentence_is_a_bad_row_and_no_silent_shift(tmp_path):
    row = "news\tf\t2012\t1\t4\tOne.\tTwo.\n"
    path = saved(tmp_path, "s.tsv", row * 30 + "news\tf\t2012\t1\t4\tO\tne.\tTwo.\n")

    with pytest.raises(DataError, match="line 31: 8 cells; expected 7"):
        parse_sts(path)


def steps(low, high, step, count=40):
    return [low + step * (number % (round((high - low) / step) + 1)) for number in range(count)]


def inferred(scores):
    statistics = ScoreStatistics()
    for score in scores:
        statistics.add(score)
    return ScoreRange.inferred(statistics)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        *((steps(0, high, high / 10), (0, high)) for high in (1, 3, 4, 5, 7, 10, 100)),
        (steps(0, 5, 1, count=20), (0, 5)),
        (steps(1, 5, 1), (1, 5)),
        (steps(1, 7, 1), (1, 7)),
        ([0.0, 1.0] * 10, (0, 1)),
        (steps(-1, 1, 0.5), (-1, 1)),
        ([*steps(0, 5, 1), float("nan"), float("inf")], (0, 5)),
    ],
)
def test_the_range_is_inferred_where_many_scores_reach_both_its_ends(scores, expected):
    bounds = inferred(scores)

    assert (bounds.low, bounds.high) == expected
    assert str(bounds) == f"scores {expected[0]:g}-{expected[1]:g}, inferred from {expected[0]:g} to {expected[1]:g}"


NOT_INFERRED = {
    "too few": (steps(0, 5, 1, count=19), "of 19 scores, the range is not inferred"),
    "half of a range": (steps(0, 2.5, 0.5), "the scores go from 0 to 2.5, which are not the ends of a usual range"),
    "the upper half": (steps(2, 5, 0.5), "from 2 to 5, which are not the ends"),
    "an unusual end": (steps(0, 6, 1), "from 0 to 6, which are not the ends"),
    "nearly the end": (steps(0, 4.8, 0.2), "from 0 to 4.8, which are not the ends"),
    "a mistake that looks like an end": ([*steps(0, 5, 1), 7], "from 0 to 7, and 7 is far from all others"),
    "a mistake beyond 1": ([*steps(0, 1, 0.1), 5], "from 0 to 5, and 5 is far from all others"),
    "some hidden": (
        [*steps(0, 5, 1), -1, -1],
        "from -1 to 5, which are not the ends .* may be hidden",
    ),
    "some hidden of 0 to 1": ([*steps(0, 1, 0.1), -1, -1], "from -1 to 1, which are not the ends"),
}


@pytest.mark.parametrize(("scores", "expected"), NOT_INFERRED.values(), ids=NOT_INFERRED)
def test_a_range_that_is_not_certain_is_asked_for(tmp_path, scores, expected):
    lines = "".join(f"One {number}.,Two.,{score:g}\n" for number, score in enumerate(scores))
    path = saved(tmp_path, "s.csv", f"sentence1,sentence2,score\n{lines}")

    with pytest.raises(DataError, match=expected + r".*Give the range .*: sts_score_range=LOW-HIGH, such as 0-5\."):
        parse_sts(path, score_range=None)

    assert len(parse_sts(path, score_range=None, ends_known=False)) == len(scores)


def test_skipping_is_not_advised_where_it_would_drop_a_part_of_the_scale(tmp_path):
    path = saved(tmp_path, "s.csv", "sentence1,sentence2,score\n" + GOOD * 3 + "a,b,5\n")

    with pytest.raises(DataError) as caught:
        parse_sts(path, score_range=(0, 4))

    assert "line 5: the score is 5; expected 0 to 4 (the given range)" in str(caught.value)
    assert str(caught.value).endswith("fix the file, or give the range of all its scores: sts_score_range=LOW-HIGH.")


def test_a_test_split_with_hidden_scores_is_left_out_and_told(tmp_path):
    lines = [f"One {number}.,Two.,{score:g}\n" for number, score in enumerate(steps(0, 5, 1))]
    texts = {"train": lines, "dev": lines, "test": [line.rpartition(",")[0] + ",-1\n" for line in lines]}
    splits = {name: [saved(tmp_path, f"{name}.csv", "".join(lines))] for name, lines in texts.items()}

    for score_range in (None, (0, 5)):
        sets, bounds = sts_files.parse_sts(splits, score_range=score_range)

        assert (bounds.low, bounds.high) == (0, 5)
        assert [len(sets[name]) for name in texts] == [40, 40, 0]
        assert f"{splits['test'][0]}: its 40 scores are hidden (all are -1), so nothing is" in sets["dev"].notes[-1]
    with pytest.raises(DataError, match=r"dev\.csv: all 40 scores are -1, which stands for hidden ones"):
        sts_files.parse_sts({**splits, "dev": [saved(tmp_path, "dev.csv", "".join(texts["test"]))]})
    with pytest.raises(DataError, match=r"test\.csv: all 40 scores are -1"):
        sts_files.parse_sts({"test": splits["test"]})


def test_a_given_range_scales_the_scores(tmp_path):
    path = saved(tmp_path, "s.csv", "sentence1,sentence2,score\na,b,1\nc,d,3\ne,f,5\n")

    rows = parse_sts(path, score_range=(1, 5))

    assert [row.score for row in rows.rows] == [0.0, 0.5, 1.0]
    assert "scores 1-5, given" in rows.notes


@pytest.mark.parametrize("bounds", [(5, 0), (1, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_range_that_does_not_ascend_is_refused(bounds):
    with pytest.raises(DataError, match="not ascending; write it as LOW-HIGH"):
        ScoreRange(*bounds, is_given=True)


BAD_SCORES = {
    "above the range": (
        "7",
        "the score is 7; expected 0 to 5 (the given range)",
    ),
    "negative": ("-0.5", "the score is -0.5; expected 0 to 5"),
    "NaN": ("nan", "the score is nan; expected 0 to 5"),
    "infinite": ("inf", "the score is inf; expected 0 to 5"),
    "too large for a float": ("1e999", "the score is inf; expected 0 to 5"),
    "missing": ("", "the score is missing; expected a number"),
    "a word": ("high", "the score is 'high', which is not a number"),
    "a fraction": ("4/5", "the score is '4/5', which is not a number"),
    "digits with an underscore": ("1_0", "the score is '1_0', which is not a number"),
}


@pytest.mark.parametrize(("score", "expected"), BAD_SCORES.values(), ids=BAD_SCORES)
def test_a_bad_score_is_refused_with_its_line_and_skipped_alone(tmp_path, score, expected):
    path = saved(tmp_path, "s.csv", f"sentence1,sentence2,score\n{GOOD}a,b,{score}\n{GOOD}")

    with pytest.raises(DataError) as caught:
        parse_sts(path)
    rows = parse_sts(path, on_bad_rows="skip")

    assert f"{path}, line 3: {expected}" in str(caught.value)
    assert len(rows) == 2
    assert len(rows.skipped) == 1


@pytest.mark.parametrize("field", ["genre", "file"])
@pytest.mark.parametrize("character", ["\\ud800", "\\u0000"])
def test_an_origin_with_an_invalid_character_is_refused_with_its_line_and_skipped_alone(tmp_path, field, character):
    rows = [
        f'{{"genre": "news", "file": "x", "sentence1": "{text}", "sentence2": "b", "score": {text}}}' for text in "1234"
    ]
    bad = rows[1].replace(f'"{field}": "', f'"{field}": "a{character}')
    path = saved(tmp_path, "s.jsonl", "\n".join([rows[0], bad, *rows[2:]]))

    with pytest.raises(DataError) as caught:
        parse_sts(path)
    found = parse_sts(path, on_bad_rows="skip")

    assert f"{path}, line 2: the {field} contains the character" in str(caught.value)
    assert [row.sentence1 for row in found.rows] == ["1", "3", "4"]


BAD_ROWS = {
    "empty sentence": (",b,3\n", "the sentence1 is empty"),
    "blank sentence": ("a,   ,3\n", "the sentence2 is empty"),
    "too few cells": ("a,3\n", "2 cells; expected 3"),
    "too many cells": ("a,b,c,3\n", "4 cells; expected 3"),
    "quote not closed": ('"a,b,3\n', "never closed"),
}


@pytest.mark.parametrize(("bad", "expected"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_of_a_file_without_header_is_refused_with_its_line(tmp_path, bad, expected):
    path = saved(tmp_path, "s.csv", GOOD * 3 + bad)

    with pytest.raises(DataError) as caught:
        parse_sts(path)

    assert f"{path}, line 4: " in str(caught.value)
    assert expected in str(caught.value)


def test_a_wrong_given_range_is_named_as_given(tmp_path):
    path = saved(tmp_path, "s.csv", GOOD * 3)

    with pytest.raises(
        DataError, match=r"3 of 3 rows cannot be used.*the score is 3\.5; expected 0 to 1 \(the given range\)"
    ):
        parse_sts(path, score_range=(0, 1), on_bad_rows="skip")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sentence1,sentence2\na,b\n", ["no column 'score'", "'sentence1', 'sentence2'", "similarity"]),
        ("a,b,c,d\ne,f,g,h\n", ["'a', 'b', 'c', 'd'", "sentence1, sentence2, score", "genre, file, year"]),
        ("a,b\nc,d\n", ["'a', 'b'", "2 columns"]),
        ("1,2,3\n4,5,6\n", ["no known order"]),
        ("sentence1,sentence2,score\n", ["a header and no rows"]),
    ],
)
def test_a_file_that_is_not_sts_is_refused_with_its_contents(tmp_path, text, expected):
    path = saved(tmp_path, "s.csv", text)

    with pytest.raises(DataError) as caught:
        parse_sts(path)

    assert not [part for part in [*expected, "s.csv"] if part not in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("3.8", 3.8),
        (" 3,8 ", 3.8),
        ("३.५", 3.5),
        (4, 4.0),
        (Decimal("0.5"), 0.5),
        (True, None),
        (None, None),
        ("1,234,5", None),
        (10**400, float("inf")),
    ],
)
def test_numbers_are_read_as_people_and_files_write_them(cell, number):
    parsed = parse_number(cell)

    assert parsed == number


def test_the_digest_does_not_depend_on_the_format_or_the_float_size(tmp_path):
    as_csv = saved(tmp_path, "a.csv", "One.,Two.,3.8\nThree.,Four.,-0.0\n")
    as_json = saved(
        tmp_path, "b.jsonl", '{"s1": "One.", "s2": "Two.", "score": 3.8}\n{"s1": "Three.", "s2": "Four.", "score": 0}\n'
    )
    columns = {
        "sentence1": ["One.", "Three."],
        "sentence2": ["Two.", "Four."],
        "score": pyarrow.array([3.8, 0], pyarrow.float32()),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "c.parquet")

    digests = {parse_sts(path).digest for path in (as_csv, as_json, tmp_path / "c.parquet")}

    assert len(digests) == 1


WORD = st.text(st.sampled_from("abcdé, \"'"), min_size=1, max_size=12).map(str.strip).filter(bool)
SCORES = st.integers(0, 50).map(lambda tenths: tenths / 10)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(WORD, WORD, SCORES), min_size=1, max_size=10))
def test_rows_written_as_csv_are_read_back_equal(tmp_path_factory, rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("sentence1", "sentence2", "score"), *rows])
    path = saved(tmp_path_factory.mktemp("sts"), "s.csv", buffer.getvalue())

    back = parse_sts(path, score_range=(0, 5))

    assert [(row.sentence1, row.sentence2, round(row.score * 5, 6)) for row in back.rows] == rows


def test_json_null_scores_are_missing(tmp_path):
    path = saved(
        tmp_path,
        "s.jsonl",
        json.dumps({"s1": "a", "s2": "b", "score": 1}) + "\n" + json.dumps({"s1": "a", "s2": "b", "score": None}),
    )

    with pytest.raises(DataError, match="line 2: the score is missing"):
        parse_sts(path)
