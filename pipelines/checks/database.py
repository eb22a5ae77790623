"""A database server as tracking store: PostgreSQL, MySQL, SQL Server."""

from __future__ import annotations

import os

from pipelines.checks.schema import check_schema
from pipelines.doctor.findings import Finding
from sbert_prune.tracking.store_uri import open_database, package_of, reason_of, without_password


def check_database(uri: str) -> Finding:
    """The row for a database URI; nothing in it shows a password."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    shown = without_password(uri)
    try:
        with open_database(uri).connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            asked = sqlalchemy.text("SELECT version_num FROM alembic_version")
            found = connection.execute(asked).scalar() if "alembic_version" in tables else None
    except ModuleNotFoundError as error:
        advice = f"The driver that this address asks for is not installed ({error.name})."
        return Finding("store", "fail", shown, advice, f"pip install {package_of(error.name)}")
    except (SQLAlchemyError, ValueError) as error:
        advice = "The database does not answer, or not to this user: correct the address; %40 stands for an @ in a password, %2F for a /."
        return Finding(
            "store",
            "fail",
            f"{shown}: {reason_of(error)[:160]}",
            advice,
            f"export MLFLOW_TRACKING_URI={shown.partition('://')[0]}://USER:PASSWORD@HOST/NAME",
        )
    named = '"$MLFLOW_TRACKING_URI"' if os.environ.get("MLFLOW_TRACKING_URI") else shown
    tables = {name for name in tables if not name.startswith("alembic_")}
    return check_schema(str(found) if found else None, tables, where=shown, uri=named, backup="")
