"""A hub on localhost: serves models and data sets to huggingface_hub, with faults on request.

    with Hub(tmp_path) as hub:
        hub.add_model("org/name", folder)
        hub.add_dataset("org/pairs", {"train.csv": b"..."}, revision="refs/convert/parquet")
        hub.fail("org/pairs/train.csv", Fault(status=503))
        subprocess.run([...], env=hub.env)          # or use_hub(monkeypatch, hub) in this process
        assert hub.fetched == ["org/pairs/train.csv"]

Large files (.safetensors, .bin, .parquet, and all above 10 kB) come from a second port, like a hub's storage host.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import unquote, urlsplit

_LARGE = (".safetensors", ".bin", ".parquet", ".h5", ".msgpack")
_KINDS = {"models": "model", "datasets": "dataset"}


@dataclass
class Fault:
    """A fault of a request.

    Attributes:
        status: HTTP status to answer with.
        headers: Headers of that answer.
        method: GET or HEAD.
        times: How often the fault occurs.
        cut_after: Bytes of the body after which the connection ends.
        reset: Whether it ends by a reset.
        damage: Whether one byte of the body is changed.
        page: The HTML that a portal answers to every request, with status 200.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    times: int = 1
    cut_after: int | None = None
    reset: bool = False
    damage: bool = False
    page: str = ""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: GET or HEAD.
        what: "api/models/ID/REVISION", or "ID/FILE".
        range: The header of this name.
        has_token: Whether the request has a token.
        num_bytes: Number of bytes of the body that were sent.
    """

    method: str
    what: str
    range: str
    has_token: bool
    num_bytes: int


@dataclass
class _Repository:
    revisions: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gate: str | None = None
    is_private: bool = False


class Hub:
    """The server.

    Attributes:
        endpoint: Value for HF_ENDPOINT.
        home: Value for HF_HOME.
        requests: All answered requests, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "hf_home"
        self.requests: list[Request] = []
        self.token = "hf_letmein0123456789"
        self.lists_files = True
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._faults: list[tuple[str, Fault]] = []
        self._connections: list[socket.socket] = []
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self)) for _ in ("hub", "storage")]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and close open connections."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._servers = []

    def add_model(self, repo_id: str, files: Path | Mapping[str, bytes], *, revision: str = "main") -> str:
        """Add a commit of files under a branch, a tag or its own name, and return the commit."""
        return self._add("model", repo_id, files, revision)

    def add_dataset(self, repo_id: str, files: Path | Mapping[str, bytes], *, revision: str = "main") -> str:
        """Add a commit of a data set, as `add_model`."""
        return self._add("dataset", repo_id, files, revision)

    def listed(self, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the files in answers about a revision: all, or none, like mirrors that list files only in the tree."""
        return files if self.lists_files else {}

    def commit(self, kind: str, repo_id: str, revision: str = "main") -> str:
        """Return the commit of a branch, tag or commit."""
        repository = self._repositories[kind, repo_id]
        return revision if revision in repository.commits else repository.revisions[revision]

    def close(self, kind: str, repo_id: str, *, gated: bool) -> None:
        """Restrict a repository to `token`. A gated one is reported as gated, a private one as missing."""
        repository = self._repositories[kind, repo_id]
        repository.gate, repository.is_private = (self.token, False) if gated else (None, True)

    def fail(self, where: str, *faults: Fault) -> None:
        """Apply these faults, one after the other, to requests whose `what` contains `where`."""
        self._faults += [(where, fault) for fault in faults]

    @property
    def fetched(self) -> list[str]:
        """The downloaded files, as "org/name/file", in order."""
        return [
            request.what for request in self.requests if request.method == "GET" and not request.what.startswith("api/")
        ]

    @property
    def cache(self) -> Path:
        """HF_HUB_CACHE."""
        return self.home / "hub"

    @property
    def env(self) -> dict[str, str]:
        """The environment for a process that uses this hub and none of the user's caches, tokens and proxies."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HF_", "HUGGING")) and "proxy" not in key.lower()
        }
        return {**environment, "HF_ENDPOINT": self.endpoint, "HF_HOME": str(self.home), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def _add(self, kind: str, repo_id: str, files: Path | Mapping[str, bytes], revision: str) -> str:
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()
            }
        content = "".join(f"{path} {_digest(path, body)}\n" for path, body in sorted(files.items()))
        is_commit = len(revision) == 40
        commit = revision if is_commit else sha1(f"{kind} {repo_id} {content}".encode()).hexdigest()
        repository = self._repositories.setdefault((kind, repo_id), _Repository())
        repository.commits[commit] = dict(files)
        if not is_commit:
            repository.revisions[revision] = commit
        return commit

    def _fault(self, method: str, what: str) -> Fault | None:
        for where, fault in self._faults:
            if fault.times and fault.method == method and where in what:
                fault.times -= 1
                return fault
        return None


def use_hub(monkeypatch: Any, hub: Hub) -> None:
    """Make huggingface_hub in this process use the hub, although it was imported with other settings."""
    from huggingface_hub import close_session, constants

    for key in [key for key in os.environ if key.startswith(("HF_", "HUGGING")) or "proxy" in key.lower()]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub.cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hub.home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # it sends requests to huggingface.co
    close_session()  # an open session has read the old proxies


def wait_for_no_hub(monkeypatch: Any) -> None:
    """Make retries in this process immediate."""
    from sbert_prune.hub.retry import with_retries

    for module in ("download", "snapshot"):
        monkeypatch.setattr(
            f"sbert_prune.hub.{module}.with_retries", partial(with_retries, sleep=lambda _seconds: None)
        )


