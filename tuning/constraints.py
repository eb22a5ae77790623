"""Latency and size of a variant before it is trained, and the limits on them."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from sbert_prune.errors import SearchError
from sbert_prune.models.architectures import architecture_of
from sbert_prune.models.checkpoint import layer_and_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from tuning.settings import Aim
    from tuning.space import Space

_ROUNDS = 15
_SENTENCES = 8


def latencies_ms(base: SavedModel, recipe: Recipe, counts: Sequence[int], sentences: Sequence[str]) -> dict[int, float]:
    """Return the median latency of one sentence in ms, by the count of layers.

    Any layers of that count take as long, so the first ones are timed. The counts take turns, so that a busy machine
    slows all of them alike.
    """
    from sbert_prune.models.sentence import as_sentence_model, embed
    from sbert_prune.variant import first_layers

    cuts = first_layers(as_sentence_model(base, recipe), counts)
    timed, times_ms = list(sentences[:_SENTENCES]), {count: list[float]() for count in counts}
    for round_number in range(_ROUNDS + 1):
        for count, cut in cuts.items():
            for sentence in timed:
                started = time.perf_counter()
                embed(cut, [sentence])
                if round_number:  # the first round allocates memory
                    times_ms[count].append(1000 * (time.perf_counter() - started))
    return {count: statistics.median(times) for count, times in times_ms.items()}


def within_latency(space: Space, aim: Aim, latencies: dict[int, float]) -> Space:
    """Return the space without the counts of layers that take too long. Raises SearchError where none is left."""
    if aim.max_latency_ms is None:
        return space
    fast = [count for count in space.counts if latencies[count] <= aim.max_latency_ms]
    if not fast:
        raise SearchError(
            f"max_latency_ms={aim.max_latency_ms:g}: {space.counts[0]} layers take "
            f"{latencies[space.counts[0]]:.1f} ms here. Allow more, or keep fewer layers."
        )
    return space.up_to(fast[-1])


def size_mb(base: SavedModel, num_layers: int) -> float:
    """Return the size on disk of a base with this many layers and its whole vocabulary, in MB (10^6 bytes)."""
    checkpoint = base.checkpoint
    architecture = architecture_of(str(checkpoint.config["model_type"]))
    layer_bytes = sum(
        tensor.num_bytes
        for name, tensor in checkpoint.tensors.items()
        if layer_and_part(architecture, name) is not None
    )
    return (checkpoint.num_bytes() - layer_bytes * (checkpoint.depth - num_layers) / checkpoint.depth) / 1e6


def within_size(space: Space, base: SavedModel, aim: Aim, *, trims: bool) -> Space:
    """Return the space without the counts of layers that are too large.

    Args:
        space: The space.
        base: The base.
        aim: Its size limit; without one, the space stays as it is.
        trims: Whether vocabularies are trimmed too. Then the space stays as it is: a size is measured after a trial has
            trimmed its vocabulary.

    Raises:
        SearchError: No count fits.
    """
    if aim.max_size_mb is None or trims:
        return space
    fitting = [count for count in space.counts if size_mb(base, count) <= aim.max_size_mb]
    if not fitting:
        raise SearchError(
            f"max_size_mb={aim.max_size_mb:g}: {space.counts[0]} layers of {base.uri} take "
            f"{size_mb(base, space.counts[0]):.1f} MB. Allow more, keep fewer layers, or let the "
            "vocabulary vary as well: space=vocabulary=4000/8000"
        )
    return space.up_to(fitting[-1])
