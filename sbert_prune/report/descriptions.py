"""Descriptions of a registered model and of the experiment in MLflow's own pages, with the table of variants as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.errors import TrackingError
from sbert_prune.registry.versions import SHOWN, versions
from sbert_prune.report.catalogue import catalogue
from sbert_prune.tracking.delivery import FAULTS, first_line

if TYPE_CHECKING:
    from sbert_prune.tracking.store import Store

_NOTE = "mlflow.note.content"
_BEGIN, _END = "<!-- written by sbert-prune -->", "<!-- end of what sbert-prune wrote -->"
_MOST = 4_900
_OF_ONE = 1_400  # an experiment may hold several registered models


def describe(store: Store, name: str) -> None:
    """Bring both descriptions up to date; what people wrote around ours stays. Raises TrackingError."""
    try:
        registered = store.client.get_registered_model(name)
        aliases = {alias: str(number) for alias, number in registered.aliases.items()}
        found = versions(store, name, newest=SHOWN)
        what = "Variants of one recipe." if len(found) < SHOWN else f"The newest {SHOWN} variants of one recipe."
        text = catalogue(name, found, aliases)
        store.client.update_registered_model(name, _put(registered.description or "", "", f"{what}\n\n{text}"))
        note = store.client.get_experiment(store.experiment_id).tags.get(_NOTE, "")
        heading = f"### [{name}](#/models/{name.replace(' ', '%20')})"
        short = catalogue(name, found, aliases, longest=_OF_ONE)
        store.client.set_experiment_tag(store.experiment_id, _NOTE, _put(note, f" {name}", f"{heading}\n\n{short}"))
    except FAULTS as error:
        raise TrackingError(f"The descriptions of {name} could not be brought up to date: {first_line(error)}") from error


def _put(before: str, mark: str, text: str) -> str:
    """Our part of a text replaced, or put behind it; as much of the rest as there is room for stays."""
    begin, end = _BEGIN.replace(" -->", f"{mark} -->"), _END.replace(" -->", f"{mark} -->")
    own = f"{begin}\n{text.strip()}\n{end}"
    if begin in before and end in before:
        head, _, rest = before.partition(begin)
        tail = rest.partition(end)[2]
    else:
        head, tail = (f"{before.rstrip()}\n\n" if before.strip() else ""), ""
    whole = head + own + tail
    return whole if len(whole) <= _MOST else before
