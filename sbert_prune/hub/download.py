"""One file of a hub brought into huggingface_hub's cache, whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sbert_prune.errors import HubError
from sbert_prune.hub.cache import RepositoryCache, forget
from sbert_prune.hub.errors import Asked, explain, faults
from sbert_prune.hub.retry import patiently


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository.

    size: bytes.  digest: SHA-256 of a large file, git's SHA-1 of a small one; None where the hub was not asked.
    """

    path: str
    size: int
    digest: str | None


def download(asked: Asked, commit: str, file: HubFile) -> None:
    """Bring a file of a commit into the cache, unless it is there. What arrives with a wrong hash is removed, and fetched once more.

    Raises HubError for a file that cannot be had, or kept, or that arrives damaged twice.
    """
    is_new = not RepositoryCache.of(asked.repo_id, asked.kind).holds(commit, file.path, file.digest)
    for _ in range(2):
        path = _download_once(asked, commit, file.path)
        if path and (not is_new or file.digest is None or _digest(path, file.digest) == file.digest):
            return
        if path:
            forget(path)
    raise HubError(
        f"{file.path} of the {asked} arrived damaged, twice: its size or hash is not what {asked.hub} lists. "
        "A proxy or a mirror in between may change it; try another network, or another HF_ENDPOINT."
    )


def _download_once(asked: Asked, commit: str, path: str) -> Path | None:
    """Where the file stands now; None when what came was not as long as announced."""
    from huggingface_hub import hf_hub_download

    def fetch() -> str:
        return hf_hub_download(asked.repo_id, path, repo_type=asked.kind, revision=commit, endpoint=asked.endpoint)

    try:
        return Path(patiently(fetch))
    except faults() as error:
        if type(error) is OSError and error.errno is None:  # huggingface_hub's own word for a wrong length
            return None
        raise explain(error, asked, path) from None


def _digest(path: Path, like: str) -> str:
    """The hash of a file, of the kind of `like`: SHA-256, or git's SHA-1 of a blob."""
    is_large = len(like) == 64
    digest = hashlib.sha256() if is_large else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
