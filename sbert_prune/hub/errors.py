"""What a failed request to a hub means to a person."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from sbert_prune.errors import HubError
from sbert_prune.hub.retry import HubBusyError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

Kind = Literal["model", "dataset"]
"""What a hub has, in huggingface_hub's words."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Requested:
    """What was asked of which hub.

    revision: a branch, tag or commit.  endpoint: the hub's address, as huggingface_hub takes it.
    """

    repo_id: str
    kind: Kind
    revision: str
    endpoint: str

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'dataset' else 'model'} {self.repo_id}"

    @property
    def hub(self) -> str:
        """The hub's address, fit to be shown: without a password that it may hold."""
        parts = urlsplit(self.endpoint)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def page(self) -> str:
        """The repository's page."""
        return f"{self.hub}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo_id}"

    @property
    def command(self) -> str:
        """The command that puts it into the cache, where there is a network."""
        return f"hf download {self.repo_id}{' --repo-type dataset' * (self.kind == 'dataset')} --revision {self.revision}"


def faults() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises, ours in between, and what it stumbles over where an answer is none of a hub's."""
    from httpx2 import HTTPError, InvalidURL

    return HubBusyError, HTTPError, InvalidURL, OSError, ValueError, LookupError, TypeError, AttributeError


def is_out_of_reach(error: BaseException) -> bool:
    """Whether the hub gave no answer of its own: no connection, no time, or somebody else in between."""
    from httpx2 import InvalidURL, TransportError
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError

    if isinstance(error, HfHubHTTPError | UnicodeEncodeError):
        return False
    return isinstance(error, HubBusyError | TransportError | InvalidURL | FileMetadataError) or not isinstance(error, OSError)


def explain(error: BaseException, asked: Requested, file: str = "") -> HubError:
    """The error for people. It holds no text that could hold a token.

    file: the one that was asked for; empty for the listing of the repository.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return explain(error.__cause__, asked, file)
    what = f"{file} of the {asked}" if file else f"the {asked}"
    if isinstance(error, HfHubHTTPError):
        return HubError(_refused(error, asked, what))
    if isinstance(error, UnicodeEncodeError):
        return HubError("The token for the hub holds a character that no token has. Set HF_TOKEN anew, or run `hf auth login`.")
    if is_out_of_reach(error):
        return HubError(f"{asked.hub} did not give {what}: {reason_of(error)}. {_advice(error)}")
    return HubError(_local(error, what))


def reason_of(error: BaseException) -> str:
    """Why a hub is out of reach, in a few words."""
    from httpx2 import InvalidURL, ProxyError, TimeoutException, TransportError

    if isinstance(error, HubBusyError):
        told = f", and asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        return f"{'it has too many requests' if error.status == 429 else 'it fails'} (HTTP status {error.status}){told}"
    if isinstance(error, TimeoutException):
        return "it does not answer in time"
    if isinstance(error, ProxyError):
        return "the proxy refuses"
    if isinstance(error, TransportError | InvalidURL):
        return _without_secrets(str(error)).strip() or type(error).__name__
    return "what answers there is no hub"


def _advice(error: BaseException) -> str:
    if isinstance(error, HubBusyError) and error.status == 429:
        return "Give the same command later; who is logged in (HF_TOKEN, or `hf auth login`) may ask more often."
    if isinstance(error, HubBusyError):
        return "Give the same command later; what has come so far is kept."
    return "Check the network, and HF_ENDPOINT and HTTPS_PROXY where they are set; without a network, give a local folder."


def _refused(error: HfHubHTTPError, asked: Requested, what: str) -> str:
    from huggingface_hub import errors

    rows = (
        (errors.GatedRepoError, _gated),
        (errors.RepositoryNotFoundError, _missing),
        (errors.RevisionNotFoundError, _no_revision),
        (errors.DisabledRepoError, _disabled),
    )
    if answer := next((answer for kind, answer in rows if isinstance(error, kind)), None):
        return answer(asked)
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{asked.hub} lists {what}, but does not have it. Give the same command later, or another revision."
    status, tokens = error.response.status_code, f"{asked.hub}/settings/tokens"
    return {
        401: f"{asked.hub} does not accept the token it was sent. Make a new one at {tokens} and set HF_TOKEN to it, "
        "or run `hf auth login`; what is public needs none: unset HF_TOKEN.",
        403: f"{asked.hub} does not give {what} to the owner of this token. The token needs leave to read it: {tokens}.",
    }.get(status, f"{asked.hub} refuses {what} (HTTP status {status}). Look at {asked.page}, or give a local folder.")


def _missing(asked: Requested) -> str:
    if _is_logged_in():
        return (
            f"{asked.hub} has no {asked}, or keeps it from the owner of this token. Check the name at {asked.page}; "
            "a private one needs the token of somebody who may read it (HF_TOKEN, or `hf auth login`)."
        )
    return (
        f"{asked.hub} shows no {asked} to somebody who is not logged in: there is none, or it is private. "
        f"Check the name at {asked.page}; for a private one, set HF_TOKEN or run `hf auth login`."
    )


def _gated(asked: Requested) -> str:
    found = f"The {asked} is gated: its owner gives it to those who accept the terms"
    if _is_logged_in():
        return f"{found}, and the owner of this token has not done so. Accept them at {asked.page}, then give the same command."
    return f"{found} and are logged in. Accept them at {asked.page}, then set HF_TOKEN or run `hf auth login`, and give the same command."


def _no_revision(asked: Requested) -> str:
    return f"The {asked} has no revision {asked.revision!r}. Take a branch, tag or commit from {asked.page}/tree/main, or none for main."


def _disabled(asked: Requested) -> str:
    return f"{asked.hub} has closed the {asked} to everybody. Take another one; {asked.page} may say why."


def _local(error: BaseException, what: str) -> str:
    from huggingface_hub import constants

    number = error.errno if isinstance(error, OSError) else None
    cache, reason = constants.HF_HUB_CACHE, os.strerror(number) if number else ""
    if number in _FULL:
        return f"There is no room for {what} in {cache} ({reason}). Make room there, or set HF_HOME to a folder on a larger disk."
    if number in _CLOSED:
        return f"{cache} cannot be written ({reason}), so {what} has no place. Set HF_HOME to a folder of yours."
    return f"{what} could not be kept in {cache}: {_without_secrets(str(error))}. Look at that folder, or set HF_HOME to another."


def _is_logged_in() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def _without_secrets(text: str) -> str:
    """One line, without the token of this process, anything that looks like one, and passwords and signatures in addresses."""
    from huggingface_hub import get_token

    token = get_token()
    line = " ".join(text.split())
    line = line.replace(token, "***") if token else line
    line = re.sub(r"(Bearer |hf_)\S+", r"\1***", line)
    return re.sub(r"(://)[^/\s@]*@|\?\S*", r"\1", line)
