"""A teacher's embeddings are those of encode(), and they are computed once."""

import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers.processors import TemplateProcessing

from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import embed, encoder_of, load_saved, with_encoder
from sbert_prune.pruning import prune_layers
from sbert_prune.training import teacher as module
from sbert_prune.training.batches import tokenize
from sbert_prune.training.device import Hardware
from sbert_prune.training.embedding import embed_tokens
from sbert_prune.training.teacher import Teacher

CPU = Hardware(torch.device("cpu"), bfloat16=False)
CPU_BFLOAT16 = Hardware(torch.device("cpu"), bfloat16=True)
LONG = "the man and the woman and the child is in the street and on the river and not quickly"
HALF = 1e-3  # half precision has eleven bits


@pytest.fixture(autouse=True)
def entries(tmp_path, monkeypatch):
    """A function that returns the number of teacher entries in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda: len(list((tmp_path / "cache" / "sbert-prune" / "teacher").glob("*")))


@pytest.fixture
def loaded(monkeypatch):
    """The folders from which a teacher was loaded."""
    folders = []

    def load(checkpoint):
        folders.append(checkpoint.folder)
        return load_saved(checkpoint)

    monkeypatch.setattr(module, "load_saved", load)
    return folders


@pytest.fixture
def save(tmp_path, tiny_model):
    """A function that saves a sentence model and returns it with its folder as a teacher's source."""

    def write(model_type="bert", *, name="teacher", model=None, **sizes):
        model = model or tiny_model(model_type, name=f"{name}-base", **{"depth": 4} | sizes)
        folder = tmp_path / name
        model.save(str(folder))
        return model, SavedModel(str(folder), None, inspect_checkpoint(folder))

    return write


@pytest.fixture
def texts(sentences):
    """Short and long texts in no order, one of them twice."""
    return [LONG, *sentences[:7], "a", LONG + " and the dog", sentences[3], ""]


def teach(source, texts, *, layers=None, hardware=CPU, tick=lambda _: None, **settings):
    return Teacher(source, layers, **settings).embed(texts, hardware, tick=tick)


@pytest.mark.parametrize("at_once", [1, 40, 8192])
@pytest.mark.parametrize("model_type", ["bert", "roberta", "t5", "modernbert"])
def test_embeddings_are_those_of_encode_in_the_order_of_the_texts(save, texts, model_type, at_once):
    model, source = save(model_type)

    found = teach(source, texts, pieces_at_once=at_once)

    assert found.dtype == np.float16
    assert found.shape == (1, len(texts), 16)
    assert np.allclose(found[0], embed(model, texts), rtol=0, atol=HALF)


def test_sentences_are_cut_where_the_teacher_cuts_them(save, texts):
    model, source = save(max_seq_length=6)

    found = teach(source, texts)[0]

    assert np.allclose(found, embed(model, texts), rtol=0, atol=HALF)
    assert np.allclose(found[0], found[9], rtol=0, atol=HALF)  # they differ at their ends alone


def test_further_modules_and_what_is_not_normalised_are_the_teachers_own(save, tiny_model, texts):
    base = tiny_model("bert", name="bare", depth=2)
    model, source = save(
        model=SentenceTransformer(modules=[base[0], Pooling(16, "cls"), Dense(16, 24)], device="cpu").eval()
    )

    found = teach(source, texts)[0]

    assert found.shape == (len(texts), 24)
    assert np.allclose(found, embed(model, texts), rtol=2e-3, atol=HALF)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_teacher_in_half_precision_computes_in_float32(save, tiny_model, texts, dtype):
    base = tiny_model("bert", name="bare", depth=2)
    model = SentenceTransformer(modules=[base[0], Pooling(16, "mean"), Dense(16, 24)], device="cpu").eval().to(dtype)
    _, source = save(model=model)
    assert {tensor.dtype for tensor in source.checkpoint.tensors.values()} == {
        "F16" if dtype == torch.float16 else "BF16"
    }

    found = teach(source, texts)[0]

    assert np.allclose(found, embed(model.float(), texts), rtol=2e-3, atol=HALF)


