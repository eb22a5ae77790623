"""Where the tracking store is, and what is said when it cannot be there."""

import socket

import pytest

from sbert_prune.errors import TrackingError
from sbert_prune.store_uri import check_store, tracking_uri, without_password


def test_the_default_store_is_a_file_in_the_working_folder(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)

    assert tracking_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:secret@host:5000/x", "http://***@host:5000/x"),
        ("cannot open postgresql+psycopg2://ann:secret@host/db now", "cannot open postgresql+psycopg2://***@host/db now"),
        ("sqlite:///folder/mlflow.db", "sqlite:///folder/mlflow.db"),
        ("mail to ann@host", "mail to ann@host"),
    ],
)
def test_users_and_passwords_are_left_out(text, expected):
    assert without_password(text) == expected


def test_a_server_that_listens_is_accepted(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")

        check_store()


def test_a_server_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with pytest.raises(TrackingError, match=r"No tracking server answers at http://127\.0\.0\.1:9 .* Start it"):
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
