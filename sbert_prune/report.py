"""Pictures of variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.registry import Version

_NEEDED = ("sts_test/spearman_cosine", "speed/speedup", "size/disk_mb")
_LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
_LARGEST = 900.0  # area of the largest disc, in square points


def scatter(versions: Sequence[Version]) -> Figure:
    """Quality against speed-up over the base, one disc a version, its area the bytes on disk, its bar the 95 % interval."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    shown = [version for version in versions if all(key in version.metrics for key in _NEEDED)]
    largest = max((version.metrics["size/disk_mb"] for version in shown), default=1.0)
    for version in shown:
        score, speedup, size = (version.metrics[key] for key in _NEEDED)
        low, high = (version.metrics.get(f"{_NEEDED[0]}_{end}", score) for end in ("low", "high"))
        color = "tab:gray" if version.is_reference else "tab:blue"
        axes.errorbar(speedup, score, yerr=[[score - low], [high - score]], color=color, alpha=0.5, capsize=3)
        axes.scatter(speedup, score, s=_LARGEST * size / largest, color=color, alpha=0.5)
        label = f"v{version.version}: layers {version.tags.get('kept_layers', '?')}, {size:.1f} MB"
        axes.annotate(label, (speedup, score), xytext=(0, 16), textcoords="offset points", fontsize=8, ha="center", bbox=_LABEL)
    axes.margins(x=0.2, y=0.1)
    axes.set_xlabel("speed-up over the base (sentences/s)")
    axes.set_ylabel("STS test, Spearman, with 95 % interval")
    axes.set_title("Variants: area is size on disk; grey is the reference")
    axes.grid(alpha=0.3)
    return figure
