"""Descriptions of the registered model and the experiment in MLflow, with the current table of variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.registry.versions import SHOWN, versions
from sbert_prune.report.tables import metric_with_interval, table
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.store import store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

LONGEST = 4_500
"""Maximum number of characters; MLflow's databases allow 5,000."""

_HEADER = ("version", "layers", "strategy", "size", "speed", "dev", "test", "of the reference")
_SIZE, _SPEEDUP = "size/disk_mb", "speed/speedup"


def catalogue(name: str, versions: Sequence[Version], aliases: Mapping[str, str], *, longest: int = LONGEST) -> str:
    """Return the aliases, then a table of the versions, the smallest first, as many as fit.

    Args:
        name: Name of the registered model.
        versions: Its versions.
        aliases: Version number by alias.
        longest: Maximum number of characters.
    """
    alias_links = [
        f"**{alias}** is [version {number}]({_address(name, number)})" for alias, number in sorted(aliases.items())
    ]
    intro = ", ".join(alias_links) or f"No version is promoted yet: `{command_line('promote')}`"
    ordered = sorted(versions, key=lambda version: (version.metrics.get(_SIZE, float("inf")), int(version.version)))
    alias_of_version = {number: alias for alias, number in aliases.items()}
    shown = len(ordered)
    while True:
        rows = [_row(name, version, alias_of_version) for version in ordered[:shown]]
        more = f"\n\nand {len(ordered) - shown:,} larger ones" if shown < len(ordered) else ""
        text = f"{intro}.\n\n{table(_HEADER, rows)}{more}\n"
        if len(text) <= longest or shown == 0:
            return text
        shown = min(shown - 1, shown * longest // len(text))


def _row(name: str, version: Version, titles: Mapping[str, str]) -> tuple[str, ...]:
    tags, metrics = version.tags, version.metrics
    role = (
        " (reference)" if version.is_reference else f" ({titles[version.version]})" if version.version in titles else ""
    )

    def formatted(metric: str, template: str) -> str:
        return template.format(metrics[metric]) if metric in metrics else "-"

    return (
        f"[{version.version}]({_address(name, version.version)}){role}",
        f"{tags.get('kept_layers', '-')} of {tags.get('depth', '-')}",
        tags.get("strategy", "-"),
        formatted(_SIZE, "{:.1f} MB"),
        formatted(_SPEEDUP, "{:.2f}x"),
        formatted(STS_DEV, "{:.4f}"),
        metric_with_interval(metrics, STS_TEST),
        formatted(RETENTION, "{:.1%}"),
    )


def _address(name: str, number: str) -> str:
    """Return the address of a version in the MLflow UI."""
    return f"#/models/{name.replace(' ', '%20')}/versions/{number}"


_NOTE = "mlflow.note.content"
_BEGIN, _END = "<!-- written by sbert-prune -->", "<!-- end of what sbert-prune wrote -->"
_MOST = 4_900
_MAX_PER_MODEL = 1_400  # an experiment can have several registered models


def describe(store: Store, name: str, listed: Sequence[Version] | None = None) -> None:
    """Update both descriptions; text that users wrote around ours stays.

    Args:
        store: The tracking store.
        name: The registered model.
        listed: Its versions, oldest first; None lists the newest.

    Raises:
        TrackingError: The store refuses.
    """
    with store_errors(f"The descriptions of {name} could not be updated"):
        registered = store.client.get_registered_model(name)
        aliases = {alias: str(number) for alias, number in registered.aliases.items()}
        newest = versions(store, name, newest=SHOWN) if listed is None else listed[-SHOWN:]
        intro = "Variants of one recipe." if len(newest) < SHOWN else f"The newest {SHOWN} variants of one recipe."
        text = catalogue(name, newest, aliases)
        store.client.update_registered_model(name, _put(registered.description or "", "", f"{intro}\n\n{text}"))
        note = store.client.get_experiment(store.experiment_id).tags.get(_NOTE, "")
        heading = f"### [{name}](#/models/{name.replace(' ', '%20')})"
        short = catalogue(name, newest, aliases, longest=_MAX_PER_MODEL)
        store.client.set_experiment_tag(store.experiment_id, _NOTE, _put(note, f" {name}", f"{heading}\n\n{short}"))


def _put(before: str, mark: str, text: str) -> str:
    """Replace our part of a text, or append it; return the text unchanged if the result would be too long."""
    begin, end = _BEGIN.replace(" -->", f"{mark} -->"), _END.replace(" -->", f"{mark} -->")
    part = f"{begin}\n{text.strip()}\n{end}"
    if begin in before and end in before:
        head, _, rest = before.partition(begin)
        tail = rest.partition(end)[2]
    else:
        head, tail = (f"{before.rstrip()}\n\n" if before.strip() else ""), ""
    result = head + part + tail
    return result if len(result) <= _MOST else before
