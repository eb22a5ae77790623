"""What a team has: PostgreSQL, and over it an MLflow server that asks who one is and serves the artifacts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from mlflow.server.auth.client import AuthServiceClient

from docs.take_screenshots import answers

PASSWORD = "Zwergzack/auf@Drosselbart%41:x"
"""The database's: with all that a URI has to escape, between words that are found however it is written."""

ADMIN = ("root", "Schneekoppe/bei@Nacht")

_AS_POSTGRES = (
    {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
)  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server on this machine, and the user `mlflow` whom it asks for the password."""

    port: int

    def uri(self, database: str, *, password: str = PASSWORD, driver: str = "postgresql+psycopg2") -> str:
        """The address of a database, its password escaped."""
        return f"{driver}://mlflow:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database and give its address."""
        self.ask("postgres", f"CREATE DATABASE {database}")
        return self.uri(database)

    def dump(self, database: str) -> str:
        """All that a database holds, as text."""
        command = [programs() / "pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow", database]
        return subprocess.run(
            command, env={"PGPASSWORD": PASSWORD}, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    def ask(self, database: str, statement: str) -> list[tuple[object, ...]]:
        """What a statement answers; [] where it gives no rows."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="mlflow", password=PASSWORD, dbname=database
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def programs() -> Path:
    """Where PostgreSQL's programs lie. A machine without them skips the test, but for CI, which installs them."""
    initdb = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
    if initdb is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL's programs are absent, which .ci/run installs")
        pytest.skip("PostgreSQL's programs are absent: apt-get install postgresql")
    return Path(initdb).resolve().parent


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A fresh PostgreSQL on a free port of 127.0.0.1, gone with the block."""
    found, port = programs(), free_port()
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(PASSWORD)
        if _AS_POSTGRES:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        _run(
            found / "initdb",
            "-D",
            data,
            "-U",
            "mlflow",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "-E",
            "UTF8",
            "--no-sync",
        )
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c full_page_writes=off"
        _run(found / "pg_ctl", "-D", data, "-l", f"{folder}/log", "-w", "-o", options, "start")
        try:
            yield Postgres(port)
        finally:
            _run(found / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _run(*command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **_AS_POSTGRES,
    )
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class TeamServer:
    """`mlflow server --app-name basic-auth` over PostgreSQL; it can be stopped and restarted at the same address."""

    postgres: Postgres
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Without a user."""
        return f"http://127.0.0.1:{self.port}"

    def address_for(self, user: str, password: str) -> str:
        """With a user in it, the password escaped."""
        return f"http://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--serve-artifacts", "--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        settings = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING_")} | {
            "MLFLOW_BACKEND_STORE_URI": self.postgres.uri(
                "runs"
            ),  # in the command line, all users of a machine would see it
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "forms are signed with it",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        log = self.folder / "server.log"
        with log.open("a") as out:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=settings, stdout=out, stderr=subprocess.STDOUT
            )
        assert answers(self.address, self.process), log.read_text()[-3000:]

    def stop(self) -> None:
        """Stop it as its administrator does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None


@contextmanager
def team_server(postgres: Postgres, folder: Path) -> Iterator[TeamServer]:
    """The server, started, with an administrator and nobody else; everybody may read unless told otherwise."""
    for database in ("runs", "users"):
        postgres.create(database)
    escaped = postgres.uri("users").replace("%", "%%")  # configparser's
    told = {
        "default_permission": "READ",
        "database_uri": escaped,
        "admin_username": ADMIN[0],
        "admin_password": ADMIN[1],
        "auth_cache_ttl_seconds": "60",  # without it, every request has the password checked anew, for half a second
    }
    (folder / "auth.ini").write_text("[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in told.items()))
    server = TeamServer(postgres, folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def as_admin(server: TeamServer) -> Iterator[AuthServiceClient]:
    """The client that makes users and gives permissions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
        yield AuthServiceClient(server.address)
