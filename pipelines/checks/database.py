"""A database server as tracking store: PostgreSQL, MySQL, SQL Server."""

from __future__ import annotations

import os

from pipelines.checks.finding import Finding
from pipelines.checks.schema import check_schema
from sbert_prune.store_uri import without_password

_PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Modules whose package on PyPI has another name."""


def check_database(uri: str) -> Finding:
    """The row for a database URI; nothing in it shows a password."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    shown = without_password(uri)
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        with engine.connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            asked = sqlalchemy.text("SELECT version_num FROM alembic_version")
            found = connection.execute(asked).scalar() if "alembic_version" in tables else None
    except ModuleNotFoundError as error:
        advice = f"The driver that this address asks for is not installed ({error.name})."
        return Finding("store", "fail", shown, advice, f"pip install {_PACKAGES.get(str(error.name), str(error.name))}")
    except SQLAlchemyError as error:
        reason = without_password((str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0])
        advice = "The database does not answer, or not to this user: correct the address."
        return Finding(
            "store",
            "fail",
            f"{shown}: {reason[:160]}",
            advice,
            f"export MLFLOW_TRACKING_URI={shown.partition('://')[0]}://USER:PASSWORD@HOST/NAME",
        )
    named = '"$MLFLOW_TRACKING_URI"' if os.environ.get("MLFLOW_TRACKING_URI") else shown
    tables = {name for name in tables if not name.startswith("alembic_")}
    return check_schema(str(found) if found else None, tables, where=shown, uri=named, backup="")
