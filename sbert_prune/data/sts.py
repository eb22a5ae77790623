"""STS files: two sentences and a score, scaled to 0-1."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice

from sbert_prune.data.columns import (
    BadRows,
    Columns,
    Sheet,
    name_of,
    parse_each,
    raise_for_bad_rows,
    shorten,
    source_of,
    text_of,
)
from sbert_prune.data.formats.table import Record, Source, Table
from sbert_prune.data.rows import RowSet, StsRow
from sbert_prune.data.scores import HIDDEN, MIN_SCORES, ScoreRange, ScoreStatistics, parse_number
from sbert_prune.data.stored import StoredRows
from sbert_prune.errors import DataError

LAYOUTS = (
    Columns((0, 1, 2), 3, "no header: sentence1, sentence2, score"),
    Columns((1, 2, 0), 3, "no header: score, sentence1, sentence2"),
    Columns(
        (5, 6, 4), 7, "no header: genre, file, year, id, score, sentence1, sentence2", open_ended=True, more=(0, 1)
    ),
)

_SAMPLE = 200
_REGULAR = 0.95
"""If this share of records has one width, a record of another width is damaged, even if the layout is open-ended."""

COLUMNS = {
    "sentence1": ("sentence1", "sentence_1", "sent1", "sent_1", "s1", "sentence_a", "text1", "text_1", "text_a"),
    "sentence2": ("sentence2", "sentence_2", "sent2", "sent_2", "s2", "sentence_b", "text2", "text_2", "text_b"),
    "score": ("score", "similarity_score", "similarity", "relatedness_score", "gold_score", "label", "labels"),
}

ORIGIN = {"genre": ("genre", "domain"), "file": ("file",)}
"""Optional columns with the pair's source."""

_MANY = 100
"""So many scores that reach both ends of a usual range are of this range."""

_MIN_PAIRS = 3  # with two pairs every correlation is 1 or -1
_GIVE_THE_RANGE = "fix the file, or give the range of all its scores: sts_score_range=LOW-HIGH"
_HEADER_HINT = f"If this line is a header, name its columns {', '.join(COLUMNS)}"


def parse_sts(
    splits: Mapping[str, Sequence[Source]],
    *,
    score_range: tuple[float, float] | None = None,
    on_bad_rows: str = "error",
    ends_known: bool = True,
) -> tuple[dict[str, RowSet[StsRow]], ScoreRange]:
    """Return the pairs of some splits, and the range of scores of all of them.

    A test split whose scores are hidden (all -1) has no rows, and the notes of the others say so.

    Args:
        splits: The files of each split.
        score_range: The lowest and highest score; None infers them from all scores.
        on_bad_rows: "error" or "skip".
        ends_known: False takes the lowest and highest score where no range can be inferred. Correlations do not depend
            on it; training does.

    Raises:
        DataError: A file is bad, or a row is and `on_bad_rows` is not "skip"; or the range cannot be inferred.
    """
    sheets = {
        split: [Sheet.of(path, lambda _: COLUMNS, detect_layout, ORIGIN) for path in files]
        for split, files in splits.items()
    }
    statistics = {split: _statistics(tables) for split, tables in sheets.items()}
    hidden = [] if score_range and score_range[0] <= HIDDEN else _hidden_splits(statistics, splits)
    shown = {split: scores for split, scores in statistics.items() if split not in hidden}

    def read(bounds: ScoreRange) -> dict[str, RowSet[StsRow]]:
        return {split: _read(splits[split], sheets[split], bounds, on_bad_rows) for split in shown}

    if score_range is not None:
        sets = read(bounds := ScoreRange(*score_range, is_given=True))
    else:
        try:
            bounds = _inferred_range(shown, splits, ends_known=ends_known)
        except DataError:
            read(_observed(sum(shown.values(), ScoreStatistics())))  # what else is wrong with the rows comes first
            raise
        sets = read(bounds)
    for split in hidden:
        note = f"its {statistics[split].num:,} scores are hidden (all are -1)"
        source = source_of(splits[split])
        told = f"{source}: {note}, so nothing is reported on {split}"
        sets = {name: replace(rows, notes=(*rows.notes, told)) for name, rows in sets.items()}
        sets[split] = RowSet(name_of(splits[split]), (), source, notes=(note,))
    return sets, bounds


