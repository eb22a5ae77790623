"""Files of a model or data set on a hub, at one commit.

huggingface_hub downloads and caches them: https://huggingface.co/docs/huggingface_hub/guides/download
HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE and HF_TOKEN work as documented there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sbert_prune.errors import HubError
from sbert_prune.hub.download import COMMIT, HubFile, RepositoryCache, download
from sbert_prune.hub.errors import Kind, Requested, explain, faults, is_out_of_reach, reason_of
from sbert_prune.hub.retry import with_retries

_REPO_ID = re.compile(r"(?!.*(--|\.\.|\.git$))\w[\w.-]{0,95}/\w[\w.-]{0,95}(?<![-.])", re.ASCII)
_REVISION = re.compile(
    r"(?!.*\.\.)[^\s/~^:?*\[\\@-][^\s/~^:?*\[\\]*(/[^\s/~^:?*\[\\]+)*"
)  # what git accepts as a branch


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model or data set at one commit.

    Attributes:
        repo_id: The repository's name: organisation/name.
        kind: Whether it is a model or a data set.
        revision: The requested branch, tag or commit.
        commit: The full hash of its commit.
        files: All files of the commit; in a snapshot from the cache, the cached ones.
        is_from_cache: Whether the snapshot comes from the cache alone.
        note: For the user: why the cache was used although the hub was asked. Otherwise empty.
    """

    repo_id: str
    kind: Kind
    revision: str
    commit: str
    files: tuple[HubFile, ...]
    is_from_cache: bool = False
    note: str = ""

    def fetch(self, names: Iterable[str]) -> Path:
        """Download the files that are not cached yet, verify their hashes, and return the commit's folder in the cache.

        Raises:
            HubError: A file is not part of the commit, cannot be downloaded, or arrives damaged twice.
        """
        by_path = {file.path: file for file in self.files}
        paths = list(dict.fromkeys(names))
        if missing := [path for path in paths if path not in by_path]:
            raise HubError(self._missing_message(missing))
        cache = RepositoryCache.of(self.repo_id, self.kind)
        if not self.is_from_cache:
            for path in paths:
                download(_asked(self.repo_id, self.kind, self.revision), self.commit, by_path[path])
            cache.remember(self.revision, self.commit)  # last, so that offline the revision has all its files
        return cache.folder(self.commit)

    def _missing_message(self, missing: list[str]) -> str:
        asked = _asked(self.repo_id, self.kind, self.revision)
        names = ", ".join(missing)
        if self.is_from_cache:
            reason = self.note or "HF_HUB_OFFLINE is set"
            return (
                f"The cache of the {asked} as of commit {self.commit[:8]} lacks {names} ({reason}). "
                f"{_how_to_get(asked)}"
            )
        paths = ", ".join(file.path for file in self.files[:8]) + (", ..." if len(self.files) > 8 else "")
        return (
            f"The {asked} at commit {self.commit[:8]} has no {names}; it has {paths or 'no files'}. "
            "Give another revision."
        )


def resolve(repo_id: str, *, kind: Kind, revision: str | None = None, offline: bool = False) -> Snapshot:
    """Find the commit and the files of a revision without downloading anything.

    If the hub is out of reach, the cache is used where it has the revision.

    Args:
        repo_id: The repository's name: organisation/name.
        kind: Whether it is a model or a data set.
        revision: A branch, tag or commit; None is "main".
        offline: Use the cache only, as with HF_HUB_OFFLINE.

    Raises:
        HubError: The name is invalid, the repository or revision is missing or not accessible, or the hub does
            not answer.
    """
    asked = _asked(repo_id, kind, revision or "main")
    _check(asked)
    if offline or is_offline():
        return _from_cache(asked) or _raise_uncached(asked)
    try:
        return with_retries(lambda: _list_files(asked))
    except faults() as error:
        cached = _from_cache(asked, f"the hub is out of reach ({reason_of(error)})") if is_out_of_reach(error) else None
        if cached is None:
            raise explain(error, asked) from None  # httpx2 writes a malformed token into its message
        return cached


def _asked(repo_id: str, kind: Kind, revision: str) -> Requested:
    from huggingface_hub import constants

    return Requested(repo_id, kind, revision, (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/"))


def _check(asked: Requested) -> None:
    if not _REPO_ID.fullmatch(asked.repo_id):
        raise HubError(
            f"{asked.repo_id!r} is no name on a hub. Expected organisation/name, of letters, digits, '-', '_' and '.'."
        )
    if not _REVISION.fullmatch(asked.revision):
        raise HubError(
            f"{asked.revision!r} is no revision of the {asked}. Expected a branch, a tag, or a commit of 40 characters."
        )


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES


def _list_files(asked: Requested) -> Snapshot:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(endpoint=asked.endpoint)
    info = api.repo_info(
        asked.repo_id,
        repo_type=asked.kind,
        revision=asked.revision,
        files_metadata=True,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
    )
    if not COMMIT.fullmatch(info.sha or ""):
        raise ValueError
    files = [
        HubFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id)
        for file in getattr(info, "siblings", None) or ()
    ]
    if not files:  # some mirrors list files only in the tree
        entries = api.list_repo_tree(asked.repo_id, recursive=True, repo_type=asked.kind, revision=info.sha)
        files = [
            HubFile(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        ]
    return Snapshot(
        asked.repo_id, asked.kind, asked.revision, str(info.sha), tuple(sorted(files, key=lambda file: file.path))
    )


def _from_cache(asked: Requested, reason: str = "") -> Snapshot | None:
    cache = RepositoryCache.of(asked.repo_id, asked.kind)
    commit = cache.commit_of(asked.revision)
    if commit is None:
        return None
    files = tuple(HubFile(path, size, None) for path, size in cache.files(commit).items())
    note = f"{reason}; taken from the cache as of commit {commit[:8]}" if reason else ""
    return Snapshot(asked.repo_id, asked.kind, asked.revision, commit, files, is_from_cache=True, note=note)


def _raise_uncached(asked: Requested) -> Snapshot:
    from huggingface_hub import constants

    cache = constants.HF_HUB_CACHE
    raise HubError(
        f"HF_HUB_OFFLINE is set, and the cache in {cache} has no {asked} at revision {asked.revision}. "
        f"{_how_to_get(asked)}"
    )


def _how_to_get(asked: Requested) -> str:
    return f"With a network, unset HF_HUB_OFFLINE and give the same command, or run: {asked.command}"
