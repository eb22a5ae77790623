"""The tracking store: where it is, and who looks at it."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipelines.doctor.findings import Finding
from sbert_prune.errors import TrackingError
from sbert_prune.tracking.store_uri import check_store, sqlite_path, tracking_uri, without_password

_ELSEWHERE = "export MLFLOW_TRACKING_URI=sqlite:///$HOME/mlflow.db"


_DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}


def check_tracking_store() -> Finding:
    """One row for the store that commands would use now."""
    uri = tracking_uri()
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in {"http", "https"} and _has_port(uri):
        from pipelines.doctor.server import check_server

        return check_server(uri)
    if (path := sqlite_path(uri)) is not None:
        from pipelines.checks.sqlite import check_file

        if (finding := check_file(path)).is_wrong:
            return finding
    if path is None and scheme in _DATABASES:
        from pipelines.checks.database import check_database

        return check_database(uri)
    try:
        check_store()
    except TrackingError as error:
        return Finding("store", "fail", without_password(uri), str(error), _ELSEWHERE)
    return finding if path is not None else Finding("store", "-", f"{without_password(uri)}: not looked at")


def _has_port(uri: str) -> bool:
    try:
        urlsplit(uri).port  # noqa: B018 - it is the asking that fails
    except ValueError:
        return False
    return True
