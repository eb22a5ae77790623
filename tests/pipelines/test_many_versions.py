"""`promote`, `rollback` and `history` ask the store as often with hundreds of versions as with a dozen."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from tests.pipelines.made_versions import add_version, aliases, call
from tests.stores import STORE

NEAR, AS_GOOD, WORSE = 0.05, 0.051, 0.3


def copy_rows(folder: Path, of: str, *, first: int, last: int) -> None:
    """Add versions by copying the rows of one."""
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
    with closing(sqlite3.connect(folder / STORE)) as database, database:
        for table in ("model_versions", "model_version_tags"):
            columns = [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]
            values = ", ".join("n" if column == "version" else f"old.{column}" for column in columns)
            insert = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, {table} old"
            database.execute(f"{numbers} {insert} WHERE old.version = ?", (first, last, of))


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count queries, and the listings of versions among them; an update of an unchanged value is not sent."""
    counts = {"queries": 0, "listings": 0}
    search = MlflowClient.search_model_versions

    def count_query(_connection, _cursor, statement, *_):
        counts["queries"] += statement.startswith("SELECT")

    def count_listing(*arguments, **options):
        counts["listings"] += 1
        return search(*arguments, **options)

    event.listen(Engine, "before_cursor_execute", count_query)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "search_model_versions", count_listing)
            yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", count_query)


def test_the_number_of_requests_does_not_depend_on_the_number_of_versions(uri, tmp_path, monkeypatch):
    add_version(noise=NEAR, size=80, role="reference")
    worse = add_version(noise=WORSE, size=10)
    for size in (50, 40):
        add_version(noise=AS_GOOD, size=size)

    def ask() -> list[tuple[tuple[str, ...], dict[str, int]]]:
        asked = []
        for command in (("promote", "--version", "3"), ("promote",), ("history",), ("rollback",)):
            with counting(monkeypatch) as counts:
                result = call(*command)
            assert result.exit_code == 0, result.output
            asked.append((command, counts))
        return asked

    copy_rows(tmp_path, worse, first=5, last=12)
    ask()  # the first promotion has less to move
    few = ask()
    copy_rows(tmp_path, worse, first=13, last=300)
    many = ask()

    assert aliases(uri)["champion"] == "3"
    assert many == few
    assert {counts["listings"] for _, counts in many} == {1}