def detect_layout(table: Table) -> Columns:
    """Return the layout that fits most of the first records. Raises DataError if it fits fewer than half of them."""
    sample = [record for record in islice(table.records(), _SAMPLE) if not record.fault]
    best = max(LAYOUTS, key=lambda layout: _num_fitting(layout, sample))
    if not sample or 2 * _num_fitting(best, sample) < len(sample):
        raise DataError(_no_layout(table, sample))
    if not best.open_ended:
        return best
    widths = Counter(len(record.cells) for record in table.records())  # an unreadable record has no cells
    width, count = widths.most_common(1)[0]
    is_regular = best.fits(width) and count >= _REGULAR * widths.total()
    return replace(best, width=width, open_ended=False) if is_regular else best


def check_pairs(rows: Sequence[StsRow], name: str) -> None:
    """Raise DataError for pairs on which no correlation can be computed."""
    if len(rows) < _MIN_PAIRS:
        pairs = "1 pair" if len(rows) == 1 else f"{len(rows)} pairs"
        raise DataError(f"{name} has {pairs}; a correlation needs {_MIN_PAIRS} or more, a useful one hundreds.")
    if len({row.score for row in rows}) == 1:
        raise DataError(
            f"{name}: all {len(rows)} pairs have the same score, so no correlation can be computed. Check the score "
            "column."
        )


def _hidden_splits(statistics: Mapping[str, ScoreStatistics], splits: Mapping[str, Sequence[Source]]) -> list[str]:
    """Return the splits whose scores are all -1. Raises DataError if it is another than test, or the only one."""
    hidden = [split for split, scores in statistics.items() if scores.are_hidden]
    if needed := [split for split in hidden if split != "test" or len(splits) == 1]:
        raise DataError(
            f"{source_of(splits[needed[0]])}: all {statistics[needed[0]].num:,} scores are -1, which stands for hidden "
            "ones, as in GLUE's test split. Give pairs with scores, such as those of the train or dev split."
        )
    return hidden


def _inferred_range(
    statistics: Mapping[str, ScoreStatistics], splits: Mapping[str, Sequence[Source]], *, ends_known: bool
) -> ScoreRange:
    """Return one range for all splits. Raises DataError if they differ, or if there is no telling."""
    large = {split: scores for split, scores in statistics.items() if scores.num >= MIN_SCORES}
    if len({scores.are_within_one for scores in large.values()}) > 1 or len(set(_ranges_of_many(statistics))) > 1:
        ranges = ", ".join(
            f"{source_of(splits[split])} from {scores.low:g} to {scores.high:g}" for split, scores in large.items()
        )
        raise DataError(
            f"The splits have scores of different ranges: {ranges}. Bring them to one range, or give it: "
            "sts_score_range=0-5."
        )
    total = sum(statistics.values(), ScoreStatistics())
    files = ", ".join(source_of(files) for files in splits.values())
    if total.look_like_labels:
        values = ", ".join(f"{value:g}" for value in sorted(total.values))
        raise DataError(
            f"{files}: the scores are {values} alone, as NLI labels are. If they are scores, give "
            f"sts_score_range={total.low:g}-{total.high:g}."
        )
    try:
        return ScoreRange.inferred(total)
    except DataError as error:
        if not ends_known and total.num:
            return _observed(total)
        raise DataError(
            f"{files}: {error}. Give the range that the annotators could use: sts_score_range=LOW-HIGH, such as 0-5."
        ) from error


