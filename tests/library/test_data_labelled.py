"""Files of labelled texts of all formats become checked rows; data that are not a classification are refused."""

import csv
import io
import json
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.describe import describe_labelled
from sbert_prune.data.labelled import load_labelled
from sbert_prune.data.rows import LabelledRow
from sbert_prune.data.splits import deal_rows
from sbert_prune.errors import DataError, RecipeError

ROWS = [
    ("Where is Rome?", "place"),
    ("Who was Bach?", "person"),
    ("Where is Bonn, please?", "place"),
    ("Who was Mozart?", "person"),
]
TEST = [("Where is Oslo?", "place"), ("Who was Haydn?", "person")]


def csv_of(rows, header=("text", "label"), delimiter=","):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows([header, *rows] if header else rows)
    return buffer.getvalue()


def saved(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def split(folder, train=ROWS, test=TEST):
    saved(folder, "train.csv", csv_of(train))
    saved(folder, "test.csv", csv_of(test))
    return str(folder)


def pairs(rows):
    return [(row.text, row.label) for row in rows.rows]


def many(num, num_classes=2):
    return [(f"text number {number}", f"class {number % num_classes}") for number in range(num)]


@pytest.mark.parametrize(
    ("name", "text", "layout"),
    [
        ("a.csv", csv_of(ROWS), "columns text, label"),
        ("a.csv", csv_of(ROWS, ("Text", "Label")), "columns text, label"),
        ("a.csv", csv_of(ROWS, ("headline", "category")), "columns headline, category"),
        ("a.csv", csv_of(ROWS, None), "no header: text, label (the label column has 2 different values)"),
        ("a.csv", csv_of(ROWS, None, ";"), "no header: text, label"),
        ("a.csv", csv_of(ROWS, delimiter=";"), "semicolon-separated"),
        ("a.tsv", csv_of([(label, text) for text, label in ROWS], None, "\t"), "no header: label, text"),
        (
            "a.jsonl",
            "\n".join(json.dumps({"class": label, "id": 3, "review": text}) for text, label in ROWS),
            "one JSON object",
        ),
        ("a.txt", "\n".join(f"{label} {text}" for text, label in ROWS), "one label and text a line"),
        ("a.txt", "\r\n".join(f"__label__{label} {text}" for text, label in ROWS), "one label and text a line"),
        ("a.txt", "\n".join(f"{text}\t{label}" for text, label in ROWS), "no header: text, label"),
        ("a.txt", csv_of(ROWS, delimiter="\t"), "columns text, label"),
        ("a.txt", "\n".join(f"{label} {text}" for text, label in ROWS).encode("utf-16"), "one label and text a line"),
    ],
)
def test_the_same_rows_come_from_every_layout(tmp_path, name, text, layout):
    path = saved(tmp_path, name, text)

    data = load_labelled(str(path))

    assert pairs(data.test) == ROWS
    assert data.train is None
    assert data.classes == ("person", "place")
    assert layout in "; ".join(data.test.notes)


def test_a_tab_separated_file_of_long_texts_with_commas_is_no_csv(tmp_path):
    rows = [(f"Well, this{', and that' * number}, is good.", label) for number, label in enumerate("ababab")]

    data = load_labelled(str(saved(tmp_path, "a.tsv", csv_of(rows, ("review", "sentiment"), "\t"))))

    assert pairs(data.test) == rows


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.from_regex(r"[a-z ,\"']{3,12}x", fullmatch=True), st.sampled_from("ab")), min_size=1, max_size=9
    )
)
def test_rows_and_digest_are_the_same_from_csv_and_parquet(tmp_path_factory, rows):
    rows = [
        *(("base one", "a"), ("base two", "a"), ("base three", "b"), ("base four", "b")),
        *((text.strip(), label) for text, label in rows),
    ]
    folder = tmp_path_factory.mktemp("rows")
    table = pyarrow.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    pyarrow.parquet.write_table(table, folder / "a.parquet")

    one, other = load_labelled(str(folder / "a.parquet")), load_labelled(str(saved(folder, "a.csv", csv_of(rows))))

    assert pairs(one.test) == pairs(other.test) == rows
    assert one.test.digest == other.test.digest


