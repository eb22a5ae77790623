"""Checked rows of NLI, STS and labelled texts, and the sets of them that make a split."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar

import regex

from sbert_prune.errors import DataError

_UNENCODABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs: JSON can escape them, but UTF-8 cannot encode the halves."""

_VISIBLE = regex.compile(r"[^\p{Cc}\p{Cf}\p{Z}]")
"""Anything but control and format characters and white space."""


class Label(StrEnum):
    """The relation of the hypothesis to the premise."""

    ENTAILMENT = "entailment"
    NEUTRAL = "neutral"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class NliRow:
    """A premise and a hypothesis with their label.

    Raises DataError for an empty sentence or a label that is not a Label.
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
        """Return the row as text, the same for every file format."""
        return (self.premise, self.hypothesis, self.label.value)


@dataclass(frozen=True, slots=True)
class StsRow:
    """Two sentences with their similarity.

    Attributes:
        sentence1: The first sentence.
        sentence2: The second sentence.
        score: 0 (unrelated) to 1 (the same meaning), whatever range the file had.
        genre: The pair's genre as the data name it, or "".
        file: The pair's source as the data name it, or "".

    Raises:
        DataError: A sentence is empty, the score is outside 0-1, or genre or file have a character that is not valid in
            text.
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
        """Return the row as text, the same for every file format; six decimals, because of parquet's 32-bit floats."""
        return (self.sentence1, self.sentence2, f"{self.score:.6f}")


def check_sentence(name: str, sentence: str) -> None:
    """Raise DataError for a sentence without a visible character, or with a character that is not valid in text."""
    if not sentence[:1].isalnum() and not _VISIBLE.search(sentence):
        raise DataError(f"the {name} is empty; expected a sentence")
    check_encodable(name, sentence, expected="a sentence")


def check_encodable(name: str, text: str, *, expected: str = "a name") -> None:
    """Raise DataError for a text with a character that cannot be written to a file."""
    is_plain = text.isascii() and "\0" not in text  # a quick check, which most texts pass
    if not is_plain and (match := _UNENCODABLE.search(text)) is not None:
        raise DataError(
            f"the {name} contains the character {match[0]!r}, which is not valid in text; expected {expected}"
        )


def digest_of(contents: Iterable[tuple[str, ...]]) -> str:
    """Return the SHA-256 (hex) of rows as `content` gives them, in their order."""
    state = hashlib.sha256()
    for cells in contents:
        state.update("".join(f"{len(cell)}:{cell}" for cell in cells).encode())
    return state.hexdigest()


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text and its class. Raises DataError if one of them is empty or has a character that is not valid in text."""

    text: str
    label: str

    def __post_init__(self) -> None:
        check_sentence("text", self.text)
        if not self.label.strip():
            raise DataError("the label is empty; expected the name of a class")
        check_encodable("label", self.label, expected="the name of a class")

    def content(self) -> tuple[str, ...]:
        """Return the row as text, the same for every file format."""
        return (self.text, self.label)


@dataclass(frozen=True, slots=True)
class TextRow:
    """A sentence without a label."""

    text: str

    @property
    def sentences(self) -> tuple[str]:
        """The sentence."""
        return (self.text,)

    def content(self) -> tuple[str, ...]:
        """Return the row as text, the same for every file format."""
        return (self.text,)


Row = TypeVar("Row", NliRow, StsRow)
AnyRow = TypeVar("AnyRow", NliRow, StsRow, TextRow, LabelledRow)


@dataclass(frozen=True)
class RowSet(Generic[AnyRow]):
    """The rows of one split, with their source.

    Attributes:
        name: The file's name, for the user.
        rows: The rows in the file's order.
        source: A path, or "generated".
        skipped: Messages about rows that could not be used: the first thousand.
        num_skipped: How many rows could not be used.
        notes: How the file was read (quoting, layout, score range), for the user.
        num_unlabelled: Rows left out because they have no gold label (NLI only).
        num_leaks: Rows left out because they are also in dev or test (train only).
    """

    name: str
    rows: Sequence[AnyRow]
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


def take(rows: Sequence[Row], indices: Sequence[int]) -> list[Row]:
    """Return the rows at some indices, in the order of the indices; rows on disk are read in batches."""
    take_stored = getattr(rows, "take", None)
    taken: list[Row] = take_stored(indices) if take_stored is not None else [rows[index] for index in indices]
    return taken


@dataclass(frozen=True)
class LabelledRows(RowSet[LabelledRow]):
    """The rows of one split of labelled texts."""

    rows: tuple[LabelledRow, ...]

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


@dataclass(frozen=True)
class LabelledData:
    """The splits of a classification.

    Attributes:
        test: The rows to predict.
        train: The rows to train on; None if test is the only split, which is then used for cross-validation.
        notes: Remarks about both, for the user.
    """

    test: LabelledRows
    train: LabelledRows | None = None
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, LabelledRows]:
        """The splits by their names."""
        return {"test": self.test} if self.train is None else {"train": self.train, "test": self.test}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, sorted."""
        return tuple(sorted({label for rows in self.splits.values() for label in rows.class_sizes}))
