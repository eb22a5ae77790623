"""Data of a setting such as `nli_data`: a file, a folder of splits, a data set of the hub, or the quickstart data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

from sbert_prune.data.columns import check_on_bad_rows, source_of
from sbert_prune.data.folders import SPLIT_WORDS, find_splits, require_splits
from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.formats.read import is_data_file
from sbert_prune.data.formats.table import Source, Table
from sbert_prune.data.formats.text import names_like
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.rows import NliRow, RowSet, StsRow
from sbert_prune.data.splits import split_rows
from sbert_prune.data.sts import parse_sts
from sbert_prune.errors import DataError
from sbert_prune.recipe.values import DEFAULT_SHARES

QUICKSTART = "quickstart"
"""The setting for the generated data."""

STS_SPLITS = ("train", "dev", "test")
_EXPECTED = "give a file, a folder of splits, a data set of the hub such as org/name, or the word quickstart."
_LIKE_HUB_SETTING = re.compile(r"https?://[^/]*huggingface\.co/|datasets/[\w.-]+/|[\w.-]+/[\w.-]+[:@]")
_Rows = TypeVar("_Rows", bound=RowSet[Any])

LONE = "file"
"""The name of the only split when a setting names one file."""


@dataclass(frozen=True)
class StsData:
    """The splits of the STS phase.

    Attributes:
        train: The train pairs.
        dev: The dev pairs.
        test: The test pairs; none if their scores are hidden.
        score_range: The range in the files; the rows' scores are scaled to 0-1.
    """

    train: RowSet[StsRow]
    dev: RowSet[StsRow]
    test: RowSet[StsRow]
    score_range: tuple[float, float]

    @property
    def held_out(self) -> dict[str, RowSet[StsRow]]:
        """Dev, and test if it has scores, by name."""
        return {name: rows for name, rows in (("dev", self.dev), ("test", self.test)) if len(rows)}


def load_nli(setting: str | SplitFiles, *, on_bad_rows: str = "error") -> RowSet[NliRow]:
    """Return the train rows of the NLI setting: a file, or the train split of a folder or a data set of the hub.

    Raises DataError or HubError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return _quickstart_nli()
    source = find_source(setting, ("train",), required=("train",))
    files = source.files.get("train") or source.files[LONE]
    return source.named("train", parse_nli(files, on_bad_rows=on_bad_rows))


def load_sts(
    setting: str | SplitFiles,
    *,
    score_range: tuple[float, float] | None = None,
    on_bad_rows: str = "error",
    shares: tuple[float, float, float] = DEFAULT_SHARES,
) -> StsData:
    """Return the STS pairs that the setting names.

    Args:
        setting: A folder or a data set of the hub with train, dev and test, or a file, which is split.
        score_range: The lowest and highest score; None infers them.
        on_bad_rows: "error" or "skip".
        shares: The shares of train, dev and test when a file is split.

    Raises:
        DataError: The data cannot be used.
        HubError: The data set cannot be fetched.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return StsData(**{split: _quickstart_sts(split) for split in STS_SPLITS}, score_range=(0.0, 1.0))
    source = find_source(setting, STS_SPLITS, required=STS_SPLITS)
    sets, bounds = parse_sts(source.files, score_range=score_range, on_bad_rows=on_bad_rows)
    sets = {split: source.named(split, rows) for split, rows in sets.items()}
    splits = split_rows(sets[LONE], shares) if LONE in sets else sets
    return StsData(**splits, score_range=(bounds.low, bounds.high))


def load_sts_for_evaluation(
    setting: str | SplitFiles,
    *,
    score_range: tuple[float, float] | None = None,
    on_bad_rows: str = "error",
    ends_known: bool = True,
) -> dict[str, RowSet[StsRow]]:
    """Return the splits to evaluate on: a file as test, or dev and test, if present, of a folder or a hub's data set.

    Args:
        setting: The data.
        score_range: The lowest and highest score; None infers them.
        on_bad_rows: "error" or "skip".
        ends_known: False takes the lowest and highest score where no range can be inferred.

    Raises:
        DataError: The data cannot be used.
        HubError: The data set cannot be fetched.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return {split: _quickstart_sts(split) for split in ("dev", "test")}
    source = find_source(setting, ("dev", "test"), required=())
    sets, _ = parse_sts(source.files, score_range=score_range, on_bad_rows=on_bad_rows, ends_known=ends_known)
    return {"test" if split == LONE else split: source.named(split, rows) for split, rows in sets.items() if len(rows)}


