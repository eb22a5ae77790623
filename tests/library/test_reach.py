"""A tracking server that does not answer, or not as MLflow, is reported with what is wrong, after few requests."""

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.exceptions import MlflowException
from mlflow.utils.rest_utils import MlflowHostCreds, http_request

from sbert_prune.errors import TrackingError
from sbert_prune.tracking import reach
from sbert_prune.tracking.reach import check_answers, check_artifacts, is_unanswered
from sbert_prune.tracking.store_uri import check_store


class Answers(ThreadingHTTPServer):
    """A server that gives every request the same answer, and counts them.

    Status 0 closes the connection without an answer; a negative one is given, as a positive one, when `stopped` is set.
    """

    daemon_threads = True

    def __init__(self, status: int, body: str, content_type: str):
        self.status, self.body, self.content_type, self.count = status, body, content_type, 0
        self.stopped = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Print nothing where a client has gone."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.count += 1
        if self.server.status < 0:
            self.server.stopped.wait(60)
        if self.server.status == 0:
            return
        self.send_response(abs(self.server.status))
        self.send_header("Content-Type", self.server.content_type)
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    do_PUT = do_DELETE = do_GET  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(
    status: int, body: str = "{}", content_type: str = "application/json", tls: ssl.SSLContext | None = None
) -> Iterator[Answers]:
    with Answers(status, body, content_type) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()


def certificate(folder: Path) -> Path:
    """Write a certificate that signs itself, for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    pem = folder / "server.pem"
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    pem.write_bytes(private + made.public_bytes(encoding))
    return pem


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_PAUSE_S", 0)


@pytest.mark.parametrize(
    ("given", "answer", "count"),
    [
        ((503, "no healthy upstream", "text/plain"), r"status 503 \(no healthy upstream\). See the server's log", 3),
        ((500, '{"error_code": "INTERNAL_ERROR"}'), "status 500", 3),
        ((400, "<html>", "text/html"), "status 400. What answers there is not MLflow", 1),
        ((0,), "is closed without an answer. Start it, or write https://", 3),
    ],
)
def test_a_server_that_fails_is_asked_three_times_at_most(no_pause, given, answer, count):
    with answering(*given) as server:
        address = f"http://127.0.0.1:{server.server_port}"

        with pytest.raises(TrackingError, match=f"The tracking store {address} does not answer: .*{answer}"):
            check_answers(address)

    assert server.count == count


def test_a_server_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with answering(-200) as server, pytest.raises(TrackingError, match=r"answers nothing in time.*MLFLOW_HTTP_REQ"):
        check_answers(f"http://127.0.0.1:{server.server_port}")

    assert server.count == 1


def test_a_server_that_is_slower_than_a_second_is_waited_for():
    with answering(-200) as server:
        threading.Timer(1.5, server.stopped.set).start()

        check_answers(f"http://127.0.0.1:{server.server_port}")


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_an_answer_of_mlflow_is_one_whatever_it_says(status):
    with answering(status) as server:
        check_answers(f"http://127.0.0.1:{server.server_port}")


def test_an_artifacts_endpoint_that_fails_alone_is_named(no_pause, monkeypatch: pytest.MonkeyPatch):
    experiment = SimpleNamespace(artifact_location="mlflow-artifacts:/0")
    client = SimpleNamespace(get_experiment=lambda _: experiment)
    with answering(502, "bad gateway", "text/plain") as server:
        address = f"http://127.0.0.1:{server.server_port}"

        with pytest.raises(TrackingError, match=r"answers, but its endpoint for artifacts.*does not: .*status 502"):
            check_artifacts(client, address, "0")
        server.status = 200
        check_artifacts(client, address, "0")
        experiment.artifact_location = "s3://bucket/0"
        check_artifacts(client, address, "0")

    assert server.count == 4


REFUSALS = {
    (500, "Internal Server Error", "text/plain"): (3, "does not: it answers with status 500 .*server's log"),
    (503, "not served", "application/json"): (3, "does not: it answers with status 503 .*server's log"),
    (403, "{}", "application/json"): (
        1,
        "this user may not do that .status 403 .*EDIT permission on experiment Default",
    ),
    (401, "{}", "application/json"): (1, "refuses it with status 401. Ask the server's administrator"),
    (200, "{}", "application/json"): (2, None),
}


@pytest.mark.parametrize("answer", REFUSALS, ids=str)
def test_a_server_that_refuses_to_store_a_file_is_found_before_any_work(no_pause, answer):
    """Where it takes the file, a second request deletes it."""
    count, said = REFUSALS[answer]
    client = SimpleNamespace(get_experiment=lambda _: SimpleNamespace(artifact_location="mlflow-artifacts:/0"))
    with answering(*answer) as server:
        address = f"http://127.0.0.1:{server.server_port}"

        with pytest.raises(TrackingError, match=said) if said else nullcontext():
            check_artifacts(client, address, "0", writes=True)

    assert server.count == count


def test_a_certificate_that_is_not_trusted_is_reported_at_once_with_the_variable_to_set(tmp_path, monkeypatch):
    pem = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    for name in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with answering(200, tls=tls) as server:
        address = f"https://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

        for check in (check_store, lambda: check_answers(address)):
            with pytest.raises(TrackingError, match=r"TLS fails.*self-signed.*MLFLOW_TRACKING_SERVER_CERT_PATH"):
                check()
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(pem))
        check_store()
        check_answers(address)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "none.pem"))
        with pytest.raises(TrackingError, match="there is no such file"):
            check_store()


def test_tls_to_a_server_without_it_is_reported_at_once(monkeypatch: pytest.MonkeyPatch):
    with answering(200) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://127.0.0.1:{server.server_port}")

        with pytest.raises(TrackingError, match=r"cannot be trusted, TLS fails: .*write http://"):
            check_store()


def test_a_failure_of_the_server_is_told_from_a_wrong_request():
    with answering(503) as server:
        credentials = MlflowHostCreds(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(MlflowException) as failed:
            http_request(credentials, "/", "GET", max_retries=0)

    assert is_unanswered(failed.value)
    assert not is_unanswered(MlflowException("no such artifact"))
