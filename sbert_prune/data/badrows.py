"""Rows that cannot be used: refused with their place, or skipped with a count."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from sbert_prune.data.tables import Record, Table
from sbert_prune.errors import DataError, RecipeError

ON_BAD_ROWS = ("error", "skip")

Parsed = TypeVar("Parsed")


class Problem(NamedTuple):
    """A row that cannot be used, and why."""

    line: int
    message: str


def parse_each(table: Table, records: Iterable[Record], parse: Callable[[Record], Parsed | None]) -> tuple[list[Parsed], list[Problem]]:
    """What `parse` makes of every record (None is left out), and a problem for each that it refuses with a DataError."""
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    for record in records:
        try:
            if record.fault:
                raise DataError(record.fault)
            value = parse(record)
        except DataError as error:
            problems.append(Problem(record.line, f"{table.place(record)}: {error}."))
        else:
            if value is not None:
                parsed.append(value)
    return parsed, problems


def settle(path: str, *, num_good: int, problems: Iterable[Problem], on_bad_rows: str) -> tuple[str, ...]:
    """The messages of the rows to skip, in the file's order.

    Raises DataError for any bad row unless `on_bad_rows` is "skip", and then still when no row is left or most are bad.
    """
    check_on_bad_rows(on_bad_rows)
    messages = tuple(problem.message for problem in sorted(problems))
    total = num_good + len(messages)
    if messages and on_bad_rows == "error":
        raise DataError(f"{messages[0]} {_others(len(messages), total)}")
    if len(messages) > num_good or not num_good:
        first = " ".join(messages[:3])
        raise DataError(f"{path}: {len(messages):,} of {total:,} rows cannot be used, so its layout is probably misunderstood. {first}")
    return messages


def check_on_bad_rows(on_bad_rows: str) -> None:
    """Raises RecipeError unless the setting is one of ON_BAD_ROWS."""
    if on_bad_rows not in ON_BAD_ROWS:
        raise RecipeError(f"on_bad_rows={on_bad_rows!r} is unknown. It is one of {', '.join(ON_BAD_ROWS)}.")


def _others(num_bad: int, total: int) -> str:
    counted = "It is the only bad row" if num_bad == 1 else f"{num_bad:,} rows are bad"
    return f"{counted} of {total:,}; mend the file, or leave such rows out with on_bad_rows=skip."
