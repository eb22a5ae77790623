"""How large a variant is, known before it is trained by counting bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.agreement import layer_and_part
from sbert_prune.errors import SearchError
from sbert_prune.models.architectures import architecture_of

if TYPE_CHECKING:
    from sbert_prune.models.saved_model import SavedModel
    from tuning.aim import Aim
    from tuning.space import Space


def size_mb(base: SavedModel, num_layers: int) -> float:
    """What so many layers of a base take on disk, its vocabulary whole, in units of 1,000,000 bytes."""
    checkpoint = base.checkpoint
    architecture = architecture_of(str(checkpoint.config["model_type"]))
    of_layers = sum(tensor.num_bytes for name, tensor in checkpoint.tensors.items() if layer_and_part(architecture, name) is not None)
    return (checkpoint.num_bytes() - of_layers * (checkpoint.depth - num_layers) / checkpoint.depth) / 1e6


def within_size(space: Space, base: SavedModel, aim: Aim, *, trims: bool) -> Space:
    """The space without what is too large whatever its weights become. Raises SearchError where nothing is left.

    trims: whether vocabularies are trimmed too; sizes are then known when a trial has trimmed its own.
    """
    if aim.max_size_mb is None or trims:
        return space
    fitting = [count for count in space.counts if size_mb(base, count) <= aim.max_size_mb]
    if not fitting:
        raise SearchError(
            f"max_size_mb={aim.max_size_mb:g}: {space.counts[0]} layers of {base.uri} take {size_mb(base, space.counts[0]):.1f} MB. "
            "Allow more, keep fewer layers, or let the vocabulary vary as well: space=vocabulary=4000/8000"
        )
    return space.up_to(fitting[-1])
