"""The folders in which huggingface_hub keeps what it downloaded.

A repository has `refs/REVISION` (a commit), `snapshots/COMMIT/FILE` (links) and `blobs/DIGEST` (what the links lead to):
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Self

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