class _Handler(BaseHTTPRequestHandler):
    """Handle /api/KINDS/ID/revision/REV, /api/KINDS/ID/tree/REV and /[datasets/]ID/resolve/REV/FILE.

    The other port handles /storage/KIND/ID/COMMIT/FILE.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *arguments: Any) -> None:
        self.hub = hub
        hub._connections.append(arguments[0])
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if path[0] == "storage":
            kind, repo_id, commit, file = path[1], "/".join(path[2:4]), path[4], "/".join(path[5:])
            return self._send(f"{repo_id}/{file}", self.hub._repositories[kind, repo_id].commits[commit][file])
        is_api = path[0] == "api"
        if is_api and path[1] not in _KINDS:
            return self._refuse("/".join(path), 404, "", "Not found")
        kind = _KINDS[path[1]] if is_api else "dataset" if path[0] == "datasets" else "model"
        repo_id, verb, revision, *file = self._parts(path[2:] if is_api else path[kind == "dataset" :])
        what = f"api/{kind}s/{repo_id}/{revision}" if is_api else f"{repo_id}/{'/'.join(file)}"
        if refusal := self._refusal(kind, repo_id, revision, is_api=is_api):
            return self._refuse(what, *refusal)
        repository = self.hub._repositories[kind, repo_id]
        commit = repository.revisions.get(revision, revision)
        if is_api:
            files = repository.commits[commit]
            listing = _tree(files) if verb == "tree" else _listing(repo_id, commit, self.hub.listed(files))
            return self._send(what, json.dumps(listing).encode())
        return self._give(what, (kind, repo_id, commit, "/".join(file)), repository.commits[commit])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _parts(self, path: list[str]) -> list[str]:
        return ["/".join(path[:2]), *path[2:], *["main"] * (4 - len(path))]

    def _refusal(self, kind: str, repo_id: str, revision: str, *, is_api: bool) -> tuple[int, str, str] | None:
        repository = self.hub._repositories.get((kind, repo_id))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and not token.startswith("hf_"):
            return 401, "", "Invalid credentials in Authorization header"
        if repository is None or (repository.is_private and token != self.hub.token):
            if token:
                return 404, "RepoNotFound", "Repository not found"
            return 401, "RepoNotFound", "Invalid username or password."
        if revision not in repository.revisions and revision not in repository.commits:
            return 404, "RevisionNotFound", f"Invalid rev id: {revision}"
        if repository.gate not in (None, token) and not is_api:
            return 403 if token else 401, "GatedRepo", f"Access to {kind} {repo_id} is restricted."
        return None

    def _give(self, what: str, place: tuple[str, str, str, str], files: Mapping[str, bytes]) -> None:
        *_, commit, file = place
        if file not in files:
            return self._refuse(what, 404, "EntryNotFound", "Entry not found")
        body, digest = files[file], _digest(file, files[file])
        if len(digest) == 40:
            return self._send(what, body, {"ETag": f'"{digest}"', "X-Repo-Commit": commit})
        location = "/".join((self.hub.storage, "storage", *place))
        headers = {
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(body)),
            "X-Repo-Commit": commit,
            "Location": location,
        }
        return self._answer(what if self.command == "HEAD" else f"api/redirect/{what}", b"", 302, headers)

    def _send(self, what: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        begin = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if not begin:
            return self._answer(what, body, 200, headers or {})
        content_range = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        return self._answer(what, body[int(begin) :], 206, {**(headers or {}), "Content-Range": content_range})

    def _refuse(self, what: str, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._answer(what, json.dumps({"error": message}).encode(), status, headers)

    def _answer(self, what: str, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        fault = self.hub._fault(self.command, what) or Fault(method="none")
        if fault.status or fault.page:
            body, status, headers = fault.page.encode(), fault.status or 200, fault.headers
        if fault.damage:
            body = bytes([body[0] ^ 1]) + body[1:]
        sent = b"" if self.command == "HEAD" else body[: fault.cut_after]
        has_token = "Authorization" in self.headers
        self.hub.requests.append(Request(self.command, what, self.headers.get("Range", ""), has_token, len(sent)))
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(sent)
        if len(sent) < len(body) and self.command == "GET":
            self._hang_up(reset=fault.reset)

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        self.wfile.flush()
        if reset:
            time.sleep(0.3)  # a reset discards data that has not arrived yet
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                self.connection.close()

    def finish(self) -> None:
        with suppress(OSError):  # of a connection that was reset
            super().finish()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _digest(path: str, body: bytes) -> str:
    is_large = path.endswith(_LARGE) or len(body) > 10_000
    return sha256(body).hexdigest() if is_large else sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _listing(repo_id: str, commit: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    entries = []
    for path, body in files.items():
        digest = _digest(path, body)
        lfs = {"lfs": {"size": len(body), "sha256": digest, "pointerSize": 130}} if len(digest) == 64 else {}
        entries.append({"rfilename": path, "size": len(body), "blobId": digest if not lfs else digest[:40], **lfs})
    return {"id": repo_id, "sha": commit, "siblings": entries}


def _tree(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the listing in the form that `hf download` requests."""
    entries = []
    for path, body in files.items():
        digest = _digest(path, body)
        lfs = {"lfs": {"size": len(body), "oid": digest, "pointerSize": 130}} if len(digest) == 64 else {}
        entries.append({"type": "file", "path": path, "size": len(body), "oid": digest[:40], **lfs})
    return entries
