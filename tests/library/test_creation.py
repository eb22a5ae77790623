"""Something is created once, whatever the server answers."""

import os
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from sbert_prune.tracking.creation import RequestIds, create_once, delete_once

LOST = MlflowException("API request to http://x failed with exception Connection aborted")
CUT = MlflowException("API request to http://x failed with exception IncompleteRead(20 bytes read, 21 more expected)")
REFUSED = RestException({"error_code": "PERMISSION_DENIED", "message": "Permission denied"})
NOT_MLFLOW = MlflowException("API request to endpoint /x failed with error code 403 != 200. Response body: '<html>'")
GATEWAY = MlflowException("API request to endpoint /x failed with error code 524 != 200. Response body: '<html>'")


class Server:
    """What a server does with each request: serves it, does not, or serves it and loses the answer."""

    def __init__(self, *fates: tuple[bool, Exception | None]):
        self.fates, self.made, self.asked, self.pauses = list(fates), [], 0, []

    def create(self) -> str:
        is_served, error = self.fates.pop(0)
        if is_served:
            self.made.append(f"number {len(self.made) + 1}")
        if error is not None:
            raise error
        return self.made[-1]

    def find(self) -> list[str]:
        self.asked += 1
        return self.made

    def once(self, uri: str = "http://127.0.0.1:9", create: Callable[[], str] | None = None) -> str:
        return create_once(MlflowClient(uri), create or self.create, self.find, sleep=self.pauses.append)


@pytest.fixture(autouse=True)
def _two_retries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


def test_what_is_answered_is_not_looked_up():
    server = Server((True, None))

    assert server.once() == "number 1"
    assert (server.asked, server.pauses) == (0, [])


@pytest.mark.parametrize("error", [LOST, CUT, GATEWAY])
def test_what_was_served_is_not_repeated(error):
    server = Server((True, error))

    assert server.once() == "number 1"
    assert server.made == ["number 1"]


def test_what_was_not_served_is_repeated_after_a_pause_each():
    server = Server((False, LOST), (False, LOST), (True, None))

    assert server.once() == "number 1"
    assert (len(server.pauses), server.asked) == (2, 2)


def test_the_first_of_two_is_returned():
    server = Server()

    def create() -> str:
        server.made.extend(["number 1", "number 2"])
        raise LOST

    assert server.once(create=create) == "number 1"


def test_a_server_that_never_answers_raises_the_last_error():
    server = Server(*[(False, LOST)] * 3)

    with pytest.raises(MlflowException, match="Connection aborted"):
        server.once()
    assert server.asked == 3


def test_a_lookup_that_fails_too_raises_the_error_of_the_request(monkeypatch):
    server = Server(*[(False, LOST)] * 3)

    def fail() -> list[str]:
        raise CUT

    monkeypatch.setattr(server, "find", fail)
    with pytest.raises(MlflowException, match="Connection aborted"):
        server.once()


@pytest.mark.parametrize("error", [REFUSED, NOT_MLFLOW])
def test_what_is_rejected_is_not_repeated(error):
    server = Server((False, error))

    with pytest.raises(type(error)):
        server.once()
    assert server.asked == 0


def test_a_database_is_not_asked_again(tmp_path):
    server = Server((False, LOST))

    with pytest.raises(MlflowException):
        server.once(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert server.asked == 0


def test_mlflow_does_not_repeat_the_request_itself():
    server = Server()

    seen = server.once(create=lambda: os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])

    assert (seen, os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) == ("0", "2")


def test_what_is_deleted_already_is_no_error_and_a_refusal_is(tmp_path):
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    model = client.create_logged_model(client.create_experiment("x"), "m").model_id

    for _ in range(2):
        delete_once(lambda: client.delete_logged_model(model))
    with pytest.raises(MlflowException, match="Permission denied"):
        delete_once(lambda: (_ for _ in ()).throw(REFUSED))


def test_every_request_has_an_id_of_its_own_that_begins_with_the_commands():
    ids, others = RequestIds(), RequestIds()

    made = [ids.next(), ids.next(), others.next()]

    assert len(set(made)) == 3
    assert [name.startswith(f"{ids.command}-") for name in made] == [True, True, False]
