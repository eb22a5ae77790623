"""STS files: two sentences and a score, scaled to 0-1."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sbert_prune.data.badrows import Problem, parse_each, settle
from sbert_prune.data.columns import Columns, find_header, text_of
from sbert_prune.data.layouts import detect_layout
from sbert_prune.data.records import read_table
from sbert_prune.data.scores import ScoreRange, parse_number
from sbert_prune.data.tables import Record, Table
from sbert_prune.errors import DataError
from sbert_prune.rows import RowSet, StsRow

COLUMNS = {
    "sentence1": ("sentence1", "sentence_1", "sent1", "sent_1", "s1", "sentence_a", "text1", "text_1", "text_a"),
    "sentence2": ("sentence2", "sentence_2", "sent2", "sent_2", "s2", "sentence_b", "text2", "text_2", "text_b"),
    "score": ("score", "similarity_score", "similarity", "relatedness_score", "gold_score", "label", "labels"),
}


_FEWEST_PAIRS = 3  # with two pairs every correlation is 1 or -1
_HEADER_HINT = f"If this line is a header, name its columns {', '.join(COLUMNS)}."


class ScoredPair(NamedTuple):
    """Two sentences with the score that stands in the file."""

    record: Record
    sentence1: str
    sentence2: str
    score: float


@dataclass(frozen=True)
class StsFile:
    """The pairs of one file before its score range is known."""

    table: Table
    pairs: tuple[ScoredPair, ...]
    problems: tuple[Problem, ...]
    layout: str


def parse_sts(path: Path, *, score_range: tuple[float, float] | None = None, on_bad_rows: str = "error") -> RowSet[StsRow]:
    """Read the rows of one STS file, its range inferred from its own scores unless given.

    Raises DataError for a bad file, and for bad rows unless `on_bad_rows` is "skip".
    """
    return scale_all({"file": read_sts(path)}, score_range=score_range, on_bad_rows=on_bad_rows)[0]["file"]


def read_sts(path: Path) -> StsFile:
    """The pairs of a file with their scores as they stand.

    Raises DataError for a file whose columns cannot be told; a row that cannot be used is a problem of the result.
    """
    table = read_table(path)
    header = find_header(table, COLUMNS)
    columns = header or detect_layout(table)
    records = table.records[1:] if header and table.header is None else table.records
    if not records:
        raise DataError(f"{path} holds a header and no rows; expected rows of sentence1, sentence2, score.")
    pairs, problems = parse_each(table, records, lambda record: _parse_pair(columns, record))
    if header is None and problems and problems[0].line == records[0].line:
        problems[0] = Problem(problems[0].line, f"{problems[0].message} {_HEADER_HINT}")
    return StsFile(table, tuple(pairs), tuple(problems), columns.layout)


def scale_all(
    files: dict[str, StsFile], *, score_range: tuple[float, float] | None, on_bad_rows: str
) -> tuple[dict[str, RowSet[StsRow]], ScoreRange]:
    """The checked rows of every file, and the one range that holds for all of them."""
    scores = [pair.score for file in files.values() for pair in file.pairs]
    bounds = ScoreRange.given_or_inferred(score_range, scores)
    return {split: _scale(file, bounds, on_bad_rows) for split, file in files.items()}, bounds


def _scale(file: StsFile, bounds: ScoreRange, on_bad_rows: str) -> RowSet[StsRow]:
    by_line = {pair.record.line: pair for pair in file.pairs}
    rows, problems = parse_each(file.table, [pair.record for pair in file.pairs], lambda record: _scaled_row(by_line[record.line], bounds))
    all_problems = [*file.problems, *problems]
    skipped = settle(file.table.path, num_good=len(rows), problems=all_problems, on_bad_rows=on_bad_rows)
    notes = (*file.table.notes, file.layout, str(bounds))
    return RowSet(Path(file.table.path).name, tuple(rows), file.table.path, skipped=skipped, notes=notes)


def _scaled_row(pair: ScoredPair, bounds: ScoreRange) -> StsRow:
    return StsRow(pair.sentence1, pair.sentence2, bounds.scale(pair.score))


def _parse_pair(columns: Columns, record: Record) -> ScoredPair:
    sentence1, sentence2, score = columns.cells(record)
    number = parse_number(score)
    if number is None:
        found = "missing" if score is None or not str(score).strip() else f"{str(score)[:40]!r}, which is not a number"
        raise DataError(f"the score is {found}; expected a number, such as 3.8")
    return ScoredPair(record, text_of(sentence1, "sentence1"), text_of(sentence2, "sentence2"), number)


def infer_score_range(scores: Sequence[float]) -> tuple[float, float]:
    """0-1 when at least 99 % of the scores are 1 or less, else 0-5."""
    bounds = ScoreRange.given_or_inferred(None, scores)
    return (bounds.low, bounds.high)


def check_pairs(rows: Sequence[StsRow], what: str) -> None:
    """Refuse pairs that no correlation can be computed on. Raises DataError."""
    if len(rows) < _FEWEST_PAIRS:
        raise DataError(f"{what} has {len(rows)} pairs; a correlation needs {_FEWEST_PAIRS} or more, a useful one hundreds.")
    if len({row.score for row in rows}) == 1:
        raise DataError(f"{what}: all {len(rows)} pairs have the same score, so nothing can correlate with it. Check the score column.")
