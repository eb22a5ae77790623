"""Which layers a finding keeps."""

import json
from itertools import pairwise

import numpy as np
import pytest

from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.layer_analysis.scores import BlockDistances, LayerScores, LossCurve


def scores(*values):
    return LayerScores("cka", 10, values)


FINDINGS = [
    scores(0.3, 0.1, 0.2, 0.4),
    BlockDistances("angular-distance", 10, ((0.3, 0.1, 0.2, 0.4), (0.35, 0.2, 0.5), (0.4, 0.6), (0.7,))),
    LossCurve("loss-per-depth", 10, (3.0, 2.0, 2.5, 1.5, 1.75)),
]
every_finding = pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.method)


@every_finding
@pytest.mark.parametrize("first_stays", [True, False])
def test_as_many_layers_are_kept_as_were_asked_for_in_ascending_order(finding, first_stays):
    for count in range(1, 5):
        kept = finding.keep(count, first_stays=first_stays)

        assert len(kept) == count
        assert list(kept) == sorted(set(kept))
        assert set(kept) <= set(range(4))
        assert 0 in kept or not first_stays


@every_finding
@pytest.mark.parametrize("count", [0, 5, -1])
def test_a_count_that_no_encoder_can_have_is_refused(finding, count):
    with pytest.raises(SelectionError) as caught:
        finding.keep(count)

    assert (
        str(caught.value)
        == f"{count} layers cannot be kept by {finding.method}: the encoder has 4 layers. Ask for 1 to 4."
    )


@every_finding
def test_a_finding_is_json_with_one_score_a_layer(finding):
    written = json.loads(json.dumps(finding.as_dict(), allow_nan=False))

    assert written["method"] == finding.method
    assert written["num_sentences"] == 10
    assert written["scores"] == list(finding.layer_scores())
    assert len(written["scores"]) == 4


@pytest.mark.parametrize("finding", [FINDINGS[0], FINDINGS[2]], ids=lambda finding: finding.method)
def test_what_is_kept_of_fewer_layers_is_kept_of_more(finding):
    kept = [set(finding.keep(count)) for count in range(1, 5)]

    assert all(fewer < more for fewer, more in pairwise(kept))


@pytest.mark.parametrize(
    ("values", "count", "kept"),
    [
        ((0.3, 0.1, 0.2, 0.4), 2, (0, 3)),
        ((0.1, 0.1, 0.1, 0.1), 2, (0, 1)),
        ((0.1, 0.2, 0.1, 0.2), 3, (0, 1, 3)),
        ((-0.3, 0.0, 0.2, -0.1), 2, (1, 2)),
        ((None, 0.9, 0.2, 0.4), 1, (0,)),
        ((None, -0.9, -0.2, -0.4), 2, (0, 2)),
    ],
)
def test_the_highest_scores_are_kept_and_the_lower_layers_among_equals(values, count, kept):
    assert scores(*values).keep(count) == kept


def test_a_first_layer_that_stays_takes_a_place():
    assert scores(0.0, 0.1, 0.2, 0.4).keep(2, first_stays=True) == (0, 3)


@pytest.mark.parametrize(("count", "kept"), [(4, (0, 1, 2, 3)), (3, (0, 2, 3)), (2, (0, 3)), (1, (3,))])
def test_the_block_that_moves_least_is_dropped(count, kept):
    assert FINDINGS[1].keep(count) == kept


def test_a_block_may_not_begin_with_a_first_layer_that_stays():
    assert FINDINGS[1].keep(1, first_stays=True) == (0,)


def test_among_equal_blocks_the_higher_one_is_dropped():
    equal = BlockDistances("angular-distance", 10, ((0.5, 0.5, 0.5), (0.5, 0.5), (0.5,)))

    assert [equal.keep(count) for count in (1, 2, 3)] == [(0,), (0, 1), (0, 1, 2)]


def test_a_layer_matters_as_much_as_it_lowers_the_loss():
    curve = FINDINGS[2]

    assert curve.layer_scores() == (1.0, -0.5, 1.0, -0.25)
    assert curve.keep(2) == (0, 2)
    assert curve.as_dict()["losses"] == [3.0, 2.0, 2.5, 1.5, 1.75]


@pytest.mark.parametrize(
    ("losses", "depths"),
    [
        ((0.1, 2.0, 1.0, 3.0, 0.5), {"lower_half": 2, "upper_half": 4, "overall": 4}),
        ((3.0, 1.0, 1.0, 2.0, 2.0), {"lower_half": 1, "upper_half": 3, "overall": 1}),
        ((3.0, 2.0, 1.0, 0.5), {"lower_half": 1, "upper_half": 3, "overall": 3}),
        ((3.0, 1.0), {"upper_half": 1, "overall": 1}),
    ],
)
def test_the_suggested_depths_are_where_the_loss_is_lowest(losses, depths):
    assert LossCurve("loss-per-depth", 10, losses).suggested_depths() == depths


@pytest.mark.parametrize(
    "build",
    [
        lambda bad: scores(0.1, bad),
        lambda bad: BlockDistances("cka", 10, ((0.1, bad), (0.1,))),
        lambda bad: LossCurve("cka", 10, (1.0, bad)),
    ],
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_the_methods_name(build, bad):
    with pytest.raises(EncoderError) as caught:
        build(bad)

    assert str(caught.value) == (
        f"cka measured {bad}, which cannot rank layers: the output of this encoder's layers is not finite or does not "
        "vary. Check the base's weights, or choose the layers by a named strategy."
    )
