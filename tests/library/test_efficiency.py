"""Sizes are counted by part, products by formula, and models are timed alternately."""

import itertools
import math
import os

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense

from sbert_prune.evaluation.efficiency.flops import flops_of, measure_flops
from sbert_prune.evaluation.efficiency.lengths import evenly, length_buckets, num_pieces, own_bucket
from sbert_prune.evaluation.efficiency.size import measure_size
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.evaluation.efficiency.timing import LEAST_PAIRS, Conditions, median_ratio, time_in_turn
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import ARCHITECTURES, layers_of
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import encoder_of, load_saved, with_encoder, with_pooling
from sbert_prune.pruning import prune_layers
from tests.kinds import KINDS

WIDTH, WORDS, POSITIONS = 16, 128, 64
SENTENCE = "a man plays the guitar"


def parameters_of_bert(depth):
    """Count per layer: query, key, value and output; two products with the doubled width; two normalisations."""
    attention = 4 * (WIDTH * WIDTH + WIDTH)
    feed_forward = (WIDTH * 2 * WIDTH + 2 * WIDTH) + (2 * WIDTH * WIDTH + WIDTH)
    layer = attention + feed_forward + 2 * 2 * WIDTH
    embeddings = (WORDS + POSITIONS + 2) * WIDTH + 2 * WIDTH  # two token types, one normalisation
    pooler = WIDTH * WIDTH + WIDTH
    return embeddings + depth * layer + pooler


def flops_of_bert(depth, pieces):
    """Count per layer: four products with the width, two with the doubled one, attention; one piece in the pooler."""
    products = pieces * (4 * WIDTH * WIDTH + 2 * WIDTH * 2 * WIDTH)
    attention = 2 * pieces * pieces * WIDTH
    return 2 * (depth * (products + attention) + WIDTH * WIDTH)