def test_train_and_test_may_have_different_headers(tmp_path):
    saved(tmp_path, "train.csv", csv_of(ROWS, ("Text", "Label")))
    saved(tmp_path, "test.jsonl", "\n".join(json.dumps({"labels": label, "sentence": text}) for text, label in TEST))
    saved(tmp_path, "dev.csv", "never read")

    data = load_labelled(str(tmp_path))

    assert (pairs(data.train), pairs(data.test)) == (ROWS, TEST)


@pytest.mark.parametrize("name", ["all.txt", "all.txt.gz", "data.csv"])
def test_a_folder_with_one_file_is_that_file(tmp_path, name):
    import gzip

    text = csv_of(ROWS) if name.endswith("csv") else "\n".join(f"{label} {text}" for text, label in ROWS)
    saved(tmp_path, name, gzip.compress(text.encode()) if name.endswith("gz") else text)

    assert pairs(load_labelled(str(tmp_path)).test) == ROWS


def test_text_files_of_a_folder_are_its_splits(tmp_path):
    saved(tmp_path, "train.txt", "\n".join(f"{label} {text}" for text, label in ROWS))
    saved(tmp_path, "test.txt", "\n".join(f"{label} {text}" for text, label in TEST))

    data = load_labelled(str(tmp_path))

    assert (pairs(data.train), pairs(data.test)) == (ROWS, TEST)


def test_numbers_are_the_words_that_datasets_notes(tmp_path):
    rows = {"text": [text for text, _ in ROWS], "label": [int(label == "place") for _, label in ROWS]}
    kinds = Features({"text": Value("string"), "label": ClassLabel(names=["person", "place"])})
    Dataset.from_dict(rows, features=kinds).to_parquet(tmp_path / "a.parquet")

    assert pairs(load_labelled(str(tmp_path / "a.parquet")).test) == ROWS


def test_a_data_set_of_a_hub_is_fetched(hub, tmp_path):
    hub.add_dataset("org/set", {"data/train.csv": csv_of(ROWS).encode(), "data/test.csv": csv_of(TEST).encode()})

    data = load_labelled("org/set")

    assert (pairs(data.train), pairs(data.test)) == (ROWS, TEST)
    assert data.test.source.startswith("org/set@")


@pytest.mark.parametrize(
    ("cells", "labels"), [([0.0, 1.0, 0.0, 1.0], "0101"), ([0, 1, 0, 1], "0101"), ([True, False, True, False], None)]
)
def test_numbers_are_labels_however_they_are_stored(tmp_path, cells, labels):
    pyarrow.parquet.write_table(
        pyarrow.table({"text": [text for text, _ in ROWS], "label": cells}), tmp_path / "a.parquet"
    )

    found = load_labelled(str(tmp_path / "a.parquet")).test.labels

    assert found == list(labels or ["True", "False", "True", "False"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Who?,", "line 6: the label is missing; expected the name of a class"),
        ("Who?,NaN", "line 6: the label is 'NaN'; expected the name of a class"),
        (",person", "line 6: the text is empty; expected a sentence"),
        ("nan,person", "line 6: the text is 'nan', which stands for a missing value; expected a sentence"),
        ("Who?,person,extra", "line 6: 3 cells; expected 2 (columns text, label)"),
        (
            "Who?," + "long " * 40,
            "line 6: the label is 'long long long long long long long long '... of 199 characters, a text",
        ),
    ],
)
def test_a_bad_row_is_refused_with_its_place_or_left_out(tmp_path, row, message):
    path = str(saved(tmp_path, "a.csv", csv_of(ROWS) + row + "\n"))

    with pytest.raises(DataError) as caught:
        load_labelled(path)
    data = load_labelled(path, on_bad_rows="skip")

    assert message in str(caught.value)
    assert "It is the only bad row of 5; fix the file, or skip such rows with on_bad_rows=skip." in str(caught.value)
    assert (pairs(data.test), data.test.num_skipped) == (ROWS, 1)
    assert "1 bad row skipped" in describe_labelled(data)[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b"place caf\xe9 au lait",
            "line 5: the byte 0xe9 is not UTF-8; the file may be in Latin-1 or Windows-1252: save it again as UTF-8",
        ),
        (b"place", "line 5: 'place' stands alone; expected a label, a blank and a text"),
        (b"place a\0b", "line 5: a NUL byte; expected text in UTF-8"),
    ],
)
def test_a_damaged_line_of_a_text_file_is_one_bad_row(tmp_path, line, message):
    path = str(saved(tmp_path, "a.txt", "".join(f"{label} {text}\n" for text, label in ROWS).encode() + line))

    with pytest.raises(DataError, match="It is the only bad row of 5") as caught:
        load_labelled(path)

    assert message in str(caught.value)
    assert pairs(load_labelled(path, on_bad_rows="skip").test) == ROWS


