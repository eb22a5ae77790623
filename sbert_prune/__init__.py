"""Prune a sentence encoder to the smallest one that is provably good enough."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbert_prune.api import evaluate, load, prune, save, train
    from sbert_prune.variant import Variant

__version__ = "0.1.0"

__all__ = ["Variant", "__version__", "evaluate", "load", "prune", "save", "train"]


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used: they need torch, which a command's `--help` does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sbert_prune import api

    return getattr(api, name)
