"""The versions of a registered model as a Markdown table, short enough for MLflow's descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.report.tables import metric_with_interval, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sbert_prune.registry.version import Version

LONGEST = 4_500
"""Characters; MLflow's databases hold 5,000."""

_HEADER = ("version", "layers", "strategy", "size", "speed", "dev", "test", "of the reference")
_SIZE, _SPEEDUP = "size/disk_mb", "speed/speedup"


def catalogue(name: str, versions: Sequence[Version], aliases: Mapping[str, str], *, longest: int = LONGEST) -> str:
    """Who holds what, then the versions, the smallest first, as many as there is room for. aliases: the version of each."""
    holders = [f"**{alias}** is [version {number}]({_address(name, number)})" for alias, number in sorted(aliases.items())]
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
    role = " (reference)" if version.is_reference else f" ({titles[version.version]})" if version.version in titles else ""

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
