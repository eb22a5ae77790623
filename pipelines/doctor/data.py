"""The data of a recipe: which files they are, and how their first rows are understood."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pipelines.doctor.findings import Finding, in_bytes, refused
from pipelines.doctor.hub import HubName, data_on_hub
from sbert_prune.data.columns import name_of
from sbert_prune.data.formats.read import is_data_file, read_table
from sbert_prune.data.formats.text import TextLines, load_texts, split_suffixes
from sbert_prune.data.hub_datasets import CONVERTED
from sbert_prune.data.hub_layout import NamedFile
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.sources import QUICKSTART, STS_SPLITS, find_files
from sbert_prune.data.sts import parse_sts
from sbert_prune.errors import DataError, HubError

if TYPE_CHECKING:
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.hub.snapshot import Snapshot
    from sbert_prune.recipe.recipe import Recipe

_ROWS = 1_000
_SMALL = 200_000  # bytes: such a file is read whole
_TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
_LAST = 50
"""Lines at the end of a beginning, of which one may begin a row that goes on behind it."""


@dataclass(frozen=True)
class Beginning:
    """path: what is read instead of `origin`.  num_lines: None where it is the whole file.  format: where `path` does not show it."""

    path: Path
    origin: Path
    num_lines: int | None = None
    format: str = ""

    def told(self, message: str) -> str:
        """A message about it, said of the file that it is of."""
        return message.replace(str(self.path), str(self.origin))

    def is_of_its_end(self, message: str) -> bool:
        """Whether a message about a row says nothing, as the row may only have been cut off."""
        place = re.match(rf"{re.escape(str(self.path))}, \w+ (\d+)", message)
        return self.num_lines is not None and place is not None and int(place[1]) > self.num_lines - _LAST


def beginning_of(path: Path, folder: Path) -> Beginning:
    """The beginning of a file, or of a folder that `datasets` saved. folder: where it is written; it must exist.

    Raises DataError for a file that cannot be read.
    """
    suffix, compression = split_suffixes(path)
    if path.is_file() and not compression and path.stat().st_size <= _SMALL:
        return Beginning(path, path)
    if path.is_file() and suffix in _TEXT:
        lines = list(islice(TextLines.of(path), _ROWS))
        target = folder / f"{path.name.split('.')[0]}{suffix}"
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        return Beginning(target, path, len(lines) if len(lines) == _ROWS else None)
    return _records_of(path, folder)


def _records_of(path: Path, folder: Path) -> Beginning:
    """Formats that are no lines are written as lines of JSON, numbers that stand for words as the words."""
    table = read_table(path)
    records = list(islice(table.records(), _ROWS))
    if table.header is None:
        return Beginning(path, path)
    target = folder / f"{path.name.split('.')[0]}.jsonl"
    with target.open("w", encoding="utf-8") as file:
        for record in records:
            named = zip(table.header, record.cells, strict=True)
            file.write(json.dumps({name: _word(cell, table.names.get(name, ())) for name, cell in named}, default=str) + "\n")
    return Beginning(target, path, format=table.notes[0])


def _word(cell: object, words: tuple[str, ...]) -> object:
    return words[cell] if isinstance(cell, int) and 0 <= cell < len(words) else cell


Group = Literal["nli", "sts"]

_SPLITS: dict[Group, tuple[str, ...]] = {"nli": ("train",), "sts": STS_SPLITS}
_FEW = 100  # lines of a text


def check_rows(group: Group, recipe: Recipe) -> Finding:
    """The row of the NLI or STS data."""
    check, setting = f"{group}_data", getattr(recipe, group).data
    if setting is None:
        return _none(group, recipe)
    if setting == QUICKSTART:
        return Finding(check, "ok", "generated")
    try:
        files = find_files(setting, _SPLITS[group], required=_SPLITS[group])
        if files is None:
            return _check_hub(group, data_on_hub(setting), recipe)
        return _understood(group, files, recipe, str(setting))
    except DataError as error:
        return refused(check, error, _try(recipe, f"{check}={'FOLDER' if group == 'sts' else 'FILE'}"))
    except HubError as error:
        return refused(check, error, data_on_hub(setting).command)


def check_text(check: str, setting: str) -> Finding:
    """The row of a text file, one sentence a line."""
    try:
        lines = list(islice(load_texts(Path(setting)), _FEW))
    except DataError as error:
        return refused(check, error, f"mlflow run . -e doctor -P {check}=FILE.txt")
    size = in_bytes(Path(setting).stat().st_size)
    return Finding(check, "ok", f"{setting}: {size}, one sentence a line, such as {lines[0][:60]!r}")


def _none(group: Group, recipe: Recipe) -> Finding:
    """What is said where the recipe names no data: whether a command would want some."""
    check = f"{group}_data"
    if group == "nli" and "nli" not in (*recipe.phases, *recipe.of_reference(1).phases):
        return Finding(check, "-", "none, and no phase wants any")
    advice = recipe.hint(check) or "Give it in the recipe, or as a parameter."
    return Finding(check, "fail", f"the recipe {recipe.name} names none", advice, _try(recipe, f"{check}=FOLDER"))


def _try(recipe: Recipe, parameter: str) -> str:
    return f"mlflow run . -e doctor -P recipe={recipe.name} -P {parameter}"


def _understood(group: Group, files: Mapping[str, Sequence[Path]], recipe: Recipe, where: str) -> Finding:
    """How the beginnings of some splits' first files are read."""
    check = f"{group}_data"
    with TemporaryDirectory() as scratch:
        begun = {split: _begin(paths[0], Path(scratch) / split) for split, paths in files.items()}
        rows = _parse(group, begun, recipe)
        bad = [begun[split].told(message) for split in rows for message in rows[split].skipped if not begun[split].is_of_its_end(message)]
    split, first = next(iter(rows.items()))
    names = ", ".join(f"{split} {name_of(paths)}".removeprefix("file ") for split, paths in files.items())
    notes = "; ".join((begun[split].format, *first.notes[1:]) if begun[split].format else first.notes)
    told = f"{where}: {names} ({notes})"
    if not bad:
        return Finding(check, "ok", told)
    advice = f"Mend the file, or leave such rows out. {bad[0]}"
    state: Literal["fail", "warn"] = "fail" if recipe.on_bad_rows == "error" else "warn"
    command = f"mlflow run . -e full -P recipe={recipe.name} -P on_bad_rows=skip"
    return Finding(check, state, f"{told}: {len(bad)} bad among the first rows", advice, command)


