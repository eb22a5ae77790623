"""Requests to a hub that are made again while it is busy or the connection breaks.

huggingface_hub by itself asks once for a listing, waits as long as a hub tells it to, and begins a file anew whose connection was reset.
So a request that finds the hub busy is taken out of its hands, and a reset is shown to it as a cut, after which it resumes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from httpx2 import Response

T = TypeVar("T")

WAITS_S: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)
"""Pauses before a request is made again. Their sum is as long as a hub may let us wait."""

_NUM_SILENCES = 2  # a hub that does not answer at all is not worth a minute: most often there is no network
_BUSY = (408, 429)


class HubBusyError(Exception):
    """The hub would answer later. retry_after_s: when, where it says so."""

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status, self.retry_after_s = status, retry_after_s


def with_retries(request: Callable[[], T], *, waits_s: Sequence[float] = WAITS_S, sleep: Callable[[float], None] = time.sleep) -> T:
    """Make a request by huggingface_hub, and make it again while the hub is busy or the connection breaks.

    Args:
        request: The request.
        waits_s: Pauses in seconds before each further try. The hub may ask for longer ones, but not for more than their sum in all.
        sleep: Waits for so many seconds.

    Returns:
        The result of the first try that has one.

    Raises:
        HubBusyError: The hub was still busy at the last try. It may as well raise an error of httpx2.
    """
    from httpx2 import ConnectError, NetworkError, RemoteProtocolError, TimeoutException

    left_s, num_silences = sum(waits_s) + 1e-6, 0  # what floats lose in subtraction
    for pause in waits_s:
        try:
            with _watched():
                return request()
        except HubBusyError as error:
            pause_s = max(pause, error.retry_after_s or 0.0)
            if pause_s > left_s:
                raise
            _announce(pause_s, f"The hub is busy (HTTP status {error.status})")
        except (NetworkError, RemoteProtocolError, TimeoutException) as error:
            num_silences += isinstance(error, (ConnectError, TimeoutException))
            pause_s = pause
            if num_silences == _NUM_SILENCES or pause_s > left_s:
                raise
            _announce(pause_s, "The connection to the hub failed")
        sleep(pause_s)
        left_s -= pause_s
    with _watched():
        return request()


def _announce(pause_s: float, reason: str) -> None:
    if pause_s >= 1:
        logging.getLogger(__name__).warning("%s. Trying again in %.0f s.", reason, pause_s)


@contextmanager
def _watched() -> Iterator[None]:
    """huggingface_hub's requests inside of the block are looked at by `_look_at`."""
    from huggingface_hub import get_session

    session = get_session()
    before = session.event_hooks
    session.event_hooks = {**before, "response": [*before.get("response", ()), _look_at]}
    try:
        yield
    finally:
        session.event_hooks = before


def _look_at(response: Response) -> None:
    if response.status_code in _BUSY or response.status_code >= 500:
        raise HubBusyError(response.status_code, _retry_after_s(response))
    _show_resets_as_cuts(response)


def _retry_after_s(response: Response) -> float | None:
    from huggingface_hub.utils._http import parse_ratelimit_headers  # `utils` has it too, out of mypy's sight

    limit = parse_ratelimit_headers(response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    told = response.headers.get("Retry-After", "").strip()
    return float(told) if told.isdigit() else None


def _show_resets_as_cuts(response: Response) -> None:
    from httpx2 import ReadError, RemoteProtocolError, SyncByteStream

    class Body(SyncByteStream):
        def __init__(self, stream: SyncByteStream) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self.stream
            except ReadError as error:
                raise RemoteProtocolError(str(error) or "connection reset") from error

        def close(self) -> None:
            self.stream.close()

    if isinstance(response.stream, SyncByteStream):
        response.stream = Body(response.stream)
