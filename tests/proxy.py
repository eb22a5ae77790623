"""A proxy between a client and a tracking server: forwards requests, delays or fails some, and loses some answers."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

_NOT_FORWARDED = {"host", "transfer-encoding", "connection"}

Loss = Literal["lost", "504", "cut", "repeated"]
"""What becomes of a request that the server has served: its answer is lost, replaced by a 504 or cut in the middle; or
the server is sent the request a second time, and its second answer is passed on."""


@dataclass
class Proxy:
    """A running proxy.

    Args:
        port: Port of the real server.
        status: Status to answer a path with instead of forwarding the request; None forwards it.
        delay_s: Delay before each answer in seconds.
        loss: What becomes of the answer to a method and path; None passes it on.
        requests: Paths requested so far.
        address: Its URL.
    """

    port: int
    status: Callable[[str], int | None] = lambda _: None
    delay_s: float = 0.0
    loss: Callable[[str, str], Loss | None] = lambda _method, _path: None
    requests: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Start a proxy on a free port of this machine."""
    proxy = Proxy(port)

    class Handler(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            proxy.requests.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(proxy.delay_s)
            instead = proxy.status(self.path)
            if instead is not None:
                self._answer(instead, {}, b"not today")
                return
            loss = proxy.loss(self.command, self.path)
            answer, content = self._ask(body)
            if loss == "repeated":
                answer, content = self._ask(body)
            if loss == "lost":
                return  # the connection is closed
            if loss == "504":
                self._answer(504, {}, b"the gateway has waited too long")
            else:
                self._answer(answer.status, dict(answer.getheaders()), content, cut=loss == "cut")

        def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            server = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_FORWARDED}
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
            server.close()
            return answer, content

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _forward  # noqa: N815 - http.server's names

        def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _NOT_FORWARDED | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        proxy.address = f"http://127.0.0.1:{listening.server_address[1]}"
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            listening.shutdown()
