"""Error messages for failed requests to a hub."""

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
"""Kinds of repositories, as huggingface_hub names them."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Requested:
    """A request to a hub for a repository.

    Attributes:
        repo_id: The repository's name: organisation/name.
        kind: Whether it is a model or a data set.
        revision: A branch, tag or commit.
        endpoint: The hub's address, as huggingface_hub takes it.
    """

    repo_id: str
    kind: Kind
    revision: str
    endpoint: str

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'dataset' else 'model'} {self.repo_id}"

    @property
    def hub(self) -> str:
        """The hub's address for messages: without the password that it may contain."""
        parts = urlsplit(self.endpoint)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def page(self) -> str:
        """Address of the repository's page."""
        return f"{self.hub}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo_id}"

    @property
    def command(self) -> str:
        """The command that downloads the repository into the cache."""
        return (
            f"hf download {self.repo_id}{' --repo-type dataset' * (self.kind == 'dataset')} --revision {self.revision}"
        )


def faults() -> tuple[type[Exception], ...]:
    """Return the exceptions that a request may raise.

    These are huggingface_hub's and ours, and those that huggingface_hub runs into if something else than a hub answers.
    """
    from httpx2 import HTTPError, InvalidURL

    return HubBusyError, HTTPError, InvalidURL, OSError, ValueError, LookupError, TypeError, AttributeError


def is_out_of_reach(error: BaseException) -> bool:
    """Return whether the hub itself did not answer: no connection, a timeout, or a proxy's answer."""
    from httpx2 import InvalidURL, TransportError
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError

    if isinstance(error, HfHubHTTPError | UnicodeEncodeError):
        return False
    return isinstance(error, HubBusyError | TransportError | InvalidURL | FileMetadataError) or not isinstance(
        error, OSError
    )


def explain(error: BaseException, asked: Requested, file: str = "") -> HubError:
    """Turn a failed request into an error for the user, without any text that could contain a token.

    Args:
        error: What the request raised.
        asked: The request.
        file: The requested file; empty for the listing of the repository.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return explain(error.__cause__, asked, file)
    what = f"{file} of the {asked}" if file else f"the {asked}"
    if isinstance(error, HfHubHTTPError):
        return HubError(_refused(error, asked, what))
    if isinstance(error, UnicodeEncodeError):
        return HubError(
            "The token for the hub contains a character that tokens do not have. "
            "Set HF_TOKEN again, or run `hf auth login`."
        )
    if is_out_of_reach(error):
        return HubError(f"{asked.hub} did not give {what}: {reason_of(error)}. {_advice(error)}")
    return HubError(_local(error, what))


def reason_of(error: BaseException) -> str:
    """Return in a few words why a hub is out of reach."""
    from httpx2 import InvalidURL, ProxyError, TimeoutException, TransportError

    if isinstance(error, HubBusyError):
        wait = f", and asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        return f"{'it has too many requests' if error.status == 429 else 'it fails'} (HTTP status {error.status}){wait}"
    if isinstance(error, TimeoutException):
        return "it does not answer in time"
    if isinstance(error, ProxyError):
        return "the proxy refuses"
    if isinstance(error, TransportError | InvalidURL):
        return _without_secrets(str(error)).strip() or type(error).__name__
    return "the answer is not from a hub"


def _advice(error: BaseException) -> str:
    if isinstance(error, HubBusyError) and error.status == 429:
        return "Give the same command later; with a login (HF_TOKEN, or `hf auth login`) the limit is higher."
    if isinstance(error, HubBusyError):
        return "Give the same command later; files that are complete are kept."
    return (
        "Check the network, and HF_ENDPOINT and HTTPS_PROXY where they are set; without a network, give a local folder."
    )


def _refused(error: HfHubHTTPError, asked: Requested, what: str) -> str:
    from huggingface_hub import errors

    explanations = (
        (errors.GatedRepoError, _gated),
        (errors.RepositoryNotFoundError, _missing),
        (errors.RevisionNotFoundError, _no_revision),
        (errors.DisabledRepoError, _disabled),
    )
    if explanation := next((function for kind, function in explanations if isinstance(error, kind)), None):
        return explanation(asked)
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{asked.hub} lists {what}, but does not have it. Give the same command later, or another revision."
    status, tokens = error.response.status_code, f"{asked.hub}/settings/tokens"
    return {
        401: f"{asked.hub} does not accept the token it was sent. Make a new one at {tokens} and set HF_TOKEN to it, "
        "or run `hf auth login`; public repositories need none: unset HF_TOKEN.",
        403: f"{asked.hub} does not give {what} to the owner of this token. "
        f"The token needs permission to read it: {tokens}.",
    }.get(status, f"{asked.hub} refuses {what} (HTTP status {status}). Look at {asked.page}, or give a local folder.")


def _missing(asked: Requested) -> str:
    if _is_logged_in():
        return (
            f"{asked.hub} has no {asked}, or does not show it to the owner of this token. "
            f"Check the name at {asked.page}; a private one needs a token with permission to read it "
            "(HF_TOKEN, or `hf auth login`)."
        )
    return (
        f"{asked.hub} shows no {asked} without a login: it does not exist, or it is private. "
        f"Check the name at {asked.page}; for a private one, set HF_TOKEN or run `hf auth login`."
    )


def _gated(asked: Requested) -> str:
    reason = f"The {asked} is gated: its owner gives it to users who accept the terms"
    if _is_logged_in():
        return (
            f"{reason}, and the owner of this token has not done so. Accept them at {asked.page}, "
            "then give the same command."
        )
    return (
        f"{reason} and are logged in. Accept them at {asked.page}, then set HF_TOKEN or run `hf auth login`, "
        "and give the same command."
    )


def _no_revision(asked: Requested) -> str:
    return (
        f"The {asked} has no revision {asked.revision!r}. "
        f"Take a branch, tag or commit from {asked.page}/tree/main, or none for main."
    )


def _disabled(asked: Requested) -> str:
    return f"{asked.hub} has disabled the {asked}. Take another one; {asked.page} may say why."


def _local(error: BaseException, what: str) -> str:
    from huggingface_hub import constants

    number = error.errno if isinstance(error, OSError) else None
    cache, reason = constants.HF_HUB_CACHE, os.strerror(number) if number else ""
    if number in _NO_SPACE:
        return (
            f"There is no disk space for {what} in {cache} ({reason}). "
            "Free some, or set HF_HOME to a folder on a larger disk."
        )
    if number in _NOT_WRITABLE:
        return f"{cache} cannot be written ({reason}), so {what} cannot be stored. Set HF_HOME to a folder of yours."
    return (
        f"{what} could not be stored in {cache}: {_without_secrets(str(error))}. "
        "Check that folder, or set HF_HOME to another."
    )


def _is_logged_in() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def _without_secrets(text: str) -> str:
    """Return the text as one line without tokens, and without passwords and signatures in addresses."""
    from huggingface_hub import get_token

    token = get_token()
    line = " ".join(text.split())
    line = line.replace(token, "***") if token else line
    line = re.sub(r"(Bearer |hf_)\S+", r"\1***", line)
    return re.sub(r"(://)[^/\s@]*@|\?\S*", r"\1", line)