def with_prompt(base, pooling, *, include_prompt, prompt="the river "):
    """Return a sentence model with the encoder of a base and a default prompt."""
    modules = [base[0], Pooling(16, pooling, include_prompt=include_prompt), Normalize()]
    return SentenceTransformer(
        modules=modules, prompts={"query": prompt, "none": ""}, default_prompt_name="query", device="cpu"
    ).eval()


PROMPTED = [
    ("bert", "mean", "right"),
    ("bert", "cls", "right"),
    ("roberta", "mean", "left"),
    ("roberta", "cls", "left"),
    ("t5", "mean", "left"),
    ("llama", "mean", "left"),
    ("llama", "lasttoken", "left"),
    ("llama", "lasttoken", "right"),
]


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("kind", PROMPTED, ids=" ".join)
def test_training_embeds_behind_the_models_prompt_as_encode_does(tiny_model, texts, kind, include_prompt):
    model_type, pooling, padding_side = kind
    model = with_prompt(tiny_model(model_type, depth=3, max_seq_length=12), pooling, include_prompt=include_prompt)
    model.tokenizer.padding_side = padding_side

    found = embed_tokens(model, tokenize(model, texts), CPU, exits=(1, 3))

    encoder = encoder_of(model)
    assert np.allclose(found[1], embed(model, texts), rtol=0, atol=1e-5)
    assert not np.allclose(found[1], model.encode(texts, prompt=""), rtol=0, atol=1e-2)
    cut = with_encoder(model, prune_layers(encoder, LayerSelection((0,), 3)))
    assert np.allclose(found[0], embed(cut, texts), rtol=0, atol=1e-5)


def test_a_default_prompt_of_no_letters_is_none(tiny_model, texts):
    base = tiny_model(depth=2)

    found = tokenize(with_prompt(base, "mean", include_prompt=False, prompt=""), texts)

    assert found.prompt_length is None
    assert found.flat.tolist() == tokenize(base, texts).flat.tolist()


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("layers", [None, (0, 2)])
def test_a_teachers_own_prompt_is_given_at_every_exit(save, tiny_model, texts, layers, include_prompt):
    model, source = save(model=with_prompt(tiny_model(name="bare", depth=3), "mean", include_prompt=include_prompt))

    found = teach(source, texts, layers=layers)

    encoder = encoder_of(model)
    assert np.allclose(found[-1], embed(model, texts), rtol=0, atol=HALF)
    if layers is not None:
        cut = with_encoder(model, prune_layers(encoder, LayerSelection((0,), 3)))
        assert np.allclose(found[0], embed(cut, texts), rtol=0, atol=HALF)


