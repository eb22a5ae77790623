"""The schema of a tracking database, against the one that the installed MLflow works with: MLflow itself is not imported."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from pipelines.doctor.findings import Finding

_REVISION = re.compile(r"^revision\s*(?::[^=]+)?=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN = re.compile(r"^down_revision\s*(?::[^=]+)?=\s*(.+)$", re.MULTILINE)


@lru_cache(maxsize=1)
def revisions() -> tuple[frozenset[str], str | None]:
    """All revisions that the installed MLflow knows, and the one that no other follows; None where its scripts say something else."""
    spec = find_spec("mlflow")
    places = spec.submodule_search_locations if spec else None
    scripts = sorted(Path(places[0]).glob("store/db_migrations/versions/*.py")) if places else []
    texts = [script.read_text(encoding="utf-8") for script in scripts]
    known = {match[1] for text in texts if (match := _REVISION.search(text))}
    followed = {name for text in texts if (match := _DOWN.search(text)) for name in re.findall(r"\w+", match[1])}
    heads = known - followed
    return frozenset(known), heads.pop() if len(heads) == 1 else None


def check_schema(found: str | None, tables: set[str], *, where: str, uri: str, backup: str) -> Finding:
    """The row for a database that can be read.

    found: its revision; None without one.  tables: by name.  where: for people.  uri: for a shell, without password.
    backup: a command that copies the database; empty where there is none to give.
    """
    known, head = revisions()
    upgrade = f"{backup}mlflow db upgrade {uri}"
    if found is None and not tables:
        return Finding("store", "ok", f"{where}: empty, MLflow fills it")
    if found is None and "experiments" not in tables:
        advice = f"It holds tables of something else ({', '.join(sorted(tables)[:4])}); MLflow would put its own beside them. Take another."
        return Finding("store", "warn", where, advice, f"export MLFLOW_TRACKING_URI=sqlite:///{shlex.quote(str(Path.cwd()))}/mlflow.db")
    if head is None or found == head:
        return Finding("store", "ok", f"{where}: schema {found}{', as this MLflow has it' * (head is not None)}")
    if found is not None and found not in known:
        advice = f"A newer MLflow than this one ({version('mlflow')}) has written it: use that one, or another store."
        told = f"{where}: schema {found}, unknown to MLflow {version('mlflow')}"
        return Finding("store", "fail", told, advice, f"export MLFLOW_TRACKING_URI=sqlite:///{shlex.quote(str(Path.cwd()))}/mlflow-new.db")
    told = f"{where}: schema {found or 'of old'}, MLflow {version('mlflow')} needs {head}"
    return Finding("store", "fail", told, "An older MLflow has made it: bring it up to date, with a copy kept.", upgrade)