@dataclass(frozen=True)
class SplitFiles:
    """The files of each split.

    Attributes:
        files: The files of each split, in their order; or tables of rows in memory.
        source: The hub's name of the data set with the commit; None for local files.
        note: A remark for the user.
    """

    files: Mapping[str, Sequence[Source]]
    source: str | None = None
    note: str = ""

    @classmethod
    def in_memory(cls, name: str, data: Any) -> Self:
        """Return the tables of rows in memory: rows, or rows by split.

        Raises:
            DataError: A split has no rows, or what it has are no rows.
        """
        if not isinstance(data, Mapping):
            return cls({LONE: (Table.of_rows(name, data),)})
        tables = {split: (Table.of_rows(f"{name}[{split!r}]", rows),) for split, rows in data.items()}
        return cls({SPLIT_WORDS.get(split, split): table for split, table in tables.items()})

    def with_splits(self, splits: Sequence[str], required: tuple[str, ...]) -> Self:
        """Return some of the splits, or the only one. Raises DataError if a required one is missing."""
        chosen = {split: files for split, files in self.files.items() if split in (LONE, *splits)}
        missing = [split for split in required if split not in chosen]
        if LONE not in chosen and (missing or not chosen):
            raise DataError(
                f"In memory are {', '.join(source_of(files) for files in self.files.values()) or 'no rows'}, and no "
                f"{' and no '.join(missing or splits)} split. Expected a dict with {', '.join(splits)}, or rows alone."
            )
        return replace(self, files=chosen)

    def named(self, split: str, rows: _Rows) -> _Rows:
        """Return the rows with the hub's name as their source, not the path in the cache; local rows are unchanged."""
        if self.source is None:
            return rows
        return replace(
            rows, name=split, source=f"{self.source} {split}", notes=(*rows.notes, *filter(None, (self.note,)))
        )


def find_source(setting: str | SplitFiles, splits: Sequence[str], *, required: tuple[str, ...]) -> SplitFiles:
    """Return the files that a setting names; if `required` is empty, one of the splits is enough.

    Raises:
        DataError: There are none; the message suggests similar names.
        HubError: The hub does not provide the data set.
    """
    if isinstance(setting, SplitFiles):
        return setting.with_splits(splits, required)
    files = find_files(setting, splits, required=required)
    if files is not None:
        return SplitFiles(files)
    from sbert_prune.data.hub_datasets import fetch_splits

    fetched = fetch_splits(setting, required, optional=tuple(split for split in splits if split not in required))
    return SplitFiles(fetched.files, fetched.source, fetched.note)


def find_files(setting: str, splits: Sequence[str], *, required: tuple[str, ...]) -> dict[str, tuple[Path, ...]] | None:
    """Return the files of each split of a folder, or a single file as the split "file"; None for a data set of the hub.

    Raises:
        DataError: The setting names nothing, or a folder without the required splits.
    """
    if not setting.strip():
        raise DataError(f"The data setting is empty; {_EXPECTED}")
    try:
        path = Path(setting).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be entered, an unknown ~user
        raise DataError(f"{setting} cannot be opened ({error}). {_EXPECTED.capitalize()}") from error
    if exists and (not path.is_dir() or is_dataset_folder(path)):
        return {LONE: (path,)}
    if exists:
        files = find_splits(path, splits)
        require_splits(path, files, required if required or files else ("test",))
        return files
    from sbert_prune.data.hub_datasets import is_hub_setting

    if is_hub_setting(setting) and not is_data_file(path) and not path.parent.is_dir():
        return None
    if _LIKE_HUB_SETTING.match(setting):
        raise DataError(
            f"{setting} is neither a local path nor a data set on a hub. Expected org/name, org/name:config, or either "
            "with @revision after it."
        )
    raise DataError(f"{setting} does not exist. {names_like(path)} {_EXPECTED.capitalize()}")


@cache
def _quickstart_nli() -> RowSet[NliRow]:
    from sbert_prune.data.quickstart.generator import generate_nli

    return RowSet(f"{QUICKSTART} train", tuple(generate_nli("train")), "generated")


@cache
def _quickstart_sts(split: str) -> RowSet[StsRow]:
    from sbert_prune.data.quickstart.generator import generate_sts

    return RowSet(f"{QUICKSTART} {split}", tuple(generate_sts(split)), "generated")
