"""Sizes are counted, and speed is measured against the base in the same minute."""

import pytest

from sbert_prune.checkpoint import inspect_checkpoint
from sbert_prune.evaluation.efficiency import measure_size, measure_speed
from sbert_prune.layers import LayerSelection
from sbert_prune.pruning import prune_layers
from sbert_prune.sentence import encoder_of, load_saved, with_encoder, with_pooling

WIDTH, WORDS, POSITIONS = 16, 128, 64


def parameters_of_bert(depth):
    """By the architecture: query, key, value and output; two products with the doubled width; two normalisations a layer."""
    attention = 4 * (WIDTH * WIDTH + WIDTH)
    feed_forward = (WIDTH * 2 * WIDTH + 2 * WIDTH) + (2 * WIDTH * WIDTH + WIDTH)
    layer = attention + feed_forward + 2 * 2 * WIDTH
    embeddings = (WORDS + POSITIONS + 2) * WIDTH + 2 * WIDTH  # two token types, one normalisation
    pooler = WIDTH * WIDTH + WIDTH
    return embeddings + depth * layer + pooler


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_parameters_are_counted_as_by_hand(tiny_base, depth):
    checkpoint = inspect_checkpoint(tiny_base(depth=depth))
    model = with_pooling(load_saved(checkpoint), "mean", max_seq_length=32)

    size = measure_size(model, checkpoint)

    assert (size.parameters, size.embedding_parameters) == (parameters_of_bert(depth), WORDS * WIDTH)


def test_the_size_on_disk_is_that_of_every_file_of_the_folder(tiny_base):
    folder = tiny_base()
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "large.bin").write_bytes(b"x" * 1_000_000)
    checkpoint = inspect_checkpoint(folder)

    size = measure_size(load_saved(checkpoint), checkpoint)

    assert size.disk_mb == pytest.approx(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6)
    assert size.disk_mb > 1


def test_a_model_is_as_fast_as_itself(tiny_model, sentences):
    model = tiny_model(depth=2)

    speed = measure_speed(model, model, sentences)

    assert 0.5 < speed.speedup < 2
    assert 0 < speed.latency_p50_ms <= speed.latency_p95_ms
    assert speed.sentences_per_s > 0


def test_a_model_of_two_layers_is_faster_than_its_base_of_twelve(tiny_model, sentences):
    base, model = tiny_model(name="base", depth=12, width=32), tiny_model(name="other", depth=12, width=32)
    with_encoder(model, prune_layers(encoder_of(model), LayerSelection((0, 11), 12)))

    assert measure_speed(model, base, sentences).speedup > 1.3


def test_one_sentence_is_enough_to_measure_speed(tiny_model, sentences):
    model = tiny_model(depth=1)

    assert measure_speed(model, model, sentences[:1]).latency_p50_ms > 0
