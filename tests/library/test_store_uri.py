"""The URI of the tracking store, and the errors for one that cannot be used."""

import os
import re
import socket

import pytest

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.secrets import without_password
from sbert_prune.tracking.store_uri import check_store, tracking_uri


def test_the_default_store_is_a_file_in_the_working_folder(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)

    assert tracking_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:secret@host:5000/x", "http://***@host:5000/x"),
        (
            "cannot open postgresql+psycopg2://ann:secret@host/db now",
            "cannot open postgresql+psycopg2://***@host/db now",
        ),
        ("http://ann:my@sec/ret?no#w@host:5000/x", "http://***@host:5000/x"),
        (
            "POST http://ann:s%40cret@host/a, then http://ben:p@ss@host/b",
            "POST http://***@host/a, then http://***@host/b",
        ),
        (
            "postgresql://host/db?user=ann&password=s%40cret&sslmode=off",
            "postgresql://host/db?user=***&password=***&sslmode=***",
        ),
        (
            "http://host:5000/#/experiments/0 of models:/m@champion",
            "http://host:5000/#/experiments/0 of models:/m@champion",
        ),
        ("sqlite:///folder/mlflow.db", "sqlite:///folder/mlflow.db"),
        ("mail to ann@host", "mail to ann@host"),
    ],
)
def test_users_and_passwords_are_left_out(text, expected):
    assert without_password(text) == expected


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the variables after a test that moves credentials to them."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")


def test_credentials_move_from_a_servers_address_to_variables(monkeypatch: pytest.MonkeyPatch, no_credentials):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:my%40sec%2Fr:t@host:5000/team?x=1")

    assert tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == "https://host:5000/team?x=1"
    assert [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD")] == ["ann", "my@sec/r:t"]


def test_a_databases_address_keeps_its_credentials(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:my%40secret@host/db")

    assert tracking_uri() == "postgresql://ann:my%40secret@host/db"


@pytest.mark.parametrize(
    ("uri", "answer"),
    [
        (
            "http://ann:Drossel/bart@127.0.0.1:5000",
            r"No tracking server answers at http://\*\*\*@127.0.0.1:5000: its port .* escaped",
        ),
        ("postgresql+psycopg2://ann:Drossel@bart@127.0.0.1:9/db", "its address cannot be read.* escaped"),
        ("postgresql+psycopg2://ann:Drossel@s:bart@127.0.0.1:9/db", "its address cannot be read.* escaped"),
        ("postgresql+psycopg2://ann:Drosselbart@127.0.0.1:9/db", "cannot be opened: .* refused"),
        ("postgresql+nosuchdriver://ann:Drosselbart@127.0.0.1:9/db", "cannot be opened: Can't load plugin"),
        ("mysql+pymysql://ann:Drosselbart@127.0.0.1:9/db", "that is not installed .* Run: pip install pymysql"),
    ],
)
def test_a_store_that_does_not_let_us_in_is_answered_at_once_and_without_a_piece_of_the_password(
    monkeypatch, uri, answer
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(TrackingError, match=answer) as caught:
        check_store()
    assert not re.search("Drossel|bart", str(caught.value))


def test_a_server_that_listens_is_accepted(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")

        check_store()


def test_a_server_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with pytest.raises(TrackingError, match=r"No tracking server answers at http://127\.0\.0\.1:9 .* Start it"):
        check_store()


def test_a_server_behind_a_proxy_is_asked_through_it_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://behind-the-proxy.invalid:5000")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    check_store()

    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(TrackingError, match="No tracking server answers"):
        check_store()


def test_a_store_that_must_exist_and_does_not_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    with pytest.raises(TrackingError, match="There is no tracking store"):
        check_store(must_exist=True)


@pytest.mark.parametrize(
    ("uri", "answer"),
    [
        ("sqlite:////no/such/folder/mlflow.db", "cannot be written"),
        ("./mlruns", "is no store that MLflow still writes to"),
        ("file:///tmp/mlruns", "is no store that MLflow still writes to"),
        ("http://127.0.0.1:99999", "No tracking server answers"),
        ("sqlite:////tmp/a%20b/mlflow.db", "in its path, which a URI cannot hold"),
    ],
)
def test_a_store_that_cannot_be_opened_is_answered_at_once(monkeypatch: pytest.MonkeyPatch, uri, answer):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(TrackingError, match=answer):
        check_store()