def test_lines_that_repeat_the_header_are_no_rows(tmp_path):
    path = saved(tmp_path, "a.csv", csv_of(ROWS[:2]) + csv_of(ROWS[2:]))

    data = load_labelled(str(path))

    assert pairs(data.test) == ROWS
    assert "1 lines repeat the header and are left out" in data.test.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty (0 bytes)"),
        ("text,label\n", "a header and no rows; expected rows of text, label"),
        (
            csv_of([(text, "place") for text, _ in ROWS]),
            "all 4 rows have the label 'place'; a classification needs two classes or more",
        ),
        (
            csv_of([*ROWS, ("When?", "time")]),
            "the class 'time' has a single row, so it cannot be both learned and tested",
        ),
        (
            csv_of([*ROWS, ("When?", "time"), ("when", "time")]),
            "the class 'time' has 2 rows of the same text, so it cannot be both",
        ),
        (
            csv_of([(str(n), f"free text {n}") for n in range(9)]),
            "its 9 rows have 9 different labels, such as 'free text 0', 'free text 1'",
        ),
        (csv_of(many(100, 60)), "100 rows have 60 different labels"),
        (
            csv_of([(str(n), f"x{n}") for n in range(9)], None),
            "both columns have 9 different values in 9 rows, so it is not clear which",
        ),
        (
            csv_of(many(20), ("was gesagt", "art")),
            "its first line, 'was gesagt', 'art', looks like a header: no other row has the label 'art'",
        ),
        (csv_of(ROWS, ("text", "art")), "has no column 'label'. Read as comma-separated"),
        (csv_of([(*row, "x") for row in ROWS], None), "without a header two columns are expected, not 3"),
    ],
)
def test_data_that_are_not_a_classification_are_refused(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        load_labelled(str(saved(tmp_path, "a.csv", text)))

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train.csv"], "has no test split; it holds train.csv"),
        (
            ["train.txt", "rest.txt"],
            "holds rest.txt, train.txt; expected one file with train and one with test in its name, or a single file.",
        ),
        ([], "has no train and no test split; it holds no data file"),
    ],
)
def test_a_folder_without_train_and_test_is_refused_with_its_contents(tmp_path, names, message):
    for name in names:
        saved(tmp_path, name, csv_of(ROWS))

    with pytest.raises(DataError) as caught:
        load_labelled(str(tmp_path))

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("{}/al.txt", "does not exist. Did you mean"),
        ("quickstart", "The quickstart data have no classes; give a folder with train and test"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(tmp_path, setting, message):
    saved(tmp_path, "all.txt", "a b")

    with pytest.raises(DataError) as caught:
        load_labelled(setting.format(tmp_path))

    assert message in str(caught.value)


def test_an_unknown_choice_for_bad_rows_is_refused():
    with pytest.raises(RecipeError, match="on_bad_rows='maybe' is unknown"):
        load_labelled("x", on_bad_rows="maybe")


def test_train_rows_whose_text_is_in_test_are_left_out(tmp_path):
    data = load_labelled(split(tmp_path, [*ROWS, ("  WHERE is oslo", "place")]))

    assert pairs(data.train) == ROWS
    assert data.train.num_leaks == 1
    assert "1 whose text is also in test left out" in describe_labelled(data)[0]


def test_a_class_that_has_no_other_texts_keeps_them(tmp_path):
    data = load_labelled(
        split(tmp_path, [*ROWS, ("When?", "time"), ("Where is Oslo?", "place")], [*TEST, ("When?", "time")])
    )

    assert pairs(data.train) == [*ROWS, ("When?", "time")]
    assert data.train.num_leaks == 1
    assert "all 1 rows of 'time' are also in test; they are kept" in " ".join(data.train.notes)


def test_a_train_split_that_is_the_test_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="4 of its 4 rows are also in test, so too little would be left to train on"):
        load_labelled(split(tmp_path, ROWS, ROWS))


