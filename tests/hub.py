"""A hub on localhost: serves folders as models, in the way that huggingface_hub asks for them.

    with serve({"org/name": folder}) as hub:
        ... a process with HF_ENDPOINT=hub.endpoint ...

Each model has one commit, COMMIT, under the branch "main" and, if given, under further branches.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """endpoint: what HF_ENDPOINT is set to.  fetched: the files that were downloaded, as "org/name/file"."""

    models: Mapping[str, Path]
    branches: Sequence[str]
    endpoint: str = ""
    fetched: list[str] = field(default_factory=list)


@contextmanager
def serve(models: Mapping[str, Path], *, branches: Sequence[str] = ("main",)) -> Iterator[Hub]:
    """Serve folders until the block ends."""
    hub = Hub(models, branches)

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """GET /api/models/ID/revision/REV, GET /api/models/ID/tree/REV, HEAD and GET /ID/resolve/REV/FILE."""

    served: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        is_api = path[:2] == ["api", "models"]
        organisation, name, what, revision, *file = [*(path[2:] if is_api else path), "", "", "", ""][: max(5, len(path))]
        model = f"{organisation}/{name}"
        folder = self.served.models.get(model)
        if folder is None:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        if revision not in (COMMIT, *self.served.branches):
            return self._refuse(404, "RevisionNotFound", "Revision not found")
        if is_api and what == "revision":
            return self._answer(json.dumps({"id": model, "sha": COMMIT, "siblings": []}).encode())
        if is_api and what == "tree":
            return self._answer(json.dumps([_entry(folder, path) for path in folder.rglob("*") if path.is_file()]).encode())
        return self._give(model, folder, "/".join(part for part in file if part))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _give(self, model: str, folder: Path, file: str) -> None:
        if not (folder / file).is_file():
            return self._refuse(404, "EntryNotFound", "Entry not found")
        if self.command == "GET":
            self.served.fetched.append(f"{model}/{file}")
        return self._answer((folder / file).read_bytes(), kind="application/octet-stream")

    def _answer(self, body: bytes, *, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(json.dumps({"error": message}).encode(), status=status, X_Error_Code=code, X_Error_Message=message)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _entry(folder: Path, path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"type": "file", "path": path.relative_to(folder).as_posix(), "size": len(content), "oid": sha256(content).hexdigest()[:40]}
