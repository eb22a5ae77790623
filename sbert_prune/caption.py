"""A version in one line, for the registry's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST

if TYPE_CHECKING:
    from sbert_prune.registry.version import Version

_SHOWN = {
    STS_TEST: "STS test {:.4f}",
    STS_DEV: "dev {:.4f}",
    RETENTION: "{:.1%} of the reference",
    "size/disk_mb": "{:.1f} MB",
    "speed/speedup": "{:.2f}x the base's speed",
}


def caption(draft: Version) -> str:
    """The line."""
    tags = draft.tags
    layers = f"{draft.tags.get('role', 'variant')}: layers {tags.get('kept_layers')} of {tags.get('depth')} ({tags.get('strategy')})"
    vocabulary = [f"{tags['vocabulary']} pieces"] if "vocabulary" in tags else []
    return ", ".join([layers, *vocabulary, *(text.format(draft.metrics[key]) for key, text in _SHOWN.items() if key in draft.metrics)])