def test_labels_that_train_does_not_have_are_noted(tmp_path):
    data = load_labelled(split(tmp_path, ROWS, [*TEST, ("When?", "time"), ("Since when?", "time")]))

    assert data.notes == ("2 test rows have labels that no train row has and count as wrong: time",)
    assert data.classes == ("person", "place", "time")


def test_splits_without_a_common_label_are_refused(tmp_path):
    with pytest.raises(
        DataError,
        match=r"No label of .*test.csv \(0, 1\) occurs in .*train.csv \(person, place\). Write the labels of both",
    ):
        load_labelled(split(tmp_path, ROWS, [("Where is Oslo?", "0"), ("Who was Haydn?", "1")]))


def test_labels_that_differ_by_case_or_blanks_are_noted(tmp_path):
    rows = [("One.", "Crime News"), ("Two.", "crime  news"), ("Three.", " crimenews "), ("Four.", "sport")]

    data = load_labelled(split(tmp_path, [*ROWS, *rows], [*TEST, ("Five.", "sport")]))

    assert data.notes == (
        "the labels 'Crime News', 'crime  news', 'crimenews' differ by case or blanks only and count as different "
        "classes",
    )


def test_a_large_file_is_split_once(tmp_path):
    data = load_labelled(str(saved(tmp_path, "a.csv", csv_of(many(200, 4)))), max_rows_for_folds=100)

    assert sorted(pairs(data.train) + pairs(data.test)) == sorted(many(200, 4))
    assert set(Counter(data.test.labels).values()) == {5}


@pytest.mark.parametrize(("text", "label"), [("", "a"), (" \u200b", "a"), ("a", ""), ("a", " ")])
def test_a_row_cannot_be_empty(text, label):
    with pytest.raises(DataError, match="is empty; expected"):
        LabelledRow(text, label)


@pytest.mark.parametrize("character", ["\ud800", "\0"])
def test_a_label_with_an_invalid_character_is_refused_with_its_line_and_left_out(tmp_path, character):
    rows = [*ROWS, ("Why?", f"pl{character}ce")]
    path = str(
        saved(tmp_path, "a.jsonl", "\n".join(json.dumps({"text": text, "label": label}) for text, label in rows))
    )

    with pytest.raises(DataError, match="line 5: the label contains the character") as caught:
        load_labelled(path)

    assert str(caught.value).encode()
    assert pairs(load_labelled(path, on_bad_rows="skip").test) == ROWS


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.sampled_from("xyz")), min_size=1, max_size=60),
    data=st.data(),
)
def test_parts_are_even_and_the_same_in_any_order_and_keep_a_text_together(rows, data):
    order = data.draw(st.permutations(range(len(rows))))
    texts, labels = [text for text, _ in rows], [label for _, label in rows]

    parts = deal_rows(texts, labels, 4)
    again = deal_rows([texts[place] for place in order], [labels[place] for place in order], 4)

    assert again.tolist() == parts[order].tolist()
    of_text = {(text, part) for text, part in zip(texts, parts.tolist(), strict=True)}
    assert len(of_text) == len(set(texts))
    sizes = Counter(part for _, part in of_text)
    assert max(sizes.values()) - min(sizes[part] for part in range(4)) <= 1