def _observed(scores: ScoreStatistics) -> ScoreRange:
    low, high = (scores.low, scores.high) if scores.num else (0.0, 1.0)
    return ScoreRange(low, high if low < high else low + 1, is_given=False, observed=(low, high))


def _ranges_of_many(statistics: Mapping[str, ScoreStatistics]) -> Iterator[float]:
    """Yield where the ranges end that can be inferred from single splits of many scores."""
    for scores in statistics.values():
        if scores.num >= _MANY:
            with suppress(DataError):
                yield ScoreRange.inferred(scores).high


def _statistics(sheets: Iterable[Sheet]) -> ScoreStatistics:
    """Collect the statistics of all scores; cells that are not scores are reported later, when the rows are read."""
    statistics = ScoreStatistics()
    for sheet in sheets:
        for score in parse_each(sheet.table, sheet.records(), partial(_score_of, sheet), BadRows()):
            statistics.add(score)
    return statistics


def _read(files: Sequence[Source], sheets: Sequence[Sheet], bounds: ScoreRange, on_bad_rows: str) -> RowSet[StsRow]:
    bad = BadRows()

    def parse(sheet: Sheet) -> Iterator[StsRow]:
        return parse_each(sheet.table, sheet.records(), partial(_parse_pair, sheet, bounds, bad), bad)

    rows = StoredRows(StsRow, (row for sheet in sheets for row in parse(sheet)))
    raise_for_bad_rows(source_of(files), num_good=len(rows), bad=bad, on_bad_rows=on_bad_rows)
    notes = (*sheets[0].notes, str(bounds))
    return RowSet(name_of(files), rows, source_of(files), skipped=tuple(bad.messages), num_skipped=bad.num, notes=notes)


def _parse_pair(sheet: Sheet, bounds: ScoreRange, bad: BadRows, record: Record) -> StsRow:
    try:
        sentence1, sentence2, _ = sheet.columns.cells(record)
        number = _score_of(sheet, record)
        if math.isfinite(number) and number != HIDDEN and not bounds.low <= number <= bounds.high:
            bad.advice = _GIVE_THE_RANGE  # skipping would drop a part of the scale
        score = bounds.scale(number)
        return StsRow(
            text_of(sentence1, "sentence1"), text_of(sentence2, "sentence2"), score, *sheet.columns.more_cells(record)
        )
    except DataError as error:
        may_be_header = record.line == 1 and sheet.table.header is None and not sheet.has_header_line
        raise DataError(f"{error}. {_HEADER_HINT}" if may_be_header else str(error)) from error


def _score_of(sheet: Sheet, record: Record) -> float:
    score = sheet.columns.cells(record)[2]
    number = parse_number(score)
    if number is None:
        value = "missing" if score is None or not str(score).strip() else f"{str(score)[:40]!r}, which is not a number"
        raise DataError(f"the score is {value}; expected a number, such as 3.8")
    return number


def _num_fitting(layout: Columns, records: Sequence[Record]) -> int:
    return sum(_fits(layout, record) for record in records)


def _fits(layout: Columns, record: Record) -> bool:
    if not layout.fits(len(record.cells)):
        return False
    first, second, score = (parse_number(record.cells[index]) for index in layout.indices)
    return first is None and second is None and score is not None


def _no_layout(table: Table, sample: Sequence[Record]) -> str:
    if not sample:
        unreadable = next(table.records())
        return f"{table.place(unreadable)}: {unreadable.fault}. None of the first {_SAMPLE} lines can be read."
    width = Counter(len(record.cells) for record in sample).most_common(1)[0][0]
    missing = " The scores are missing." if width == 2 else ""
    layouts = "; ".join(layout.layout.removeprefix("no header: ") for layout in LAYOUTS)
    first = shorten([str(cell) for cell in sample[0].cells])
    return (
        f"{table.path}: its first line, {first}, names no known column, and its {width} columns are in no known order. "
        f"Expected a header with sentence1, sentence2, score, or without one: {layouts}.{missing}"
    )
