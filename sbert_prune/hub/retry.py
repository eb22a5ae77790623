"""Requests to a hub, repeated while it is busy or the connection breaks.

huggingface_hub itself lists a repository without retries, waits as long as a hub asks it to, and restarts a file after
a connection reset. So an answer that says that the hub is busy raises HubBusyError before huggingface_hub handles it,
and a reset is turned into the error of a cut connection, after which huggingface_hub resumes.
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
"""Pauses before each further try. Their sum is the longest wait that a hub may ask for."""

_MAX_SILENCES = 2  # if a hub does not answer at all, there is usually no network: fail early
_BUSY = (408, 429)


class HubBusyError(Exception):
    """The hub is too busy to answer now.

    Attributes:
        status: HTTP status.
        retry_after_s: After how many seconds to try again, if the hub says so.
    """

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status, self.retry_after_s = status, retry_after_s


def with_retries(
    request: Callable[[], T], *, waits_s: Sequence[float] = WAITS_S, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Make a request by huggingface_hub, and repeat it while the hub is busy or the connection breaks.

    Args:
        request: Makes the request.
        waits_s: Pauses in seconds before each further try. The hub may ask for longer ones, up to their sum.
        sleep: Waits for a number of seconds.

    Returns:
        The result of the first successful try.

    Raises:
        HubBusyError: The hub was still busy at the last try. Other failures raise errors of httpx2.
    """
    from httpx2 import ConnectError, NetworkError, RemoteProtocolError, TimeoutException

    seconds_left, num_silences = sum(waits_s) + 1e-6, 0  # the margin covers rounding
    for pause in waits_s:
        try:
            with _checked_responses():
                return request()
        except HubBusyError as error:
            pause_s = max(pause, error.retry_after_s or 0.0)
            if pause_s > seconds_left:
                raise
            _announce(pause_s, f"The hub is busy (HTTP status {error.status})")
        except (NetworkError, RemoteProtocolError, TimeoutException) as error:
            num_silences += isinstance(error, (ConnectError, TimeoutException))
            pause_s = pause
            if num_silences == _MAX_SILENCES or pause_s > seconds_left:
                raise
            _announce(pause_s, "The connection to the hub failed")
        sleep(pause_s)
        seconds_left -= pause_s
    with _checked_responses():
        return request()


def _announce(pause_s: float, reason: str) -> None:
    if pause_s >= 1:
        logging.getLogger(__name__).warning("%s. Trying again in %.0f s.", reason, pause_s)


@contextmanager
def _checked_responses() -> Iterator[None]:
    """Pass every response that huggingface_hub gets inside the block through `_check_response`."""
    from huggingface_hub import get_session

    session = get_session()
    before = session.event_hooks
    session.event_hooks = {**before, "response": [*before.get("response", ()), _check_response]}
    try:
        yield
    finally:
        session.event_hooks = before


def _check_response(response: Response) -> None:
    if response.status_code in _BUSY or response.status_code >= 500:
        raise HubBusyError(response.status_code, _retry_after_s(response))
    _turn_resets_into_cuts(response)


def _retry_after_s(response: Response) -> float | None:
    from huggingface_hub.utils._http import parse_ratelimit_headers  # mypy does not see it in `utils`

    limit = parse_ratelimit_headers(response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    retry_after = response.headers.get("Retry-After", "").strip()
    return float(retry_after) if retry_after.isdigit() else None


def _turn_resets_into_cuts(response: Response) -> None:
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
