"""Each sentence is embedded once, and embeddings are cached by model and text."""

import numpy as np
import pytest
import torch

from sbert_prune.errors import RoundTripError
from sbert_prune.evaluation.embeddings import embed_once
from sbert_prune.models.sentence import embed, encoder_of
from sbert_prune.system import cache


@pytest.fixture
def counting(tiny_model, monkeypatch, tmp_path):
    """A sentence model, and the sentences that it was given; with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tiny_model()
    encode, given = model.encode, []
    monkeypatch.setattr(model, "encode", lambda texts, **options: given.extend(texts) or encode(texts, **options))
    return model, given


def test_embeddings_are_those_of_the_model_in_the_order_asked_for(tiny_model, sentences):
    model = tiny_model()

    embedded = embed_once(model, [*sentences[:5], *sentences[:5]], "x")

    assert len(embedded) == 5
    assert np.allclose(
        embedded.of([sentences[3], sentences[0], sentences[3]]),
        embed(model, [sentences[3], sentences[0], sentences[3]]),
        atol=1e-6,
    )
    assert np.allclose(np.linalg.norm(embedded.unit(sentences[:5]), axis=1), 1)


def test_only_what_is_new_is_embedded(counting, sentences):
    model, given = counting
    embed_once(model, sentences[:6], "x", fingerprint="a")
    given.clear()

    embedded = embed_once(model, sentences[3:9], "x", fingerprint="a")

    assert sorted(given) == sorted(sentences[6:9])
    assert np.allclose(embedded.of(sentences[3:9]), embed(model, sentences[3:9]), atol=1e-6)


def test_what_is_kept_is_bitwise_what_was_embedded(counting, sentences):
    model, given = counting
    first = embed_once(model, sentences, "x", fingerprint="a")
    given.clear()

    again = embed_once(model, sentences, "x", fingerprint="a")

    assert given == []
    assert (again.vectors == first.vectors).all()


@pytest.mark.parametrize("change", ["fingerprint", "length"])
def test_another_model_or_length_finds_nothing(counting, sentences, change):
    model, given = counting
    embed_once(model, sentences[:4], "x", fingerprint="a")
    given.clear()
    if change == "length":
        model.max_seq_length -= 1

    embed_once(model, sentences[:4], "x", fingerprint="b" if change == "fingerprint" else "a")

    assert sorted(given) == sorted(sentences[:4])


def test_without_a_fingerprint_nothing_is_kept(counting, sentences):
    model, given = counting
    embed_once(model, sentences[:4], "x")

    embed_once(model, sentences[:4], "x")

    assert len(given) == 8
    assert not cache.cache_folder().exists()


DAMAGE = {
    "no array": lambda path, _: path.write_bytes(b"nothing"),
    "fewer rows": lambda path, vectors: np.save(path, vectors[:2]),
    "another width": lambda path, vectors: np.save(path, vectors[:, :3]),
    "NaN": lambda path, vectors: np.save(path, vectors * np.nan),
    "zeros": lambda path, vectors: np.save(path, vectors * 0),
    "the vectors are gone": lambda path, _: path.unlink(),
    "the digests are gone": lambda path, _: path.with_name("digests.npy").unlink(),
    **{
        f"checks.json is {text}": lambda path, _, text=text: path.with_name("checks.json").write_text(text)
        for text in ('["digests"]', "{}", "3")
    },
}


@pytest.mark.parametrize("asked", [3, 4, 6])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_costs_time_alone(counting, sentences, damage, asked):
    model, given = counting
    whole = embed_once(model, sentences[:4], "x", fingerprint="a")
    (entry,) = (cache.cache_folder() / "embeddings").iterdir()
    damage(entry / "vectors.npy", np.load(entry / "vectors.npy"))
    given.clear()

    again = embed_once(model, sentences[:asked], "x", fingerprint="a")
    embed_once(model, sentences[:asked], "x", fingerprint="a")

    assert sorted(given) == sorted(sentences[:asked])
    assert np.allclose(again.vectors[:4], whole.vectors[:asked], atol=1e-6)


@pytest.mark.parametrize(("value", "message"), [(0.0, "it has collapsed"), (float("nan"), "not finite")])
def test_broken_embeddings_are_refused_and_never_kept(counting, sentences, value, message):
    model, _ = counting
    with torch.no_grad():
        encoder_of(model).embeddings.word_embeddings.weight.fill_(value)
    model.max_seq_length = 4  # nothing but the words tells sentences apart

    with pytest.raises(RoundTripError, match=message):
        embed_once(model, sentences[:4], "x", fingerprint="a")

    assert not cache.cache_folder().exists()


def test_similar_new_sentences_are_not_a_collapse(counting, sentences):
    """A disturbed sentence can have the embedding of the one that it was made from: case, in an uncased model."""
    model, _ = counting
    embed_once(model, sentences[:4], "x", fingerprint="a")

    embedded = embed_once(model, [*sentences[:4], "a dog sleeps", "a  dog sleeps"], "x", fingerprint="a")

    assert len(embedded) == 6
