"""`doctor` on tracking stores: files, servers, databases, and what waits to be delivered."""

import os
import shutil
import sqlite3
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlalchemy
from alembic.command import upgrade
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from mlflow.cli import cli as mlflow_command
from mlflow.store.db.utils import _get_alembic_config, _get_latest_schema_revision
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

from pipelines.doctor.disk import check_undelivered
from pipelines.doctor.store import check_database, check_tracking_store, revisions
from sbert_prune.tracking.spool import Entry, Spool
from tests.stores import STORE, made_once, migrate
from tests.users import as_nobody

OLD = "181f10493468"  # a revision of MLflow 1


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Return a function that checks a store after setting it: a path is a SQLite file."""

    for name in ("USERNAME", "PASSWORD"):  # what a server's address names moves there
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")

    def use(uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{uri}" if isinstance(uri, Path) else uri)
        return check_tracking_store()

    monkeypatch.chdir(tmp_path)
    return use


@contextmanager
def serving(handler):
    """Serve with this handler on localhost; yield the address."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


DELETED = '{"experiment": {"experiment_id": "7", "name": "x", "lifecycle_stage": "deleted"}}'


def mlflow_server(*, running="3.17.2", status=200, health="OK", experiment="{}", authorizations=None):
    """Return a handler that answers as MLflow's server does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if authorizations is not None:
                authorizations.append(self.headers.get("Authorization"))
            asked = self.path.strip("/")
            body = {"health": health, "version": running}.get(asked, experiment).encode()
            self.send_response(200 if asked in {"health", "version"} else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def set_schema(path, revision):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    database.close()


@pytest.fixture(scope="session")
def made_store(tmp_path_factory):
    return made_once(tmp_path_factory, "store", migrate) / STORE


def test_the_newest_schema_is_found_without_importing_mlflow():
    known, head = revisions()

    assert head == _get_latest_schema_revision()
    assert OLD in known


def test_a_store_of_this_mlflow_is_well_and_untouched(tmp_path, store, made_store):
    path = Path(shutil.copy(made_store, tmp_path / "mlflow.db"))
    before = path.read_bytes()

    assert store(path).state == "ok"
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mlflow.db"]


def test_the_command_for_an_old_schema_mends_it(tmp_path, store):
    """A shell runs it with a fake `mlflow` that records its arguments; MLflow then runs with them in this process."""
    path = tmp_path / "my store.db"
    old = make_store_of_the_schema_before(path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mlflow").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{programs}/called'\n")
    (programs / "mlflow").chmod(0o755)

    finding = store(path)
    subprocess.run(
        finding.command,
        shell=True,
        check=True,
        env=os.environ | {"PATH": os.pathsep.join((str(programs), os.environ["PATH"]))},
    )
    CliRunner().invoke(mlflow_command, (programs / "called").read_text().splitlines(), catch_exceptions=False)

    assert finding.state == "fail"
    assert f"schema {old}, MLflow {version('mlflow')} needs {revisions()[1]}" in finding.found
    assert store(path).state == "ok"
    assert store(Path(f"{path}.before")).state == "fail"


def make_store_of_the_schema_before(path):
    """Make a store with the schema before MLflow's last migration, and return its revision."""
    uri = f"sqlite:///{path}"
    config = _get_alembic_config(uri)
    before = ScriptDirectory.from_config(config).get_revision(_get_latest_schema_revision()).down_revision
    engine = sqlalchemy.create_engine(uri)
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        upgrade(config, before)
    engine.dispose()
    return before


def test_a_schema_of_a_newer_mlflow_is_not_brought_up_to_date(tmp_path, store, made_store):
    path = Path(shutil.copy(made_store, tmp_path / "mlflow.db"))
    set_schema(path, "ffffffffffff")

    finding = store(path)

    assert finding.state == "fail"
    assert "unknown to MLflow" in finding.found
    assert finding.command.startswith("export MLFLOW_TRACKING_URI=")


def test_a_store_that_somebody_writes_to_is_called_locked(tmp_path, store, made_store):
    path = Path(shutil.copy(made_store, tmp_path / "mlflow.db"))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    finding = store(path)
    writer.execute("ROLLBACK")

    assert (finding.state, finding.found) == ("warn", f"{path}: locked")
    assert store(path).state == "ok"
    writer.close()


def test_files_that_are_no_store_are_told_apart(tmp_path, store):
    (tmp_path / "text.db").write_text("dear diary")
    (tmp_path / "cut.db").write_bytes(b"SQLite format 3\0" + bytes(range(200)))
    (tmp_path / "empty.db").touch()
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE birds (name)")
    database.close()

    assert store(tmp_path / "text.db").command == f"mv {tmp_path}/text.db {tmp_path}/text.db.damaged"
    assert store(tmp_path / "cut.db").state == "fail"
    assert store(tmp_path / "empty.db").state == "ok"
    assert store(tmp_path / "new.db").state == "ok"
    assert store(tmp_path / "other.db").state == "warn"
    assert "birds" in store(tmp_path / "other.db").advice
    assert not (tmp_path / "new.db").exists()


