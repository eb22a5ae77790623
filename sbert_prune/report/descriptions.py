"""Descriptions of a registered model and of the experiment in MLflow's own pages, with the table of variants as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.errors import TrackingError
from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.registry.versions import SHOWN, versions
from sbert_prune.report.tables import metric_with_interval, table
from sbert_prune.tracking.delivery import FAULTS, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

LONGEST = 4_500
"""Characters; MLflow's databases hold 5,000."""

_HEADER = ("version", "layers", "strategy", "size", "speed", "dev", "test", "of the reference")
_SIZE, _SPEEDUP = "size/disk_mb", "speed/speedup"


def catalogue(name: str, versions: Sequence[Version], aliases: Mapping[str, str], *, longest: int = LONGEST) -> str:
    """Who holds what, then the versions, the smallest first, as many as there is room for. aliases: the version of each."""
    holders = [
        f"**{alias}** is [version {number}]({_address(name, number)})" for alias, number in sorted(aliases.items())
    ]
    first = ", ".join(holders) or "No version is promoted yet: `mlflow run . -e promote`"
    ordered = sorted(versions, key=lambda version: (version.metrics.get(_SIZE, float("inf")), int(version.version)))
    titles = {number: alias for alias, number in aliases.items()}
    shown = len(ordered)
    while True:
        rows = [_row(name, version, titles) for version in ordered[:shown]]
        left = f"\n\nand {len(ordered) - shown:,} larger ones" if shown < len(ordered) else ""
        text = f"{first}.\n\n{table(_HEADER, rows)}{left}\n"
        if len(text) <= longest or shown == 0:
            return text
        shown = min(shown - 1, shown * longest // len(text))


def _row(name: str, version: Version, titles: Mapping[str, str]) -> tuple[str, ...]:
    tags, metrics = version.tags, version.metrics
    role = (
        " (reference)" if version.is_reference else f" ({titles[version.version]})" if version.version in titles else ""
    )

    def told(metric: str, form: str) -> str:
        return form.format(metrics[metric]) if metric in metrics else "-"

    return (
        f"[{version.version}]({_address(name, version.version)}){role}",
        f"{tags.get('kept_layers', '-')} of {tags.get('depth', '-')}",
        tags.get("strategy", "-"),
        told(_SIZE, "{:.1f} MB"),
        told(_SPEEDUP, "{:.2f}x"),
        told(STS_DEV, "{:.4f}"),
        metric_with_interval(metrics, STS_TEST),
        told(RETENTION, "{:.1%}"),
    )


def _address(name: str, number: str) -> str:
    """Of a version in MLflow's pages."""
    return f"#/models/{name.replace(' ', '%20')}/versions/{number}"


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
        raise TrackingError(
            f"The descriptions of {name} could not be brought up to date: {first_line(error)}"
        ) from error


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
