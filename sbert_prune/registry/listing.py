"""The versions of a registered model, listed once per command, and brought up to date one by one afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.errors import TrackingError
from sbert_prune.registry.history import PRODUCTION, STAGING, read_history
from sbert_prune.registry.versions import existing_versions, look_up, versions

if TYPE_CHECKING:
    from sbert_prune.registry.history import History
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

OUR_ALIASES = ("champion", "previous", "challenger")
_HELD = {PRODUCTION, STAGING}


@dataclass(frozen=True)
class Listing:
    """All versions of a registered model, as one request returned them: a thousand take the store a second.

    Attributes:
        name: The registered model.
        versions: Oldest first.
        num_reconciled: How many events of its history had been applied before the request.
    """

    name: str
    versions: tuple[Version, ...]
    num_reconciled: int

    def current(self, store: Store, history: History) -> dict[str, Version]:
        """Return the versions by number, with those looked up again that may have changed since.

        These are the versions that held a stage, that hold an alias of ours, and that later events are about.
        Raises TrackingError.
        """
        by_number = {version.version: version for version in self.versions}
        changed = {version.version for version in self.versions if _HELD & {version.stage, version.tags.get("stage")}}
        changed |= {history.aliases[alias] for alias in OUR_ALIASES if alias in history.aliases}
        later = history.events[self.num_reconciled :]
        changed |= {number for event in later for number in (event.version, event.before) if number is not None}
        for number in changed:
            version = look_up(store, self.name, number)
            if version is not None:
                by_number[number] = version
            else:
                by_number.pop(number, None)
        return by_number


def list_all(store: Store, name: str, *, must_exist: bool = False) -> Listing:
    """List the versions of a registered model.

    Args:
        store: The tracking store.
        name: The registered model.
        must_exist: Refuse a registered model that does not exist or has no versions.

    Raises:
        TrackingError: The store does not answer, or nothing exists.
    """
    try:
        num_reconciled = read_history(store, name).num_reconciled  # before the versions: see `current`
    except TrackingError:
        if must_exist:
            existing_versions(store, name, newest=1)  # its message says that there is no such registered model
        raise
    listed = tuple(versions(store, name) if not must_exist else existing_versions(store, name))
    return Listing(name, listed, num_reconciled)
