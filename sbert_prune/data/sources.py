"""What a setting such as `nli_data` names: a file, a folder of splits, or the quickstart data."""

import re
from dataclasses import dataclass
from pathlib import Path

from sbert_prune.data.badrows import check_on_bad_rows
from sbert_prune.data.files import names_like
from sbert_prune.data.folders import find_splits, require_splits
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.records import is_data_file
from sbert_prune.data.split import num_shared_pairs, split_rows
from sbert_prune.data.sts import parse_sts, read_sts, scale_all
from sbert_prune.errors import DataError
from sbert_prune.rows import NliRow, RowSet, StsRow

QUICKSTART = "quickstart"
"""The setting that stands for the generated data."""

STS_SPLITS = ("train", "dev", "test")

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class NliData:
    """The NLI phase's splits."""

    train: RowSet[NliRow]
    dev: RowSet[NliRow] | None = None


@dataclass(frozen=True)
class StsData:
    """The STS phase's splits.

    score_range: the range in the files; the rows' scores are scaled to 0-1.
    """

    train: RowSet[StsRow]
    dev: RowSet[StsRow]
    test: RowSet[StsRow]
    score_range: tuple[float, float]
    range_was_given: bool


def load_nli(setting: str, *, on_bad_rows: str = "error") -> NliData:
    """The rows that the NLI setting names: a file is the train split; a folder has train, and dev where it can.

    Raises DataError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return _quickstart_nli()
    path = _existing(setting)
    if not path.is_dir():
        return NliData(parse_nli(path, on_bad_rows=on_bad_rows))
    found = find_splits(path, ("train", "dev"))
    require_splits(path, found, ("train",))
    return NliData(**{split: parse_nli(file, on_bad_rows=on_bad_rows) for split, file in found.items()})


def load_sts(setting: str, *, score_range: tuple[float, float] | None = None, on_bad_rows: str = "error") -> StsData:
    """The rows that the STS setting names: a folder has train, dev and test; a file is split 80/10/10.

    Raises DataError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return StsData(**_quickstart_sts(STS_SPLITS), score_range=(0.0, 1.0), range_was_given=False)
    path = _existing(setting)
    is_folder = path.is_dir()
    found = find_splits(path, STS_SPLITS) if is_folder else {"file": path}
    if is_folder:
        require_splits(path, found, STS_SPLITS)
    sets, bounds = scale_all({split: read_sts(file) for split, file in found.items()}, score_range=score_range, on_bad_rows=on_bad_rows)
    splits = sets if is_folder else _split_file(sets["file"])
    return StsData(**splits, score_range=(bounds.low, bounds.high), range_was_given=bounds.given)


def load_sts_for_evaluation(
    setting: str, *, score_range: tuple[float, float] | None = None, on_bad_rows: str = "error"
) -> dict[str, RowSet[StsRow]]:
    """The splits to evaluate on: a file is the test split; a folder gives dev and test, whichever it has.

    Raises DataError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return _quickstart_sts(("dev", "test"))
    path = _existing(setting)
    if not path.is_dir():
        return {"test": parse_sts(path, score_range=score_range, on_bad_rows=on_bad_rows)}
    found = find_splits(path, ("dev", "test"))
    require_splits(path, found, () if found else ("test",))
    sets, _ = scale_all({split: read_sts(file) for split, file in found.items()}, score_range=score_range, on_bad_rows=on_bad_rows)
    return sets


def describe(data: NliData | StsData) -> list[str]:
    """Lines for people: of each split the file, its rows, what was left out and what was understood."""
    splits = {"train": data.train, "dev": data.dev, "test": getattr(data, "test", None)}
    lines = [line for split, rows in splits.items() if rows is not None for line in describe_rows(split, rows)]
    return lines + (_describe_leaks(data) if isinstance(data, StsData) else [])


def describe_rows(split: str, rows: RowSet[NliRow] | RowSet[StsRow]) -> list[str]:
    """Lines for people about one split; the messages of the first three skipped rows among them."""
    counts = [f"{len(rows):,} rows"]
    counts += [f"{rows.num_unlabelled:,} without a gold label left out"] if rows.num_unlabelled else []
    counts += [f"{len(rows.skipped):,} bad row{'s' * (len(rows.skipped) != 1)} skipped"] if rows.skipped else []
    understood = f" ({'; '.join(rows.notes)})" if rows.notes else ""
    return [f"{split}: {rows.source}: {', '.join(counts)}{understood}", *(f"  skipped: {message}" for message in rows.skipped[:3])]


def _describe_leaks(data: StsData) -> list[str]:
    shared = {split: num_shared_pairs(rows.rows, data.train.rows) for split, rows in (("dev", data.dev), ("test", data.test))}
    return [f"note: {count:,} of the {split} pairs stand in train too" for split, count in shared.items() if count]


def _existing(setting: str) -> Path:
    """The file or folder that a setting names.

    Raises DataError, with near names, when there is none.
    """
    if not setting.strip():
        raise DataError("The data setting is empty; give a file, a folder of splits, or the word quickstart.")
    try:
        path = Path(setting).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be entered, an unknown ~user
        raise DataError(f"{setting} cannot be opened ({error}). Give a file, a folder of splits, or the word quickstart.") from error
    if "://" in setting or (_HUB_ID.fullmatch(setting) and not is_data_file(path) and not path.parent.is_dir()):
        raise DataError(f"{setting!r} is no local path. Data sets of the hub are not loaded yet: give a local file or folder.")
    raise DataError(f"{setting} does not exist. {names_like(path)} Give a file, a folder of splits, or the word quickstart.")


def _split_file(rows: RowSet[StsRow]) -> dict[str, RowSet[StsRow]]:
    splits = split_rows(rows.rows, rows.source)
    notes = (*rows.notes, "split 80/10/10 by sentence")
    skipped = {"train": rows.skipped}  # told once, with the first split
    return {split: RowSet(rows.name, part, rows.source, skipped.get(split, ()), notes) for split, part in splits.items()}


def _quickstart_nli() -> NliData:
    from sbert_prune.quickstart.generator import generate_nli

    sets = {split: RowSet(f"{QUICKSTART} {split}", tuple(generate_nli(split)), "generated") for split in ("train", "dev")}
    return NliData(**sets)


def _quickstart_sts(splits: tuple[str, ...]) -> dict[str, RowSet[StsRow]]:
    from sbert_prune.quickstart.generator import generate_sts

    return {split: RowSet(f"{QUICKSTART} {split}", tuple(generate_sts(split)), "generated") for split in splits}
