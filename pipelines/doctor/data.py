"""Check the data of a recipe: which files they are, and how their first rows are parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pipelines.doctor.findings import Finding, finding_from_error, in_bytes
from pipelines.doctor.hub import HubName, data_on_hub
from sbert_prune.data.columns import name_of
from sbert_prune.data.formats.read import is_data_file, read_table
from sbert_prune.data.formats.text import TextLines, split_suffixes
from sbert_prune.data.hub_datasets import CONVERTED
from sbert_prune.data.hub_layout import NamedFile
from sbert_prune.data.nli import parse_nli
from sbert_prune.data.sources import QUICKSTART, STS_SPLITS, find_files
from sbert_prune.data.sts import parse_sts
from sbert_prune.data.texts import load_texts
from sbert_prune.errors import DataError, HubError
from sbert_prune.system.command_line import command_line

if TYPE_CHECKING:
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.hub.snapshot import Snapshot
    from sbert_prune.recipe.recipe import Recipe

_MAX_LINES = 1_000
_SMALL = 200_000  # bytes: a file up to this size is read whole
_TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
_UNRELIABLE_LINES = 50
"""Lines at the end of an excerpt in which a row may be cut off."""


@dataclass(frozen=True)
class Excerpt:
    """The first rows of a file.

    Args:
        path: The file to read instead of `origin`.
        origin: The file that the rows are from.
        num_lines: None where the excerpt is the whole file.
        format: Description of the format; empty where that of `path` is the same.
    """

    path: Path
    origin: Path
    num_lines: int | None = None
    format: str = ""

    def rename(self, message: str) -> str:
        """Replace the path of the excerpt by the path of the file in a message."""
        return message.replace(str(self.path), str(self.origin))

    def is_at_end(self, message: str) -> bool:
        """Return whether a message is about a row that may be bad only because the excerpt ends there."""
        place = re.match(rf"{re.escape(str(self.path))}, \w+ (\d+)", message)
        return self.num_lines is not None and place is not None and int(place[1]) > self.num_lines - _UNRELIABLE_LINES


def excerpt_of(path: Path, folder: Path) -> Excerpt:
    """Return the first rows of a file, or of a folder that `datasets` saved.

    Args:
        path: The file or folder.
        folder: The excerpt is written to this existing folder.

    Raises:
        DataError: The file cannot be read.
    """
    suffix, compression = split_suffixes(path)
    if path.is_file() and not compression and path.stat().st_size <= _SMALL:
        return Excerpt(path, path)
    if path.is_file() and suffix in _TEXT:
        lines = list(islice(TextLines.of(path), _MAX_LINES))
        target = folder / f"{path.name.split('.')[0]}{suffix}"
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        return Excerpt(target, path, len(lines) if len(lines) == _MAX_LINES else None)
    return _records_of(path, folder)


def _records_of(path: Path, folder: Path) -> Excerpt:
    """Write the first rows of a binary format as JSON lines, with the names of classes in place of their numbers."""
    table = read_table(path)
    records = list(islice(table.records(), _MAX_LINES))
    if table.header is None:
        return Excerpt(path, path)
    target = folder / f"{path.name.split('.')[0]}.jsonl"
    with target.open("w", encoding="utf-8") as file:
        for record in records:
            named = zip(table.header, record.cells, strict=True)
            file.write(
                json.dumps({name: _word(cell, table.names.get(name, ())) for name, cell in named}, default=str) + "\n"
            )
    return Excerpt(target, path, format=table.notes[0])


def _word(cell: object, words: tuple[str, ...]) -> object:
    return words[cell] if isinstance(cell, int) and 0 <= cell < len(words) else cell


Group = Literal["nli", "sts"]

_SPLITS: dict[Group, tuple[str, ...]] = {"nli": ("train",), "sts": STS_SPLITS}
_MAX_TEXTS = 100


def check_rows(group: Group, recipe: Recipe) -> Finding:
    """Check the NLI or STS data."""
    check, setting = f"{group}_data", getattr(recipe, group).data
    if setting is None:
        return _not_given(group, recipe)
    if setting == QUICKSTART:
        return Finding(check, "ok", "generated")
    try:
        files = find_files(setting, _SPLITS[group], required=_SPLITS[group])
        if files is None:
            return _check_hub(group, data_on_hub(setting), recipe)
        return _check_files(group, files, recipe, str(setting))
    except DataError as error:
        return finding_from_error(check, error, _retry_command(recipe, check, "FOLDER" if group == "sts" else "FILE"))
    except HubError as error:
        return finding_from_error(check, error, data_on_hub(setting).command)


def check_text(check: str, setting: str) -> Finding:
    """Check a text file with one sentence a line."""
    try:
        lines = list(islice(load_texts(Path(setting)), _MAX_TEXTS))
    except DataError as error:
        return finding_from_error(check, error, command_line("doctor", **{check: "FILE.txt"}))
    size = in_bytes(Path(setting).stat().st_size)
    return Finding(check, "ok", f"{setting}: {size}, one sentence a line, such as {lines[0][:60]!r}")


def _not_given(group: Group, recipe: Recipe) -> Finding:
    """Return the finding for data that the recipe does not name: a failure where a phase needs them."""
    check = f"{group}_data"
    if group == "nli" and "nli" not in (*recipe.phases, *recipe.of_reference(1).phases):
        return Finding(check, "-", "none, and no phase needs them")
    advice = recipe.hint(check) or "Give it in the recipe, or as a parameter."
    command = _retry_command(recipe, check, "FOLDER")
    return Finding(check, "fail", f"the recipe {recipe.name} names none", advice, command)


def _retry_command(recipe: Recipe, parameter: str, value: str) -> str:
    return command_line("doctor", recipe=recipe.name, **{parameter: value})


def _check_files(group: Group, files: Mapping[str, Sequence[Path]], recipe: Recipe, where: str) -> Finding:
    """Parse an excerpt of the first file of each split."""
    check = f"{group}_data"
    with TemporaryDirectory() as scratch:
        excerpts = {split: _excerpt(paths[0], Path(scratch) / split) for split, paths in files.items()}
        rows = _parse(group, excerpts, recipe)
        bad = [
            excerpts[split].rename(message)
            for split in rows
            for message in rows[split].skipped
            if not excerpts[split].is_at_end(message)
        ]
    split, first = next(iter(rows.items()))
    names = ", ".join(f"{split} {name_of(paths)}".removeprefix("file ") for split, paths in files.items())
    notes = "; ".join((excerpts[split].format, *first.notes[1:]) if excerpts[split].format else first.notes)
    summary = f"{where}: {names} ({notes})"
    if not bad:
        return Finding(check, "ok", summary)
    advice = f"Correct the file, or skip bad rows. {bad[0]}"
    state: Literal["fail", "warn"] = "fail" if recipe.on_bad_rows == "error" else "warn"
    command = command_line("full", recipe=recipe.name, on_bad_rows="skip")
    return Finding(check, state, f"{summary}: {len(bad)} bad among the first rows", advice, command)


def _excerpt(path: Path, folder: Path) -> Excerpt:
    folder.mkdir()
    return excerpt_of(path, folder)


def _parse(
    group: Group, excerpts: Mapping[str, Excerpt], recipe: Recipe
) -> Mapping[str, RowSet[NliRow] | RowSet[StsRow]]:
    try:
        if group == "nli":
            return {split: parse_nli(excerpt.path, on_bad_rows="skip") for split, excerpt in excerpts.items()}
        files = {split: [excerpt.path] for split, excerpt in excerpts.items()}
        return parse_sts(files, score_range=recipe.sts.score_range, on_bad_rows="skip")[0]
    except DataError as error:
        message = str(error)
        for excerpt in excerpts.values():
            message = excerpt.rename(message)
        raise DataError(message) from error


def _check_hub(group: Group, hub: HubName, recipe: Recipe) -> Finding:
    check, splits = f"{group}_data", _SPLITS[group]
    for revision in (hub.revision, *([CONVERTED] if hub.revision is None else [])):
        cached = hub.in_cache(revision=revision)
        files = _of_splits(cached, hub, splits) if cached else {}
        if cached and set(files) == set(splits):
            paths = {split: [cached.fetch([name]) / name for name in names] for split, names in files.items()}
            return _check_files(group, paths, recipe, f"{hub.repo_id} in the cache as of commit {cached.commit[:8]}")
    snapshot = hub.on_hub()
    files = _of_splits(snapshot, hub, splits)
    if not files and hub.revision is None:
        snapshot = hub.on_hub(revision=CONVERTED)
        files = _of_splits(snapshot, hub, splits)
    sizes = {file.path: file.size for file in snapshot.files}
    size = sum(sizes[name] for names in files.values() for name in names)
    summary = (
        f"{hub.repo_id} at commit {snapshot.commit[:8]}: on the hub, {in_bytes(size)} are fetched by the first command"
    )
    if missing := [split for split in splits if split not in files]:
        advice = "No file name shows this split: unless its README names the files, use another config or data set."
        summary = f"{summary}; no {' and no '.join(missing)} split"
        return Finding(check, "warn", summary, advice, _retry_command(recipe, check, "ORG/NAME:CONFIG"))
    return Finding(check, "ok", summary)


def _of_splits(snapshot: Snapshot, hub: HubName, splits: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of each split, by file names alone: configs defined in a README are resolved by commands."""
    files = [NamedFile.parse(file.path) for file in snapshot.files if is_data_file(Path(file.path))]
    of_config = [
        file for file in files if hub.config is None or hub.config in {*file.config.split("/"), *file.rest}
    ] or files
    by_split = {split: [file.path for file in of_config if file.split == split] for split in splits}
    return {split: names for split, names in by_split.items() if names}
