"""The tracking store: where it is, and who looks at it."""

from __future__ import annotations

from pipelines.checks.finding import Finding
from sbert_prune.errors import TrackingError
from sbert_prune.store_uri import check_store, sqlite_path, tracking_uri, without_password

_ELSEWHERE = "export MLFLOW_TRACKING_URI=sqlite:///$HOME/mlflow.db"


def check_tracking_store() -> Finding:
    """One row for the store that commands would use now."""
    uri = tracking_uri()
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in {"http", "https"}:
        from pipelines.checks.server import check_server

        return check_server(uri)
    if (path := sqlite_path(uri)) is not None:
        from pipelines.checks.sqlite import check_file

        if (finding := check_file(path)).is_wrong:
            return finding
    try:
        check_store()
    except TrackingError as error:
        return Finding("store", "fail", without_password(uri), str(error), _ELSEWHERE)
    if path is not None:
        return finding
    if scheme == "databricks":
        return Finding("store", "-", f"{without_password(uri)}: not looked at")
    from pipelines.checks.database import check_database

    return check_database(uri)
