"""Download single files of a hub into huggingface_hub's cache and verify their hashes."""

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
"""A full commit hash."""


@dataclass(frozen=True, slots=True)
class RepositoryCache:
    """The part of huggingface_hub's cache that belongs to one model or data set.

    Attributes:
        root: Its folder. It need not exist.
    """

    root: Path

    @classmethod
    def of(cls, repo_id: str, kind: str) -> Self:
        """Return the cache of a "model" or "dataset", as HF_HOME, HF_HUB_CACHE and the like configure it."""
        from huggingface_hub import constants

        return cls(Path(constants.HF_HUB_CACHE).expanduser() / "--".join((f"{kind}s", *repo_id.split("/"))))

    def commit_of(self, revision: str) -> str | None:
        """Return the commit of a branch, tag or commit when it was last fetched; None if nothing of it is cached."""
        commit = revision
        if not COMMIT.fullmatch(revision):
            try:
                commit = (self.root / "refs" / revision).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                return None
        return commit if COMMIT.fullmatch(commit) and self.folder(commit).is_dir() else None

    def folder(self, commit: str) -> Path:
        """Return the folder with the files of a commit, under their own names."""
        return self.root / "snapshots" / commit

    def files(self, commit: str) -> dict[str, int]:
        """Return the cached files of a commit: path to size in bytes."""
        folder = self.folder(commit)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}

    def holds(self, commit: str, path: str, digest: str | None) -> bool:
        """Return whether a file's content is cached, from this commit or from another one with the same content."""
        has_blob = digest is not None and (self.root / "blobs" / digest).is_file()
        return has_blob or (self.folder(commit) / path).is_file()

    def remember(self, revision: str, commit: str) -> None:
        """Record which commit a revision stands for. If the cache cannot be written, do nothing."""
        with suppress(OSError):
            self.folder(commit).mkdir(parents=True, exist_ok=True)
            if not COMMIT.fullmatch(revision) and self.commit_of(revision) != commit:
                path = self.root / "refs" / revision
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_name(f".{path.name}.{token_hex(4)}")
                partial.write_text(commit, encoding="utf-8")
                partial.replace(path)


def delete_cached_file(path: Path) -> None:
    """Delete a file of a snapshot: the symbolic links and the blob that they point to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository.

    Attributes:
        path: Its path in the repository.
        size: Bytes.
        digest: SHA-256 of a large file, git's SHA-1 of a small one; None if the hub was not asked.
    """

    path: str
    size: int
    digest: str | None


def download(asked: Requested, commit: str, file: HubFile) -> None:
    """Download a file of a commit into the cache unless it is cached; on a wrong hash, delete it and try once more.

    Raises:
        HubError: The file cannot be downloaded or stored, or arrives damaged twice.
    """
    is_new = not RepositoryCache.of(asked.repo_id, asked.kind).holds(commit, file.path, file.digest)
    for _ in range(2):
        path = _download_once(asked, commit, file.path)
        if path and (not is_new or file.digest is None or _digest(path, file.digest) == file.digest):
            return
        if path:
            delete_cached_file(path)
    raise HubError(
        f"{file.path} of the {asked} arrived damaged, twice: its size or hash is not what {asked.hub} lists. "
        "A proxy or a mirror in between may change it; try another network, or another HF_ENDPOINT."
    )


def _download_once(asked: Requested, commit: str, path: str) -> Path | None:
    """Return the path of the downloaded file; None if its length is not the announced one."""
    from huggingface_hub import hf_hub_download

    def fetch() -> str:
        return hf_hub_download(asked.repo_id, path, repo_type=asked.kind, revision=commit, endpoint=asked.endpoint)

    try:
        return Path(with_retries(fetch))
    except faults() as error:
        if type(error) is OSError and error.errno is None:  # what huggingface_hub raises for a wrong length
            return None
        raise explain(error, asked, path) from None


def _digest(path: Path, like: str) -> str:
    """Return the hash of a file, of the same kind as `like`: SHA-256, or git's SHA-1 of a blob."""
    is_large = len(like) == 64
    digest = hashlib.sha256() if is_large else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()
