"""What earlier commands have left beside the store: entries that it did not take, and work that was not finished."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from pipelines.doctor.findings import Finding
from sbert_prune.tracking.spool import Entry
from sbert_prune.tracking.store_uri import own_folder, tracking_uri, without_password


def check_undelivered() -> Finding:
    """One row."""
    folder = own_folder()
    waiting = Counter(store for path in sorted((folder / "spool").glob("*.jsonl")) for store in _stores(path))
    begun_before = [path for path in (folder / "unfinished").glob("*") if path.is_dir()]
    begun = f"{len(begun_before)} command{'s' * (len(begun_before) != 1)} to go on with" if begun_before else ""
    if not waiting:
        return Finding("left over", "ok", begun or "nothing")
    entries = [f"{number:,} for {store}" for store, number in sorted(waiting.items())]
    found = ", ".join(filter(None, (f"entries not recorded yet in {folder / 'spool'}: {'; '.join(entries)}", begun)))
    here = without_password(tracking_uri())
    if here in waiting:
        advice = "They are delivered at the beginning of the next command that records something, once the store answers."
        return Finding("left over", "warn", found, advice, "mlflow run . -e full")
    advice = "They are for another store than the one in use now: the next command that is given that one delivers them."
    return Finding("left over", "warn", found, advice, f"MLFLOW_TRACKING_URI={min(waiting)} mlflow run . -e full")


def _stores(path: Path) -> list[str]:
    """The store of every whole entry of a file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [str(json.loads(line).get("store", "a store")) for line in file if Entry.parse(line) is not None]
