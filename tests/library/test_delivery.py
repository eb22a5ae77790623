"""What a person reads where a store does not take something."""

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.request_utils import augmented_raise_for_status
from mlflow.utils.rest_utils import verify_rest_response

from sbert_prune.tracking.delivery import first_line


def answer(status: int, text: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content, made.url = (
        status,
        text.encode(),
        "http://ann:secret@host:5000/api/2.0/mlflow-artifacts/artifacts/0/a",
    )
    return made


@pytest.fixture(autouse=True)
def ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "dogs")


@pytest.mark.parametrize(
    ("status", "endpoint", "told"),
    [
        (401, "runs/create", "it does not know ann by this password (status 401). Set MLFLOW_TRACKING_USERNAME and"),
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
def test_a_server_that_does_not_let_us_in_is_told_of_with_what_to_do(status, endpoint, told):
    with pytest.raises(MlflowException) as refused:
        verify_rest_response(answer(status, "Permission denied"), f"/api/2.0/mlflow/{endpoint}")

    assert told in first_line(refused.value)


def test_an_artifact_that_is_refused_is_told_of_as_well():
    with pytest.raises(requests.HTTPError) as refused:
        augmented_raise_for_status(answer(403, "Permission denied"))

    told = first_line(refused.value)
    assert (
        told
        == "ann may not do that (status 403). Ask the server's administrator to give ann EDIT permission on experiment dogs."
    )


def test_any_other_answer_is_told_in_its_own_words_without_passwords():
    with pytest.raises(requests.HTTPError) as failed:
        augmented_raise_for_status(answer(404, "no such file\nas that"))

    assert first_line(failed.value).startswith(
        "404 Client Error: None for url: http://***@host:5000/api/2.0/mlflow-artifacts"
    )
