"""Whether the disks have room for a command, said before it begins."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from sbert_prune.errors import RecipeError
from sbert_prune.tracking.store_uri import own_folder, sqlite_path, tracking_uri

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe

COPIES = 3 * 4
"""Two checkpoints on the way and one being written; each holds weights, two moments of AdamW, and the best weights so far."""


def check_room(recipe: Recipe, inputs: Inputs) -> None:
    """Refuse a variant for which a disk has no room: its steps' results, checkpoints, and copies on the way to the store.

    The least that it can take, so that nobody is refused in vain. Raises RecipeError.
    """
    pruning = inputs.pruning
    weights = sum(path.stat().st_size for path in pruning.base.checkpoint.weights)
    model = weights * pruning.num_layers // pruning.base.checkpoint.depth
    steps = len(pruning.cuts) * (1 + len(recipe.phases))
    store = sqlite_path(tracking_uri())
    wanted: dict[Path, int] = defaultdict(int)
    wanted[own_folder().parent] += (steps + (COPIES if recipe.phases else 0)) * model
    wanted[Path(tempfile.gettempdir())] += 2 * model
    if store is not None:
        wanted[store.parent] += model
    by_disk: dict[int, tuple[Path, int]] = {}
    for place, size in wanted.items():
        disk = place.stat().st_dev
        by_disk[disk] = (by_disk.get(disk, (place, 0))[0], by_disk.get(disk, (place, 0))[1] + size)
    for place, size in by_disk.values():
        free = shutil.disk_usage(place).free
        if free < size:
            raise RecipeError(
                f"{place}: {free / 1e6:,.0f} MB are free on its disk, and making {pruning.num_layers} layers of {pruning.base.uri} takes "
                f"at least {size / 1e6:,.0f} MB on the way. Make room (mlflow run . -e cleanup tells what can go), or work elsewhere."
            )
