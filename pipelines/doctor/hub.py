"""The hub: what a recipe wants of it, what its cache has, and whether it is in reach."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.doctor.findings import Finding
from sbert_prune.errors import HubError
from sbert_prune.tracking.store_uri import without_password

if TYPE_CHECKING:
    from sbert_prune.hub.snapshot import Snapshot

_PATIENCE_S = 2.0

LATE = "Check the network, and HF_ENDPOINT and HTTPS_PROXY where they are set. Without a network, the cache and local folders serve."


@dataclass(frozen=True)
class HubName:
    """A model or data set as a setting names it. config: of a data set.  revision: None for main."""

    kind: Literal["model", "dataset"]
    repo_id: str
    config: str | None
    revision: str | None

    @property
    def command(self) -> str:
        """What puts it into the cache, whole."""
        kind = " --repo-type dataset" * (self.kind == "dataset")
        config = f" --include '*{self.config}*'" if self.config else ""
        online = "env -u HF_HUB_OFFLINE " if "HF_HUB_OFFLINE" in os.environ else ""
        return f"{online}hf download {self.repo_id}{kind} --revision {self.revision or 'main'}{config}"

    def in_cache(self, *, revision: str | None = None) -> Snapshot | None:
        """What the cache has of it; None for nothing. revision: another one than its own."""
        from sbert_prune.hub.snapshot import resolve

        try:
            return resolve(self.repo_id, kind=self.kind, revision=revision or self.revision, offline=True)
        except HubError:
            return None

    def on_hub(self, *, revision: str | None = None) -> Snapshot:
        """What the hub lists. Raises HubError where it does not, or where only the cache could answer."""
        from sbert_prune.hub.snapshot import resolve

        found = resolve(self.repo_id, kind=self.kind, revision=revision or self.revision)
        if found.is_from_cache:
            reason = found.note or "HF_HUB_OFFLINE is set"
            raise HubError(f"Of {self.repo_id} the cache does not have all that is needed. {reason[:1].upper()}{reason[1:]}.")
        return found


def model_on_hub(name: str) -> HubName | None:
    """The model of a hub that a setting names; None for anything else."""
    repo_id, _, revision = name.partition("@")
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")) or name.endswith("/") or ":" in repo_id or Path(name).exists():
        return None
    return HubName("model", repo_id, None, revision or None)


def data_on_hub(setting: str) -> HubName:
    """A data set of a hub: org/name:config@revision."""
    named, _, revision = setting.partition("@")
    repo_id, _, config = named.partition(":")
    return HubName("dataset", repo_id, config or None, revision or None)


def check_hub() -> Finding:
    """Whether the hub answers, and whether it is told who asks; a token's value is never shown."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import constants, get_session, get_token

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    shown = without_password(endpoint)
    token = "a token is set" if get_token() else "no token, which private and gated names need"
    if constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        return Finding("hub", "-", f"HF_HUB_OFFLINE is set: only the cache in {constants.HF_HUB_CACHE} is asked")
    try:
        get_session().head(endpoint, timeout=_PATIENCE_S)
    except (HTTPError, InvalidURL, OSError, ValueError) as error:
        reason = without_password(str(error).splitlines()[0][:120] if str(error) else type(error).__name__)
        return Finding("hub", "warn", f"{shown} is out of reach ({reason}); {token}", LATE, f"curl -sSI {shown}")
    return Finding("hub", "ok", f"{shown} answers; {token}")
