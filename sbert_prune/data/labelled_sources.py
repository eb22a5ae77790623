"""Where labelled texts lie: a file, a folder with train and test, a folder with one file, or a data set of a hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sbert_prune.data.files import names_like
from sbert_prune.data.folders import data_files, split_of
from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.labelled_lines import is_text_file
from sbert_prune.data.labelled_rows import LabelledRows
from sbert_prune.data.sources import QUICKSTART, find_files
from sbert_prune.errors import DataError

LONE = "file"
"""The only split of a setting that names one file."""

_SPLITS = ("train", "test")
_EXPECTED = "give a folder with train and test, a file of texts with their labels, or a data set of the hub such as org/name."


@dataclass(frozen=True)
class LabelledFiles:
    """The files of each split: train and test, or the only one.

    source: what the hub calls them, with their commit; None for local ones.  note: for people.
    """

    files: Mapping[str, Sequence[Path]]
    source: str | None = None
    note: str = ""

    def named(self, split: str, rows: LabelledRows) -> LabelledRows:
        """Rows of the hub are known by their place there, not by where the cache has them."""
        if self.source is None:
            return rows
        return replace(rows, name=split, source=f"{self.source} {split}", notes=(*rows.notes, *filter(None, (self.note,))))


def find_labelled(setting: str) -> LabelledFiles:
    """The files that a setting names.

    Raises DataError, with near names, when there are none; HubError for what the hub does not give.
    """
    if setting == QUICKSTART:
        raise DataError(f"The quickstart data have no classes; {_EXPECTED}")
    if is_text_file(path := Path(setting)):
        return LabelledFiles({LONE: (_existing(path.expanduser()),)})
    if lone := _files_of_a_folder(setting):
        return LabelledFiles(lone)
    files = find_files(setting, _SPLITS, required=_SPLITS)
    if files is not None:
        return LabelledFiles(files)
    from sbert_prune.data.hub_datasets import fetch_splits

    fetched = fetch_splits(setting, _SPLITS)
    return LabelledFiles(fetched.files, fetched.source, fetched.note)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{path} does not exist. {names_like(path)} {_EXPECTED.capitalize()}")
    return path


def _files_of_a_folder(setting: str) -> dict[str, tuple[Path, ...]] | None:
    """What other data do not have: a folder with one file, or with text files. None where it is another folder, or none."""
    try:
        folder = Path(setting).expanduser()
        if not folder.is_dir() or is_dataset_folder(folder):
            return None
    except (OSError, RuntimeError):
        return None  # told by find_files
    tables = data_files(folder)
    if tables:
        return {LONE: (tables[0],)} if len(tables) == 1 and tables[0].is_file() and split_of(tables[0].name) is None else None
    texts = sorted(path for path in folder.iterdir() if path.is_file() and is_text_file(path) and not path.name.startswith("."))
    by_split = {split: tuple(path for path in texts if split_of(path.name) == split) for split in _SPLITS}
    if all(len(files) == 1 for files in by_split.values()):
        return by_split
    if len(texts) == 1 and split_of(texts[0].name) is None:
        return {LONE: (texts[0],)}
    if texts:
        names = ", ".join(path.name for path in texts)
        raise DataError(f"{folder} holds {names}; expected one file with train and one with test in its name, or a single file.")
    return None
