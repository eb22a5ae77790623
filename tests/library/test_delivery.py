"""The messages for errors of a tracking server."""

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.request_utils import augmented_raise_for_status
from mlflow.utils.rest_utils import verify_rest_response

from sbert_prune.tracking.delivery import first_line


def answer(status: int, text: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content, response.url = (
        status,
        text.encode(),
        "http://ann:secret@host:5000/api/2.0/mlflow-artifacts/artifacts/0/a",
    )
    return response


@pytest.fixture(autouse=True)
def ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "dogs")


@pytest.mark.parametrize(
    ("status", "endpoint", "expected"),
    [
        (
            401,
            "runs/create",
            "it does not accept ann with this password (status 401). Set MLFLOW_TRACKING_USERNAME and",
        ),
        (
            403,
            "runs/create",
            "ann may not do that (status 403 for runs/create). Ask the server's administrator to give ann EDIT",
        ),
        (403, "runs/log-batch", "EDIT permission on experiment dogs."),
        (403, "experiments/get-by-name", "READ permission on experiment dogs."),
        (403, "runs/get", "READ permission on its experiment."),
        (403, "model-versions/create", "EDIT permission on that registered model."),
        (403, "registered-models/alias", "EDIT permission (MANAGE to promote) on that registered model."),
    ],
)
def test_a_refusal_of_a_server_is_reported_with_what_to_do(status, endpoint, expected):
    with pytest.raises(MlflowException) as refused:
        verify_rest_response(answer(status, "Permission denied"), f"/api/2.0/mlflow/{endpoint}")

    assert expected in first_line(refused.value)


def test_a_refused_artifact_is_reported_as_well():
    with pytest.raises(requests.HTTPError) as refused:
        augmented_raise_for_status(answer(403, "Permission denied"))

    assert first_line(refused.value) == (
        "ann may not do that (status 403). "
        "Ask the server's administrator to give ann EDIT permission on experiment dogs."
    )


def test_other_errors_keep_their_message_without_passwords():
    with pytest.raises(requests.HTTPError) as failed:
        augmented_raise_for_status(answer(404, "no such file\nas that"))

    assert first_line(failed.value).startswith(
        "404 Client Error: None for url: http://***@host:5000/api/2.0/mlflow-artifacts"
    )
