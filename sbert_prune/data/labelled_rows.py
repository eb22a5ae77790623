"""Checked rows of texts with their classes, as values that cannot be wrong."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from sbert_prune.data.rows import check_encodable, check_sentence, digest_of
from sbert_prune.errors import DataError


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
