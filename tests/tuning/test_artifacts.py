"""Which trials keep their bytes: the Pareto front, then the best, as far as the disk space allows."""

from hypothesis import given
from hypothesis import strategies as st

from tuning.artifacts import Candidate, dominates, pareto_front, to_keep
from tuning.settings import Limits


def candidates(*given):
    return [Candidate(number, values, size) for number, (values, size) in enumerate(given)]


SCORES = candidates(((0.5,), 10.0), ((0.7,), 10.0), ((0.6,), 10.0), ((0.4,), 10.0))


def test_the_best_are_kept():
    assert to_keep(SCORES, Limits(keep_models=2)) == {1, 2}
    assert to_keep(SCORES, Limits(keep_models=0)) == {1}  # one objective: its front is the best


def test_the_best_come_first_where_disk_space_is_short():
    assert to_keep(SCORES, Limits(keep_models=3, max_gb=0.02)) == {1, 2}
    assert to_keep(SCORES, Limits(keep_models=3, max_gb=0)) == frozenset()


def test_the_whole_front_is_kept_besides_the_best():
    found = candidates(((0.9, -30.0), 30.0), ((0.8, -30.0), 30.0), ((0.5, -10.0), 10.0), ((0.4, -20.0), 20.0))

    assert to_keep(found, Limits(keep_models=1)) == {0, 2}
    assert to_keep(found, Limits(keep_models=2)) == {0, 1, 2}


VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


@given(VALUES)
def test_nothing_dominates_the_front_and_all_else_is_dominated_by_it(values):
    found = candidates(*((tuple(map(float, pair)), 1.0) for pair in values))
    front = pareto_front(found)

    assert front
    for one in found:
        assert (one in front) == (not any(dominates(other, one) for other in found))
        assert one in front or any(dominates(other, one) for other in front)


@given(VALUES, st.integers(0, 4))
def test_deleted_bytes_are_never_needed_again(values, keep):
    """So that bytes can be deleted as trials come in."""
    found = candidates(*((tuple(map(float, pair)), 1.0) for pair in values))
    limits = Limits(keep_models=keep)

    deleted = set()
    for count in range(1, len(found) + 1):
        kept = to_keep(found[:count], limits)
        assert not deleted & kept
        deleted |= {one.number for one in found[:count]} - kept