def test_a_bare_encoder_without_a_length_of_its_own_teaches(tiny_encoder, tiny_tokenizer, tmp_path, texts):
    folder, tokenizer = tmp_path / "bare", tiny_tokenizer(0)
    tokenizer.init_kwargs.pop("model_max_length", None)
    tokenizer.model_max_length = int(1e30)  # the default of Transformers
    tiny_encoder("t5", depth=2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    source = SavedModel(str(folder), None, inspect_checkpoint(folder))

    found = teach(source, texts)

    expected = load_saved(source.checkpoint).encode(texts)
    assert np.allclose(found[0], expected, rtol=2e-3, atol=HALF)


@pytest.mark.parametrize(
    ("layers", "depths"),
    [
        (None, [4]),
        ((0, 1, 2, 3), [1, 2, 3, 4]),
        ((0, 2), [1, 4]),
        ((1, 3), [2, 4]),
        ((0, 1), [1, 4]),
        ((2,), [4]),
        ((1, 2, 3), [2, 3, 4]),
    ],
)
@pytest.mark.parametrize("model_type", ["bert", "t5"])
def test_the_exits_are_those_behind_the_followed_layers_and_the_last_is_the_teachers_own(
    save, texts, model_type, layers, depths
):
    model, source = save(model_type)
    encoder = encoder_of(model)

    found = teach(source, texts, layers=layers)

    assert len(found) == len(depths)
    for depth, vectors in zip(depths, found, strict=True):
        cut = with_encoder(model, prune_layers(encoder, LayerSelection(tuple(range(depth)), 4)))
        assert np.allclose(vectors, embed(cut, texts), rtol=0, atol=HALF)


def test_the_same_question_is_answered_without_loading_the_teacher(save, texts, loaded):
    _, source = save()
    ticks = []
    first = teach(source, texts)

    second = teach(source, texts, tick=lambda _: ticks.append(1))

    assert len(loaded) == 1
    assert not ticks
    assert second.dtype == first.dtype
    assert np.array_equal(first, second)


def test_a_teacher_that_lies_elsewhere_is_the_same(save, tmp_path, texts, loaded):
    _, source = save()
    elsewhere = shutil.copytree(source.folder, tmp_path / "elsewhere")
    copy = SavedModel("another name", "a commit", inspect_checkpoint(elsewhere))

    one, other = teach(source, texts), teach(copy, texts)

    assert len(loaded) == 1
    assert np.array_equal(one, other)


QUESTIONS = {
    "other texts": lambda texts: {"texts": [*texts[:-1], "a dog"]},
    "fewer texts": lambda texts: {"texts": texts[:-1]},
    "another order": lambda texts: {"texts": texts[::-1]},
    "layers": lambda texts: {"texts": texts, "layers": (0, 3)},
    "precision": lambda texts: {"texts": texts, "hardware": CPU_BFLOAT16},
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_question_is_another_entry(save, texts, loaded, entries, question):
    _, source = save()
    first = teach(source, texts)

    other = teach(source, **QUESTIONS[question](texts))

    assert len(loaded) == entries() == 2
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"pooling": "cls"}, {"max_seq_length": 6}], ids=["weights", "pooling", "length"]
)
def test_another_teacher_is_another_entry(save, texts, loaded, entries, change):
    first = teach(save()[1], texts)

    other = teach(save(name="other", **change)[1], texts)

    assert len(loaded) == entries() == 2
    assert not np.array_equal(first, other)


def test_bfloat16_is_close(save, texts):
    _, source = save(spread=0.05)

    found, expected = teach(source, texts, hardware=CPU_BFLOAT16), teach(source, texts)

    assert found.dtype == np.float16
    assert np.abs(found.astype(np.float32) - expected).max() < 0.03


def test_a_teacher_does_not_drop_anything_out(save, texts):
    model, source = save()
    model.train()

    assert np.array_equal(teach(source, texts), teach(source, texts, hardware=Hardware(CPU.device, bfloat16=False)))
    assert np.allclose(teach(source, texts)[0], embed(model.eval(), texts), rtol=0, atol=HALF)


def test_a_signal_ends_the_work_and_leaves_no_entry(save, texts, entries):
    _, source = save()
    ticks = []

    def interrupt_at_the_third(_):
        ticks.append(1)
        if len(ticks) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(source, texts, tick=interrupt_at_the_third, pieces_at_once=1)

    assert entries() == 0


@pytest.mark.parametrize("at_once", [1, 30, 8192])
def test_passes_hold_as_many_pieces_as_allowed_and_at_least_a_sentence(tiny_model, texts, monkeypatch, at_once):
    model = tiny_model(depth=2)
    tokens = tokenize(model, texts)
    expected = embed_tokens(model, tokens, CPU)
    sizes = []

    def see(features):
        sizes.append(features["input_ids"].numel())
        return forward(features)

    forward = model[0].forward
    monkeypatch.setattr(model[0], "forward", see)

    found = embed_tokens(model, tokens, CPU, pieces_at_once=at_once)

    assert all(size <= max(at_once, int(tokens.lengths.max())) for size in sizes)
    assert (len(sizes) == 1) == (at_once == 8192)
    assert np.allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 8192])
def test_a_sentence_without_a_piece_is_embedded_as_encode_does_it(tiny_model, at_once):
    model = tiny_model("llama", depth=2)
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A")
    texts = ["a man sings", "", "a dog"]
    tokens = tokenize(model, texts)
    assert tokens.lengths.tolist() == [3, 0, 2]

    found = embed_tokens(model, tokens, CPU, pieces_at_once=at_once)

    assert np.allclose(found[0], embed(model, texts), rtol=0, atol=1e-6)
