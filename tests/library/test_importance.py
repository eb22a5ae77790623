"""A layer that does nothing scores nothing by any method; each method agrees with its source."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch

from sbert_prune.data.rows import StsRow
from sbert_prune.errors import DataError, EncoderError, RoundTripError
from sbert_prune.evaluation.sts import evaluate_sts, pair_cosines
from sbert_prune.layer_analysis.importance import IMPORTANCE, Calibration, some_pairs
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.similarity import angular_distance, linear_cka
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import ARCHITECTURES, layers_of
from sbert_prune.models.sentence import encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from tests.kinds import KINDS

DEPTH = 4
MEASURED = ("block-influence", "angular-distance", "leave-one-out", "cka", "loss-per-depth")
every_method = pytest.mark.parametrize("method", MEASURED)


@pytest.fixture
def calibration(sentences):
    """Sentences, pairs of neighbours, and dev pairs with any scores."""
    pairs = tuple(zip(sentences, sentences[7:], strict=False))
    return Calibration(
        sentences, tuple(StsRow(*pair, (number * 7 % 10) / 10) for number, pair in enumerate(pairs)), pairs
    )


def judged_by(model, rows):
    """The same pairs, scored as the model itself does, so that every change costs something."""
    return tuple(
        StsRow(row.sentence1, row.sentence2, float((1 + cosine) / 2))
        for row, cosine in zip(rows, pair_cosines(model, rows, "dev"), strict=True)
    )


def return_input(layer, args, kwargs, output):
    given = args[0] if args else kwargs["hidden_states"]
    return (given, *output[1:]) if isinstance(output, tuple) else given


def test_the_methods_are_the_five_that_a_user_can_name():
    assert set(IMPORTANCE) == set(MEASURED)


@every_method
@pytest.mark.parametrize("model_type", KINDS)
def test_a_layer_that_returns_its_input_does_not_matter(tiny_model, calibration, model_type, method):
    model = tiny_model(model_type, depth=DEPTH)
    layers_of(encoder_of(model))[2].register_forward_hook(return_input, with_kwargs=True)
    given = Calibration(calibration.sentences, judged_by(model, calibration.dev), calibration.positives)

    found = IMPORTANCE[method](model, given)

    assert found.layer_scores()[2] == pytest.approx(0, abs=1e-9)
    assert any(abs(score) > 1e-6 for score in found.layer_scores() if score is not None)
    if method != "loss-per-depth":  # a random layer may raise the loss and so matter less than nothing
        assert found.keep(DEPTH - 1) == (0, 1, 3)


@pytest.mark.parametrize("model_type", KINDS)
def test_every_method_knows_every_kind(tiny_model, calibration, model_type):
    model = tiny_model(model_type, depth=3)

    for method in MEASURED:
        found = IMPORTANCE[method](model, calibration)

        assert found.method == method
        assert len(found.layer_scores()) == 3
        assert found.keep(3) == (0, 1, 2)
        assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["num_sentences"] == len(calibration.sentences)


@every_method
def test_the_same_inputs_give_the_same_numbers_and_leave_the_model_as_it_was(tiny_model, calibration, method):
    model = tiny_model("bert", depth=DEPTH).train()
    weights = deepcopy(model.state_dict())

    first, second = IMPORTANCE[method](model, calibration), IMPORTANCE[method](model, calibration)

    assert first == second
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert len(layers_of(encoder_of(model))) == DEPTH
    assert {module.training for module in model.modules()} == {True}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("block-influence", "block-influence needs sentences, two or more; 0 were given. "),
        ("angular-distance", "angular-distance needs sentences, two or more; 0 were given. "),
        ("leave-one-out", "leave-one-out needs dev pairs, two or more; 0 were given. "),
        ("cka", "cka needs sentences, two or more; 0 were given. "),
        ("loss-per-depth", "loss-per-depth needs pairs of anchor and entailment, two or more; 0 were given. "),
    ],
)
def test_a_method_says_what_it_lacks(tiny_model, method, message):
    with pytest.raises(DataError) as caught:
        IMPORTANCE[method](tiny_model("bert"), Calibration())

    assert str(caught.value) == message + "Give some, or choose a method that does not need them."


@every_method
def test_a_method_uses_no_more_than_what_it_needs(tiny_model, calibration, method):
    needed = {"leave-one-out": {"dev": calibration.dev}, "loss-per-depth": {"positives": calibration.positives}}
    given = Calibration(**needed.get(method, {"sentences": calibration.sentences}))
    model = tiny_model("bert", depth=2)

    assert IMPORTANCE[method](model, given) == IMPORTANCE[method](model, calibration)


@pytest.mark.parametrize("method", ["block-influence", "angular-distance", "cka", "loss-per-depth"])
def test_damaged_weights_are_refused_by_the_methods_name(tiny_model, calibration, method):
    model = tiny_model("bert", depth=2)
    with torch.no_grad():
        next(layers_of(encoder_of(model))[1].parameters()).fill_(torch.nan)

    with pytest.raises(EncoderError, match=f"^{method} measured nan, which cannot rank layers"):
        IMPORTANCE[method](model, calibration)


def test_embeddings_that_are_not_finite_are_refused_by_leave_one_out(tiny_model, calibration):
    model = tiny_model("bert", depth=2)
    with torch.no_grad():
        next(layers_of(encoder_of(model))[1].parameters()).fill_(torch.nan)

    with pytest.raises(
        RoundTripError, match=r"^The model, on dev for leave-one-out, gives embeddings that are not finite"
    ):
        IMPORTANCE["leave-one-out"](model, calibration)


def test_angles_and_cka_are_measured_between_depths(tiny_model, calibration):
    model = tiny_model("bert", depth=DEPTH)
    vectors = profile_layers(model, calibration.sentences).vectors

    blocks = IMPORTANCE["angular-distance"](model, calibration).as_dict()["block_distances"]
    cka = IMPORTANCE["cka"](model, calibration).layer_scores()

    assert blocks["2"] == [angular_distance(vectors[start], vectors[start + 2]) for start in range(3)]
    assert cka == tuple(1 - linear_cka(vectors[index], vectors[index + 1]) for index in range(DEPTH))


@pytest.mark.parametrize("model_type", KINDS)
def test_leave_one_out_is_what_evaluating_without_the_layer_says(tiny_model, calibration, model_type):
    model = tiny_model(model_type, depth=3)
    encoder = encoder_of(model)

    found = IMPORTANCE["leave-one-out"](model, calibration).layer_scores()

    whole = evaluate_sts(model, calibration.dev, "dev").value
    for index, kept in enumerate(((1, 2), (0, 2), (0, 1))):
        if index == 0 and ARCHITECTURES[model_type].first_lacks:
            assert found[index] is None
        else:
            without = with_encoder(deepcopy(model), prune_layers(encoder, LayerSelection(kept, 3)))
            assert found[index] == pytest.approx(whole - evaluate_sts(without, calibration.dev, "dev").value, abs=1e-12)


def test_an_only_layer_has_to_stay(tiny_model, calibration):
    found = IMPORTANCE["leave-one-out"](tiny_model("bert", depth=1), calibration)

    assert found.layer_scores() == (None,)
    assert found.keep(1) == (0,)


def test_dev_pairs_that_no_correlation_can_be_had_of_are_refused(tiny_model, calibration):
    constant = Calibration(dev=tuple(StsRow(row.sentence1, row.sentence2, 0.5) for row in calibration.dev))

    with pytest.raises(DataError, match="dev for leave-one-out"):
        IMPORTANCE["leave-one-out"](tiny_model("bert"), constant)


def test_a_thousand_dev_pairs_are_drawn_the_same_every_time_in_their_order():
    rows = [StsRow(f"{number:04}", "other", 0.5) for number in range(1500)]

    drawn = some_pairs(rows)

    numbers = [int(row.sentence1) for row in drawn]
    assert len(numbers) == 1000
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 1400  # not merely the first thousand
    assert drawn == some_pairs(rows)
    assert some_pairs(rows[:1000]) == rows[:1000]


def test_the_loss_at_the_full_depth_is_that_of_the_model(tiny_model, calibration):
    model = tiny_model("bert", depth=2)
    unit = torch.nn.functional.normalize(
        torch.from_numpy(np.array([model.encode(list(side)) for side in zip(*calibration.positives, strict=True)])),
        dim=-1,
    )
    expected = torch.nn.functional.cross_entropy(20 * unit[0] @ unit[1].T, torch.arange(len(calibration.positives)))

    losses = IMPORTANCE["loss-per-depth"](model, calibration).as_dict()["losses"]

    assert losses[2] == pytest.approx(float(expected), rel=1e-5)


def test_cls_vectors_straight_from_the_embeddings_are_all_the_same_and_need_the_first_layer(tiny_model, calibration):
    model = tiny_model("bert", pooling="cls", depth=DEPTH)

    found = IMPORTANCE["cka"](model, calibration)

    assert found.layer_scores()[0] == 1
    assert 0 in found.keep(1)
