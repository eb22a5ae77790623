"""Rows that cannot be used: refused with their place, or skipped with a count."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from sbert_prune.data.formats.table import Record, Table
from sbert_prune.errors import DataError, RecipeError

ON_BAD_ROWS = ("error", "skip")

_KEPT = 1_000

Parsed = TypeVar("Parsed")


@dataclass
class BadRows:
    """The rows of a table that could not be used, as they are met. messages: of the first thousand."""

    num: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Count one more."""
        self.num += 1
        if len(self.messages) < _KEPT:
            self.messages.append(message)


def parse_each(table: Table, records: Iterable[Record], parse: Callable[[Record], Parsed], bad: BadRows) -> Iterator[Parsed]:
    """What `parse` makes of every record; those that it refuses with a DataError go to the bad rows."""
    for record in records:
        try:
            if record.fault:
                raise DataError(record.fault)
            value = parse(record)
        except DataError as error:
            bad.add(f"{table.place(record)}: {error}.")
        else:
            yield value


def settle(path: str, *, num_good: int, bad: BadRows, on_bad_rows: str) -> None:
    """Raises DataError for any bad row unless `on_bad_rows` is "skip", and then still when no row is left or most are bad."""
    check_on_bad_rows(on_bad_rows)
    total = num_good + bad.num
    if bad.num and on_bad_rows == "error":
        raise DataError(f"{bad.messages[0]} {_others(bad.num, total)}")
    if bad.num > num_good or not num_good:
        first = " ".join(bad.messages[:3])
        raise DataError(f"{path}: {bad.num:,} of {total:,} rows cannot be used, so its layout is probably misunderstood. {first}")


def check_on_bad_rows(on_bad_rows: str) -> None:
    """Raises RecipeError unless the setting is one of ON_BAD_ROWS."""
    if on_bad_rows not in ON_BAD_ROWS:
        raise RecipeError(f"on_bad_rows={on_bad_rows!r} is unknown. It is one of {', '.join(ON_BAD_ROWS)}.")


def _others(num_bad: int, total: int) -> str:
    counted = "It is the only bad row" if num_bad == 1 else f"{num_bad:,} rows are bad"
    return f"{counted} of {total:,}; mend the file, or leave such rows out with on_bad_rows=skip."