def _begin(path: Path, folder: Path) -> Beginning:
    folder.mkdir()
    return beginning_of(path, folder)


def _parse(group: Group, begun: Mapping[str, Beginning], recipe: Recipe) -> Mapping[str, RowSet[NliRow] | RowSet[StsRow]]:
    try:
        if group == "nli":
            return {split: parse_nli(one.path, on_bad_rows="skip") for split, one in begun.items()}
        return parse_sts({split: [one.path] for split, one in begun.items()}, score_range=recipe.sts.score_range, on_bad_rows="skip")[0]
    except DataError as error:
        message = str(error)
        for one in begun.values():
            message = one.told(message)
        raise DataError(message) from error


def _check_hub(group: Group, hub: HubName, recipe: Recipe) -> Finding:
    check, wanted = f"{group}_data", _SPLITS[group]
    for revision in (hub.revision, *([CONVERTED] if hub.revision is None else [])):
        cached = hub.in_cache(revision=revision)
        files = _of_splits(cached, hub, wanted) if cached else {}
        if cached and set(files) == set(wanted):
            paths = {split: [cached.fetch([name]) / name for name in names] for split, names in files.items()}
            return _understood(group, paths, recipe, f"{hub.repo_id} in the cache as of commit {cached.commit[:8]}")
    snapshot = hub.on_hub()
    files = _of_splits(snapshot, hub, wanted)
    if not files and hub.revision is None:
        snapshot = hub.on_hub(revision=CONVERTED)
        files = _of_splits(snapshot, hub, wanted)
    sizes = {file.path: file.size for file in snapshot.files}
    size = sum(sizes[name] for names in files.values() for name in names)
    told = f"{hub.repo_id} at commit {snapshot.commit[:8]}: on the hub, {in_bytes(size)} are fetched by the first command"
    if missing := [split for split in wanted if split not in files]:
        advice = "The names of its files show none: unless its README tells where they are, give another config or data set."
        return Finding(check, "warn", f"{told}; no {' and no '.join(missing)} split", advice, _try(recipe, f"{check}=ORG/NAME:CONFIG"))
    return Finding(check, "ok", told)


def _of_splits(snapshot: Snapshot, hub: HubName, wanted: Sequence[str]) -> dict[str, list[str]]:
    """The files that look like the wanted splits, by their names alone: which config a README means is told once a command reads it."""
    named = [NamedFile.parse(file.path) for file in snapshot.files if is_data_file(Path(file.path))]
    of_config = [file for file in named if hub.config is None or hub.config in {*file.config.split("/"), *file.rest}] or named
    found = {split: [file.path for file in of_config if file.split == split] for split in wanted}
    return {split: names for split, names in found.items() if names}