class Clock:
    """Stands still, but for what is spent on purpose."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def spending(self, seconds, calls):
        def rival(batch):
            calls.append((seconds, batch))
            self.now += seconds

        return rival

    def slow_down(self, model, *, call_s, piece_s):
        """Let encode() take so long by this clock, a call and a piece, and no time by any other."""

        def encode(batch, **_):
            self.now += call_s + piece_s * np.minimum(num_pieces(model, batch), model.max_seq_length).sum()

        model.encode = encode
        return model


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_parameters_are_counted_as_by_hand(tiny_base, depth):
    checkpoint = inspect_checkpoint(tiny_base(depth=depth))
    model = with_pooling(load_saved(checkpoint), "mean", max_seq_length=32)

    size = measure_size(model, checkpoint)

    assert (size.parameters, size.word_embeddings) == (parameters_of_bert(depth), WORDS * WIDTH)
    assert size.layers == parameters_of_bert(depth) - parameters_of_bert(0)


@pytest.mark.parametrize("model_type", KINDS)
def test_the_parts_sum_to_the_whole_and_layers_are_what_pruning_takes_away(tiny_base, model_type):
    checkpoint = inspect_checkpoint(tiny_base(model_type))
    model = with_pooling(load_saved(checkpoint), "mean", max_seq_length=32)
    whole = measure_size(model, checkpoint)
    last = sum(parameter.numel() for parameter in layers_of(encoder_of(model))[-1].parameters())

    with_encoder(model, prune_layers(encoder_of(model), LayerSelection((0, 1, 2), 4)))
    less = measure_size(model, checkpoint)

    assert whole.parameters == whole.layers + whole.word_embeddings + whole.other == last + less.parameters
    assert less.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert whole.layers - less.layers == last
    assert (whole.word_embeddings, whole.other) == (less.word_embeddings, less.other) == (WORDS * WIDTH, whole.other)
    assert whole.rest_of_encoder < 1500
    assert (whole.other_embeddings > 0) == ("." in ARCHITECTURES[model_type].word_embeddings)


def test_a_module_behind_the_encoder_is_counted_and_a_tied_one_once(tiny_base):
    checkpoint = inspect_checkpoint(tiny_base())
    plain = with_pooling(load_saved(checkpoint), "mean", max_seq_length=32)
    dense = Dense(WIDTH, WIDTH)

    once = measure_size(SentenceTransformer(modules=[plain[0], plain[1], dense]), checkpoint)
    twice = measure_size(SentenceTransformer(modules=[plain[0], plain[1], dense, dense]), checkpoint)

    assert once.behind_encoder == WIDTH * WIDTH + WIDTH
    assert once == twice


def test_the_size_on_disk_is_that_of_every_file_of_the_folder(tiny_base):
    folder = tiny_base()
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "large.bin").write_bytes(b"x" * 1_000_000)
    checkpoint = inspect_checkpoint(folder)

    size = measure_size(load_saved(checkpoint), checkpoint)

    assert size.disk_mb == pytest.approx(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6)
    assert size.disk_mb > 1
    assert size.metrics()["size/disk_mb"] == size.disk_mb


@pytest.mark.parametrize("depth", [1, 4])
def test_flops_are_those_of_the_formula(tiny_model, depth):
    model = tiny_model(depth=depth)

    assert flops_of(model, SENTENCE) == flops_of_bert(depth, pieces=7)


@pytest.mark.parametrize("model_type", KINDS)
def test_every_layer_costs_the_same_flops_and_the_model_stays_as_it_was(tiny_model, model_type):
    counted = [flops_of(tiny_model(model_type, name=str(depth), depth=depth), SENTENCE) for depth in (2, 4, 6)]
    model = tiny_model(model_type, name="again")
    flops_of(model, SENTENCE)

    layer, rest = (counted[1] - counted[0]) / 2, counted[0] - (counted[1] - counted[0])
    assert counted[2] - counted[1] == 2 * layer
    assert layer > 2 * 7 * WIDTH * WIDTH
    assert 0 <= rest < layer
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_limit_of_the_speed_up_is_nearly_the_depth_ratio(tiny_model, sentences):
    base, model = tiny_model(name="base", depth=6), tiny_model(depth=2)

    flops = measure_flops(model, base, sentences)

    assert flops.pieces == round(num_pieces(model, sentences).mean())
    assert 2.9 < flops.speedup_limit < 3
    assert flops.metrics() == {
        "speed/flops_per_sentence": float(flops.of_model),
        "speed/speedup_limit": flops.speedup_limit,
    }
    assert measure_flops(model, None, sentences).metrics().keys() == {"speed/flops_per_sentence"}


@pytest.mark.parametrize(
    ("others", "threads", "is_disturbed"),
    [(None, 1, False), (0.4, 2, False), (0.9, 2, True), (0.9, 1, False), (2, 1, True)],
)
def test_times_are_disturbed_where_others_take_more_than_the_cores_left(monkeypatch, others, threads, is_disturbed):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    conditions = Conditions("cpu", threads, 1, None, "x86, 2 cores", others)

    assert bool(conditions.disturbance) == is_disturbed
    assert (conditions.tags["disturbed"] == "no") != is_disturbed


def test_rivals_take_turns_and_who_begins_changes():
    clock, calls = Clock(), []
    slow, fast = clock.spending(2.0, calls), clock.spending(1.0, calls)

    taken = time_in_turn([fast, slow], [["a"], ["b"]], seconds=30, clock=clock)

    assert taken.shape == (4, 2, 2)  # 3 s to warm up, then 6 s a pass
    assert (taken == [1.0, 2.0]).all()
    assert [spent for spent, _ in calls[2:6]] == [1.0, 2.0, 2.0, 1.0]
    assert [batch for _, batch in calls[2:6]] == [["a"], ["a"], ["b"], ["b"]]
    assert clock.now <= 30


def test_a_minimum_of_pairs_is_timed_however_long_they_take_and_never_more_than_a_maximum():
    clock = Clock()

    assert time_in_turn([clock.spending(100.0, [])], [["a"]], seconds=1, clock=clock).size == LEAST_PAIRS
    assert time_in_turn([clock.spending(1e-6, [])], [["a"]], seconds=1000, clock=clock).size == 400


def test_what_slows_both_of_a_pair_leaves_their_ratio_alone():
    rng = np.random.default_rng(0)
    noise = rng.lognormal(0, 2, size=(10, 4))

    ratio = median_ratio(3 * noise, noise)

    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3, 3, 3))


@pytest.mark.parametrize("pairs", [6, 8, 20, 101])
def test_the_interval_holds_the_true_ratio_in_95_of_100_cases(pairs):
    rng = np.random.default_rng(pairs)
    found = [median_ratio(rng.lognormal(0, 0.3, pairs), rng.lognormal(0, 0.3, pairs)) for _ in range(2000)]

    held = np.mean([ratio.low <= 1 <= ratio.high for ratio in found])

    assert 0.94 < held < 0.995
    assert all(ratio.low <= ratio.value <= ratio.high for ratio in found)


def test_fewer_pairs_than_an_interval_needs_give_their_range():
    ratio = median_ratio(np.array([1.0, 4.0, 2.0]), np.ones(3))

    assert (ratio.low, ratio.value, ratio.high) == (1, 2, 4)


def test_buckets_are_about_as_long_as_they_say_and_never_longer_than_what_is_taken(tiny_model, sentences):
    model = tiny_model(max_seq_length=48)

    buckets = length_buckets(model, sentences, 48)

    assert [bucket.name for bucket in buckets] == ["16 pieces", "48 pieces"]
    for bucket, wanted in zip(buckets, (16, 48), strict=True):
        assert bucket.pieces == pytest.approx(wanted, rel=0.25)
        assert len(bucket.texts) == 32
        assert all(bucket.texts)


def test_real_sentences_are_taken_where_there_are_enough_of_a_length(tiny_model, sentences):
    model = tiny_model(max_seq_length=32)
    long = [f"{first} and {second} and {third}" for first, second, third in itertools.combinations(sentences[:8], 3)]

    texts = length_buckets(model, [*sentences, *long], 32)[0].texts

    assert set(texts) <= set(long)


def test_a_single_short_or_long_sentence_makes_buckets_too(tiny_model):
    model = tiny_model(max_seq_length=32)

    for only in ("a", " ".join(["the man sings"] * 30)):
        buckets = length_buckets(model, [only], 32)
        assert [bucket.pieces for bucket in buckets] == pytest.approx([16, 32], rel=0.25)
        assert own_bucket(model, [only]).pieces == min(32, num_pieces(model, [only])[0])


def test_evenly_takes_from_everywhere():
    assert evenly(range(10), 5) == [1, 3, 5, 7, 9]
    assert evenly(range(10), 10) == list(range(10))
    assert evenly("ab", 5) == ["a", "a", "b", "b", "b"]


def test_the_whole_table_is_measured_where_there_is_time(tiny_model, sentences):
    clock = Clock()
    model = clock.slow_down(tiny_model(depth=1), call_s=0.001, piece_s=0.00005)
    base = clock.slow_down(tiny_model(name="base", depth=1), call_s=0.003, piece_s=0.00015)

    speed = measure_speed(model, base, sentences, budget_s=6, clock=clock)

    assert speed.left_out == ()
    own = [("own sentences", 1), ("own sentences", 32)]
    by_length = [(f"{pieces} pieces", size) for pieces in (16, 32) for size in (1, 32)]
    assert [(cell.bucket, cell.batch_size) for cell in speed.table] == own + by_length
    assert all(cell.pairs >= LEAST_PAIRS and cell.speedup.value == pytest.approx(3) for cell in speed.table)
    mean = num_pieces(model, sentences).mean()
    assert speed.batched.sentences_per_s == pytest.approx(32 / (0.001 + 32 * mean * 0.00005), rel=0.02)
    assert 1.2 < speed.latency_p50_ms < speed.latency_p95_ms <= speed.latency_p99_ms < 2.5
    assert 3 < speed.seconds < 6 * 1.1
    assert all(math.isfinite(value) for value in speed.metrics().values())


@pytest.mark.parametrize(
    ("piece_s", "names"),
    [(0.0005, ["32 pieces, 32 at once"]), (0.01, ["16 pieces, 32 at once", "32 pieces, 32 at once"])],
)
def test_cells_that_take_too_long_are_left_out_and_named(tiny_model, sentences, piece_s, names):
    clock = Clock()
    model = clock.slow_down(tiny_model(depth=1), call_s=0.001, piece_s=piece_s)

    speed = measure_speed(model, model, sentences, budget_s=12, clock=clock)

    assert [line.partition(" (some ")[0] for line in speed.left_out] == names
    assert len(speed.cells) + len(speed.left_out) == 4
    headline = 2 * piece_s * 7 * (2 * 128 + 32 + 21)  # two passes and the warm-up, singles
    assert speed.seconds < max(12, 2 * 1.3 * headline) + 0.5


def test_a_model_without_a_base_has_no_speed_up(tiny_model, sentences):
    speed = measure_speed(tiny_model(depth=1), None, sentences[:1], budget_s=0.2)

    assert speed.metrics().keys() == {
        f"speed/{name}" for name in ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "sentences_per_s", "threads")
    }
    assert all(cell.speedup is None and cell.base_sentences_per_s is None for cell in speed.table)
    assert 0 < speed.latency_p50_ms <= speed.latency_p95_ms <= speed.latency_p99_ms
    assert speed.conditions.threads >= 1


def test_a_model_beside_its_base_is_timed_for_real(tiny_model, sentences):
    base, model = tiny_model(name="base", depth=12, width=32), tiny_model(name="other", depth=12, width=32)
    with_encoder(model, prune_layers(encoder_of(model), LayerSelection((0, 11), 12)))

    speed = measure_speed(model, base, sentences, budget_s=0.5)

    found = speed.metrics()
    assert 0 < found["speed/speedup_low"] <= found["speed/speedup"] <= found["speed/speedup_high"] < math.inf
    assert speed.batched.sentences_per_s > 0
    assert speed.batched.base_sentences_per_s > 0
