"""Pictures of variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from sbert_prune.metrics import STS_TEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sbert_prune.layers import LayerSelection
    from sbert_prune.registry.version import Version

_NEEDED = (STS_TEST, "speed/speedup", "size/disk_mb")
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


def similarity_map(matrix: NDArray[np.float64], selection: LayerSelection, *, title: str) -> Figure:
    """How alike the sentence vectors at all depths are, 0 to 1; on both axes, the dropped layers say so in red.

    *Shape:* (depth + 1, depth + 1), index 0 the embeddings, index k what layer k-1 gives.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, vmin=0, vmax=1, origin="lower")
    figure.colorbar(image, ax=axes, label="linear CKA of sentence vectors")
    labels = ["embeddings", *(f"dropped {index}" if index in selection.dropped else str(index) for index in range(selection.depth))]
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        if label.get_text().startswith("dropped"):
            label.set_color("tab:red")
    axes.set_xlabel("behind layer")
    axes.set_ylabel("behind layer")
    axes.set_title(title)
    return figure