def test_a_store_that_may_not_be_written_fails(everybodys, store, made_store):
    path = Path(shutil.copy(made_store, everybodys / "mlflow.db"))
    path.chmod(0o444)
    with as_nobody():
        of_file = store(path)
    everybodys.chmod(0o555)
    with as_nobody():
        of_folder = store(path)
    everybodys.chmod(0o700)
    with as_nobody():
        out_of_sight = store(path)

    assert (of_file.state, of_file.command) == ("fail", f"chmod u+rwX {path}")
    assert (of_folder.state, of_folder.command) == ("fail", f"chmod u+rwX {everybodys}")
    if os.geteuid() == 0:  # a user's own folder stays in sight
        assert out_of_sight == of_folder


@pytest.mark.parametrize(
    ("server", "state", "expected"),
    [
        (mlflow_server(running="3.17.2"), "ok", "MLflow 3.17.2, answers"),
        (mlflow_server(status=404), "ok", "answers"),  # it has no experiment of that name, and says so
        (mlflow_server(running="2.9.0"), "fail", 'pip install "mlflow=='),
        (mlflow_server(experiment=DELETED), "fail", "mlflow experiments restore -x 7"),
        (mlflow_server(status=401), "fail", "MLFLOW_TRACKING_USERNAME"),
        (mlflow_server(status=500), "fail", "mlflow db upgrade"),
        (mlflow_server(health="<html>welcome</html>"), "fail", "export MLFLOW_TRACKING_URI"),
    ],
    ids=["well", "no experiment", "old", "deleted", "who are you", "broken", "another program"],
)
def test_what_a_server_answers_is_understood(store, server, state, expected):
    with serving(server) as address:
        finding = store(f"http://ann:secret@{address}/")

    assert finding.state == state
    assert expected in finding.found + finding.command
    assert "secret" not in str(finding)


def test_a_server_is_told_who_asks_as_mlflows_client_does(tmp_path, store, monkeypatch):
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = se%cret\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    authorizations = []

    with serving(mlflow_server(authorizations=authorizations)) as address:
        store(f"http://{address}")

    assert set(authorizations) == {"Basic YW5uOnNlJWNyZXQ="}


def test_a_port_where_nobody_listens_is_told_with_the_command_that_starts_a_server(store):
    finding = store("http://127.0.0.1:9")

    assert finding.found == "http://127.0.0.1:9: [Errno 111] Connection refused"
    assert finding.command == "mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 9"


def test_other_databases_are_asked_for_their_schema_and_their_passwords_kept(store, made_store, monkeypatch):
    well = check_database(f"sqlite+pysqlite:///{made_store}")  # the way that all of SQLAlchemy's databases take
    missing = store("mssql+nosuchdriver://ann:secret@localhost/runs")
    closed = check_database("sqlite+pysqlite:////no/such/folder/mlflow.db")

    assert well.state == "ok"
    assert missing.state == closed.state == "fail"
    assert "secret" not in str(missing)


@pytest.mark.parametrize("name", ["what?", "50%"])
def test_a_folder_that_a_uri_cannot_hold_is_refused(tmp_path, store, name):
    (tmp_path / name).mkdir()

    finding = store(tmp_path / name / "mlflow.db")

    assert (finding.state, "in its path, which a URI cannot hold" in finding.advice) == ("fail", True)


def test_an_address_that_is_no_store_is_refused(store):
    finding = store("file:///tmp/mlruns")

    assert (finding.state, finding.command) == ("fail", "export MLFLOW_TRACKING_URI=sqlite:///$HOME/mlflow.db")


def test_what_waits_to_be_delivered_is_counted_by_store(tmp_path, store):
    here = f"sqlite:///{tmp_path}/mlflow.db"
    store(here)
    assert check_undelivered().state == "ok"

    for uri, number in ((here, 3), ("http://elsewhere", 2)):
        spool = Spool(tmp_path / ".sbert-prune" / "spool", uri)
        for _ in range(number):
            spool.keep(Entry("r", "tags", {"a": "b"}, 0))
        spool.release()
    (tmp_path / ".sbert-prune" / "unfinished" / "key").mkdir(parents=True)
    finding = check_undelivered()

    assert finding.state == "warn"
    assert f"2 for http://elsewhere; 3 for {here}, 1 unfinished command" in finding.found
    assert finding.command == "mlflow run . -e full"


def test_what_waits_for_another_store_is_delivered_by_a_command_with_that_one(tmp_path, store):
    store(f"sqlite:///{tmp_path}/mlflow.db")
    spool = Spool(tmp_path / ".sbert-prune" / "spool", "http://elsewhere")
    spool.keep(Entry("r", "tags", {"a": "b"}, 0))
    spool.release()

    assert check_undelivered().command == "MLFLOW_TRACKING_URI=http://elsewhere mlflow run . -e full"
