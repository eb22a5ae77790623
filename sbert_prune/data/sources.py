"""What a setting such as `nli_data` names: a file, a folder of splits, a data set of the hub, or the quickstart data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sbert_prune.data.columns import check_on_bad_rows
from sbert_prune.data.folders import find_splits, require_splits
from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.formats.read import is_data_file
from sbert_prune.data.formats.text import names_like
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.rows import NliRow, Row, RowSet, StsRow
from sbert_prune.data.splits import split_rows
from sbert_prune.data.sts import parse_sts
from sbert_prune.errors import DataError
from sbert_prune.recipe.values import DEFAULT_SHARES

QUICKSTART = "quickstart"
"""The setting that stands for the generated data."""

STS_SPLITS = ("train", "dev", "test")

_LIKE_A_HUBS = re.compile(r"https?://[^/]*huggingface\.co/|datasets/[\w.-]+/|[\w.-]+/[\w.-]+[:@]")

_LONE = "file"
"""The only split of a setting that names one file."""


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


def load_nli(setting: str, *, on_bad_rows: str = "error") -> RowSet[NliRow]:
    """The train rows that the NLI setting names: a file, or the train split of a folder or of a data set of the hub.

    Raises DataError or HubError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        from sbert_prune.data.quickstart.generator import generate_nli

        return RowSet(f"{QUICKSTART} train", tuple(generate_nli("train")), "generated")
    found = _find(setting, ("train",), required=("train",))
    files = found.files.get("train") or found.files[_LONE]
    return found.named("train", parse_nli(files, on_bad_rows=on_bad_rows))


def load_sts(
    setting: str,
    *,
    score_range: tuple[float, float] | None = None,
    on_bad_rows: str = "error",
    shares: tuple[float, float, float] = DEFAULT_SHARES,
) -> StsData:
    """The STS pairs that the setting names: a folder, or a data set of the hub, has train, dev and test; a file is split by the shares.

    Raises DataError or HubError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return StsData(**_quickstart_sts(STS_SPLITS), score_range=(0.0, 1.0), range_was_given=False)
    found = _find(setting, STS_SPLITS, required=STS_SPLITS)
    sets, bounds = parse_sts(found.files, score_range=score_range, on_bad_rows=on_bad_rows)
    sets = {split: found.named(split, rows) for split, rows in sets.items()}
    splits = split_rows(sets[_LONE], shares) if _LONE in sets else sets
    return StsData(**splits, score_range=(bounds.low, bounds.high), range_was_given=bounds.given)


def load_sts_for_evaluation(
    setting: str, *, score_range: tuple[float, float] | None = None, on_bad_rows: str = "error"
) -> dict[str, RowSet[StsRow]]:
    """The splits to evaluate on: a file is the test split; a folder or a data set of the hub gives dev and test, whichever it has.

    Raises DataError or HubError for data that cannot be used.
    """
    check_on_bad_rows(on_bad_rows)
    if setting == QUICKSTART:
        return _quickstart_sts(("dev", "test"))
    found = _find(setting, ("dev", "test"), required=())
    sets, _ = parse_sts(found.files, score_range=score_range, on_bad_rows=on_bad_rows)
    return {"test" if split == _LONE else split: found.named(split, rows) for split, rows in sets.items()}


@dataclass(frozen=True)
class _Found:
    """The files of each split. source: what the hub calls them, with their commit; None for local ones.  note: for people."""

    files: Mapping[str, Sequence[Path]]
    source: str | None = None
    note: str = ""

    def named(self, split: str, rows: RowSet[Row]) -> RowSet[Row]:
        """Rows of the hub are known by their place there, not by where the cache has them."""
        if self.source is None:
            return rows
        return replace(rows, name=split, source=f"{self.source} {split}", notes=(*rows.notes, *filter(None, (self.note,))))


def _find(setting: str, wanted: Sequence[str], *, required: tuple[str, ...]) -> _Found:
    """The files that a setting names; without `required`, any one of the wanted splits will do.

    Raises DataError, with near names, when there are none; HubError for what the hub does not give.
    """
    files = find_files(setting, wanted, required=required)
    if files is not None:
        return _Found(files)
    from sbert_prune.data.hub_datasets import fetch_splits

    fetched = fetch_splits(setting, required, optional=tuple(split for split in wanted if split not in required))
    return _Found(fetched.files, fetched.source, fetched.note)


def find_files(setting: str, wanted: Sequence[str], *, required: tuple[str, ...]) -> dict[str, tuple[Path, ...]] | None:
    """The files of each split of a folder, or one that is given as "file"; None where the setting names a data set of the hub.

    Raises DataError for a setting that names nothing, and for a folder without the splits required.
    """
    if not setting.strip():
        raise DataError(f"The data setting is empty; {_EXPECTED}")
    try:
        path = Path(setting).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be entered, an unknown ~user
        raise DataError(f"{setting} cannot be opened ({error}). {_EXPECTED.capitalize()}") from error
    if exists and (not path.is_dir() or is_dataset_folder(path)):
        return {_LONE: (path,)}
    if exists:
        files = find_splits(path, wanted)
        require_splits(path, files, required if required or files else ("test",))
        return files
    from sbert_prune.data.hub_datasets import is_hub_setting

    if is_hub_setting(setting) and not is_data_file(path) and not path.parent.is_dir():
        return None
    if _LIKE_A_HUBS.match(setting):
        raise DataError(
            f"{setting} is neither here nor the name of a data set on a hub. Expected org/name, org/name:config, or either with @revision "
            "behind it."
        )
    raise DataError(f"{setting} does not exist. {names_like(path)} {_EXPECTED.capitalize()}")


_EXPECTED = "give a file, a folder of splits, a data set of the hub such as org/name, or the word quickstart."


def _quickstart_sts(splits: tuple[str, ...]) -> dict[str, RowSet[StsRow]]:
    from sbert_prune.data.quickstart.generator import generate_sts

    return {split: RowSet(f"{QUICKSTART} {split}", tuple(generate_sts(split)), "generated") for split in splits}
