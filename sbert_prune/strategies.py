"""Strategies to choose the layers to keep: by position (Sajjad et al. 2020, arXiv 2004.03844), or by importance."""

from collections.abc import Callable
from difflib import get_close_matches

from sbert_prune.errors import SelectionError
from sbert_prune.layers import LayerSelection

EXPLICIT = "explicit"
"""The strategy that is recorded for an explicit list of layers."""


def drop_top(num_layers: int, depth: int) -> tuple[int, ...]:
    """Keep the layers next to the embeddings: the best strategy in the paper."""
    return tuple(range(num_layers))


def drop_bottom(num_layers: int, depth: int) -> tuple[int, ...]:
    """Keep the layers next to the output."""
    return tuple(range(depth - num_layers, depth))


def drop_middle(num_layers: int, depth: int) -> tuple[int, ...]:
    """Keep both ends, the lower end one longer when the count is odd ("symmetric" in the source)."""
    lower = (num_layers + 1) // 2
    upper = num_layers - lower
    return (*range(lower), *range(depth - upper, depth))


def drop_alternate(num_layers: int, depth: int) -> tuple[int, ...]:
    """Keep evenly spaced layers, the last always among them: 6 of 12 are 1,3,5,7,9,11.

    The source stops at half the depth; here, even spacing continues below it.
    """
    return tuple((position + 1) * depth // num_layers - 1 for position in range(num_layers))


STRATEGIES: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "drop-top": drop_top,
    "drop-middle": drop_middle,
    "drop-bottom": drop_bottom,
    "drop-alternate": drop_alternate,
}


MEASURED = ("block-influence", "angular-distance", "leave-one-out", "cka", "loss-per-depth")
"""The strategies that drop the least important layers, by measure of importance (see `layer_analysis.importance`)."""


def choose_layers(layers: str, *, strategy: str, depth: int) -> LayerSelection | None:
    """Turn the user's `layers` and `strategy` into a selection.

    Args:
        layers: A count, which the strategy turns into layers, or an explicit list such as "0,2,4-7".
        strategy: A name of STRATEGIES or MEASURED.
        depth: Number of layers of the encoder.

    Returns:
        The selection; None if the strategy has to measure the layers first.

    Raises:
        SelectionError: The strategy is unknown, the count is outside 1..depth, or the list is invalid.
    """
    known = (*STRATEGIES, *MEASURED)
    if strategy not in known:
        matches = get_close_matches(strategy, known, n=1)
        hint = f" Did you mean {matches[0]!r}?" if matches else ""
        raise SelectionError(
            f"strategy={strategy}: there is no such strategy.{hint} The strategies are {', '.join(known)}."
        )
    if not layers.strip().isdecimal() or len(layers.strip()) > 9:
        return LayerSelection.parse(layers, depth=depth)
    count = int(layers)
    if not 1 <= count <= depth:
        raise SelectionError(
            f"layers={count} cannot be kept: the encoder has {depth} layers. "
            f"Ask for 1 to {depth}, or list them, such as 0,2,4-7."
        )
    if strategy in MEASURED:
        return LayerSelection.all(depth) if count == depth else None
    return LayerSelection(STRATEGIES[strategy](count, depth), depth)
