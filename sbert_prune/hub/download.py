"""One file of a hub brought into huggingface_hub's cache, whole."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Self

from sbert_prune.errors import HubError
from sbert_prune.hub.errors import Requested, explain, faults
from sbert_prune.hub.retry import with_retries

COMMIT = re.compile(r"[0-9a-f]{40}")
"""The full name of a commit."""


@dataclass(frozen=True, slots=True)
class RepositoryCache:
    """What stands in the cache of one model or data set. root: its folder, which need not exist."""

    root: Path

    @classmethod
    def of(cls, repo_id: str, kind: str) -> Self:
        """The cache of a "model" or "dataset", where HF_HOME, HF_HUB_CACHE and the like place it."""
        from huggingface_hub import constants

        return cls(Path(constants.HF_HUB_CACHE).expanduser() / "--".join((f"{kind}s", *repo_id.split("/"))))

    def commit_of(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit stood for when it was last fetched; None where nothing of it is there."""
        commit = revision
        if not COMMIT.fullmatch(revision):
            try:
                commit = (self.root / "refs" / revision).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                return None
        return commit if COMMIT.fullmatch(commit) and self.folder(commit).is_dir() else None

    def folder(self, commit: str) -> Path:
        """Where the files of a commit stand under their own names."""
        return self.root / "snapshots" / commit

    def files(self, commit: str) -> dict[str, int]:
        """The files of a commit that are there, by path, with their bytes."""
        folder = self.folder(commit)
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    def holds(self, commit: str, path: str, digest: str | None) -> bool:
        """Whether the content of a file is there, be it by another commit that has the same."""
        return (self.folder(commit) / path).is_file() or (digest is not None and (self.root / "blobs" / digest).is_file())

    def remember(self, revision: str, commit: str) -> None:
        """Let a revision stand for a commit from now on. A cache that cannot be written is left as it is."""
        with suppress(OSError):
            self.folder(commit).mkdir(parents=True, exist_ok=True)
            if not COMMIT.fullmatch(revision) and self.commit_of(revision) != commit:
                path = self.root / "refs" / revision
                path.parent.mkdir(parents=True, exist_ok=True)
                beside = path.with_name(f".{path.name}.{token_hex(4)}")
                beside.write_text(commit, encoding="utf-8")
                beside.replace(path)


def forget(path: Path) -> None:
    """Remove a file of a snapshot: the link, and what it leads to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository.

    size: bytes.  digest: SHA-256 of a large file, git's SHA-1 of a small one; None where the hub was not asked.
    """

    path: str
    size: int
    digest: str | None


def download(asked: Requested, commit: str, file: HubFile) -> None:
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


def _download_once(asked: Requested, commit: str, path: str) -> Path | None:
    """Where the file stands now; None when what came was not as long as announced."""
    from huggingface_hub import hf_hub_download

    def fetch() -> str:
        return hf_hub_download(asked.repo_id, path, repo_type=asked.kind, revision=commit, endpoint=asked.endpoint)

    try:
        return Path(with_retries(fetch))
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
