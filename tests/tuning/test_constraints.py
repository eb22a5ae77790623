"""What a variant costs is known before it is trained."""

import pytest

from sbert_prune.errors import SearchError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.pruning import prune_checkpoint
from sbert_prune.recipe.files import load_recipe
from tuning.axes import Choices
from tuning.constraints import latencies_ms, size_mb, within_latency, within_size
from tuning.settings import Aim
from tuning.space import Space


@pytest.fixture
def base(tiny_base):
    folder = tiny_base(depth=4, width=64)
    return SavedModel(str(folder), None, inspect_checkpoint(folder))


def test_the_size_of_a_cut_is_known_before_it_is_made(base, tmp_path):
    for count in (1, 2, 3):
        selection = LayerSelection(tuple(range(4 - count, 4)), 4)
        cut = prune_checkpoint(base.folder, selection, tmp_path / str(count))
        assert size_mb(base, count) == pytest.approx(
            cut.num_bytes() / 1e6, abs=0.01
        )  # the header of a file names its tensors
    assert size_mb(base, 4) == base.checkpoint.num_bytes() / 1e6


def test_a_size_limit_leaves_the_counts_that_fit(base):
    space, limit = Space(4, (1, 2, 3)), size_mb(base, 2)

    assert within_size(space, base, Aim(max_size_mb=limit), trims=False).counts == (1, 2)
    assert within_size(space, base, Aim(max_size_mb=limit / 10), trims=True) == space  # known when a trial has trimmed
    assert within_size(space, base, Aim(), trims=False) == space
    with pytest.raises(SearchError, match=r"max_size_mb=.*: 1 layers of .* take .* MB"):
        within_size(space, base, Aim(max_size_mb=limit / 10), trims=False)


def test_a_latency_limit_leaves_the_counts_that_are_fast(base):
    space = Space(4, (1, 2, 4), axes=(("sts.loss", Choices(("cosine",))),))
    latencies = {1: 1.0, 2: 2.0, 4: 4.0}

    assert within_latency(space, Aim(max_latency_ms=2.5), latencies).counts == (1, 2)
    assert within_latency(space, Aim(), latencies) == space
    with pytest.raises(SearchError, match=r"max_latency_ms=0.5: 1 layers take 1.0 ms here"):
        within_latency(space, Aim(max_latency_ms=0.5), latencies)


def test_every_count_of_layers_is_timed_with_as_many_layers(base, sentences):
    found = latencies_ms(base, load_recipe("quickstart", {}), (1, 4), sentences)

    assert set(found) == {1, 4}
    assert all(value > 0 for value in found.values())
