"""Checked rows of NLI and STS, as values that cannot be wrong."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar

from sbert_prune.errors import DataError

_UNENCODABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs: JSON can escape them, UTF-8 cannot hold the halves."""

_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
"""Unicode categories of control and format characters and of white space."""


class Label(StrEnum):
    """How the hypothesis stands to the premise."""

    ENTAILMENT = "entailment"
    NEUTRAL = "neutral"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class NliRow:
    """A premise with a judged hypothesis.

    Raises DataError for an empty sentence or something that is not a Label.
    """

    premise: str
    hypothesis: str
    label: Label

    def __post_init__(self) -> None:
        check_sentence("premise", self.premise)
        check_sentence("hypothesis", self.hypothesis)
        if not isinstance(self.label, Label):
            raise DataError(f"the label is {self.label!r}; expected one of {', '.join(Label)}")

    @property
    def sentences(self) -> tuple[str, str]:
        """Premise and hypothesis."""
        return (self.premise, self.hypothesis)

    def content(self) -> tuple[str, ...]:
        """What the row says, as text that no file format changes."""
        return (self.premise, self.hypothesis, self.label.value)


@dataclass(frozen=True, slots=True)
class StsRow:
    """Two sentences with their similarity.

    score: 0 (unrelated) to 1 (the same meaning), whatever range the file had.
    genre, file: where the pair comes from, in the data's own words; "" where they do not say.

    Raises DataError for an empty sentence, a score outside 0-1, or a genre or file with a character that no text has.
    """

    sentence1: str
    sentence2: str
    score: float
    genre: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        check_sentence("sentence1", self.sentence1)
        check_sentence("sentence2", self.sentence2)
        check_encodable("genre", self.genre)
        check_encodable("file", self.file)
        if not 0.0 <= self.score <= 1.0:
            raise DataError(f"the score is {self.score}; expected 0 to 1")

    @property
    def sentences(self) -> tuple[str, str]:
        """The two sentences."""
        return (self.sentence1, self.sentence2)

    def content(self) -> tuple[str, ...]:
        """What the row says, as text that no file format changes; six decimals, because parquet may hold 32-bit floats."""
        return (self.sentence1, self.sentence2, f"{self.score:.6f}")


def check_sentence(name: str, sentence: str) -> None:
    """Refuse what is no sentence. Raises DataError for one without a visible character, or with one that no text has."""
    if not sentence[:1].isalnum() and all(unicodedata.category(character) in _INVISIBLE for character in sentence):
        raise DataError(f"the {name} is empty; expected a sentence")
    check_encodable(name, sentence, expected="a sentence")


def check_encodable(name: str, text: str, *, expected: str = "a name") -> None:
    """Refuse what no file can hold. Raises DataError for a text with a character that no text has."""
    if not _is_plain_ascii(text) and (found := _UNENCODABLE.search(text)) is not None:
        raise DataError(f"the {name} holds the character {found[0]!r}, which no text has; expected {expected}")


def _is_plain_ascii(text: str) -> bool:
    return text.isascii() and "\0" not in text


def digest_of(contents: Iterable[tuple[str, ...]]) -> str:
    """SHA-256 (hex) of what rows say, in their order."""
    state = hashlib.sha256()
    for cells in contents:
        state.update("".join(f"{len(cell)}:{cell}" for cell in cells).encode())
    return state.hexdigest()


Row = TypeVar("Row", NliRow, StsRow)


@dataclass(frozen=True)
class RowSet(Generic[Row]):
    """The rows of one split, with where they came from.

    name: for people: the file's name.
    source: a path, or "generated".
    skipped: messages about rows that could not be used: the first thousand.  num_skipped: how many there are.
    notes: what was understood about the file (quoting, layout, score range), for people.
    num_unlabelled: rows left out because they carry no gold label (NLI only).
    num_leaks: rows left out because they stand in dev or test too (train only).
    """

    name: str
    rows: Sequence[Row]
    source: str
    skipped: tuple[str, ...] = ()
    num_skipped: int = 0
    notes: tuple[str, ...] = ()
    num_unlabelled: int = 0
    num_leaks: int = 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the rows in their order; the same rows give the same digest from csv, jsonl or parquet."""
        return digest_of(row.content() for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def take(rows: Sequence[Row], places: Sequence[int]) -> list[Row]:
    """Some rows by their places, in the order asked for; rows that lie on disk are read together."""
    at_once = getattr(rows, "take", None)
    found: list[Row] = at_once(places) if at_once is not None else [rows[place] for place in places]
    return found


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text and the class that people put it in. Raises DataError for an empty one of either, or a character that no text has."""

    text: str
    label: str

    def __post_init__(self) -> None:
        check_sentence("text", self.text)
        if not self.label.strip():
            raise DataError("the label is empty; expected the name of a class")
        check_encodable("label", self.label, expected="the name of a class")

    def content(self) -> tuple[str, ...]:
        """What the row says, as text that no file format changes."""
        return (self.text, self.label)


@dataclass(frozen=True)
class LabelledRows:
    """The rows of one split, with where they came from.

    name: for people: the file's name.  source: a path, or what a hub calls it.
    skipped: messages about rows that could not be used: the first thousand.  num_skipped: how many there are.
    notes: what was understood about the file, for people.
    num_leaks: rows left out because their text stands in test too (train only).
    """

    name: str
    rows: tuple[LabelledRow, ...]
    source: str
    skipped: tuple[str, ...] = ()
    num_skipped: int = 0
    notes: tuple[str, ...] = ()
    num_leaks: int = 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the rows in their order; the same rows give the same digest from any format."""
        return digest_of(row.content() for row in self.rows)

    @cached_property
    def class_sizes(self) -> dict[str, int]:
        """The number of rows of each class, by the classes' names in their order."""
        return dict(sorted(Counter(row.label for row in self.rows).items()))

    @property
    def texts(self) -> list[str]:
        """The texts, in the rows' order."""
        return [row.text for row in self.rows]

    @property
    def labels(self) -> list[str]:
        """The classes, in the rows' order."""
        return [row.label for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class LabelledData:
    """What a classification is judged by.

    test: the rows that are predicted.  train: the rows to learn from; None where test is the only split, so that it is judged by
    cross-validation.  notes: what a person should know about both.
    """

    test: LabelledRows
    train: LabelledRows | None = None
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, LabelledRows]:
        """The splits by their names, for the record."""
        return {"test": self.test} if self.train is None else {"train": self.train, "test": self.test}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, sorted."""
        return tuple(sorted({label for rows in self.splits.values() for label in rows.class_sizes}))
