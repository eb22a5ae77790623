"""Check the hub: what a recipe needs from it, what the cache has, and whether it answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.doctor.findings import Finding
from sbert_prune.errors import HubError
from sbert_prune.tracking.secrets import masked_uri, without_password

if TYPE_CHECKING:
    from sbert_prune.hub.snapshot import Snapshot

_TIMEOUT_S = 2.0

UNREACHABLE = (
    "Check the network, and HF_ENDPOINT and HTTPS_PROXY where they are set. "
    "Without a network, use the cache or local folders."
)


@dataclass(frozen=True)
class HubName:
    """A model or data set of a hub, parsed from a setting.

    Args:
        kind: Which of the two.
        repo_id: ORG/NAME.
        config: Config of a data set.
        revision: None for main.
    """

    kind: Literal["model", "dataset"]
    repo_id: str
    config: str | None
    revision: str | None

    @property
    def command(self) -> str:
        """The command that downloads all of it into the cache."""
        kind = " --repo-type dataset" * (self.kind == "dataset")
        config = f" --include '*{self.config}*'" if self.config else ""
        online = "env -u HF_HUB_OFFLINE " if "HF_HUB_OFFLINE" in os.environ else ""
        return f"{online}hf download {self.repo_id}{kind} --revision {self.revision or 'main'}{config}"

    def in_cache(self, *, revision: str | None = None) -> Snapshot | None:
        """Return what the cache has, of this revision or another one; None for nothing."""
        from sbert_prune.hub.snapshot import resolve

        try:
            return resolve(self.repo_id, kind=self.kind, revision=revision or self.revision, offline=True)
        except HubError:
            return None

    def on_hub(self, *, revision: str | None = None) -> Snapshot:
        """Return what the hub lists. Raises HubError where it does not answer, or where only the cache could."""
        from sbert_prune.hub.snapshot import resolve

        snapshot = resolve(self.repo_id, kind=self.kind, revision=revision or self.revision)
        if snapshot.is_from_cache:
            reason = snapshot.note or "HF_HUB_OFFLINE is set"
            raise HubError(
                f"Of {self.repo_id} the cache does not have all that is needed. {reason[:1].upper()}{reason[1:]}."
            )
        return snapshot


def model_on_hub(name: str) -> HubName | None:
    """Parse a setting that names a model of a hub; None for anything else."""
    repo_id, _, revision = name.partition("@")
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")) or name.endswith("/") or ":" in repo_id:
        return None
    if Path(name).exists():
        return None
    return HubName("model", repo_id, None, revision or None)


def data_on_hub(setting: str) -> HubName:
    """Parse the name of a data set of a hub: org/name:config@revision."""
    place, _, revision = setting.partition("@")
    repo_id, _, config = place.partition(":")
    return HubName("dataset", repo_id, config or None, revision or None)


def check_hub() -> Finding:
    """Check whether the hub answers and whether a token is set; the token itself is never shown."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import constants, get_session, get_token

    from sbert_prune.hub.snapshot import is_offline

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    shown = masked_uri(endpoint)
    token = "a token is set" if get_token() else "no token, which private and gated names need"
    if is_offline():
        return Finding("hub", "-", f"HF_HUB_OFFLINE is set: only the cache in {constants.HF_HUB_CACHE} is used")
    try:
        get_session().head(endpoint, timeout=_TIMEOUT_S)
    except (HTTPError, InvalidURL, OSError, ValueError) as error:
        reason = (without_password(str(error)).splitlines() or [type(error).__name__])[0][:120]
        return Finding("hub", "warn", f"{shown} is out of reach ({reason}); {token}", UNREACHABLE, f"curl -sSI {shown}")
    return Finding("hub", "ok", f"{shown} answers; {token}")
