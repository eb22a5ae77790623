"""Each distinct sentence is tokenised once, and features equal those of the tokenizer itself."""

import numpy as np
import pytest
import torch

from sbert_prune.training.batches import Examples, Tokens, digest_of, tokenize, tokenize_rows

CPU = torch.device("cpu")
LONG = "the man and the woman and the child is in the street and on the river and not quickly"
NUMBERED = [f"a man {number}" for number in range(2000)]
FEW = NUMBERED[:-1]


@pytest.fixture(autouse=True)
def entries(tmp_path, monkeypatch):
    """A function that returns the number of token entries in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda: len(list((tmp_path / "cache" / "sbert-prune" / "tokens").glob("*")))


def as_lists(tokens):
    return [tokens[number].tolist() for number in range(len(tokens))]


def alone(model, texts, **options):
    """Tokenise each text on its own."""
    return [
        model.tokenizer(text, truncation=True, max_length=model.max_seq_length, **options)["input_ids"]
        for text in texts
    ]


@pytest.mark.parametrize("max_seq_length", [4, 32])
@pytest.mark.parametrize("model_type", ["bert", "roberta", "t5", "llama"])
def test_features_are_those_of_the_tokenizers_own_padding(tiny_model, sentences, model_type, max_seq_length):
    model = tiny_model(model_type, max_seq_length=max_seq_length)
    texts = [*sentences[:9], LONG, ""]
    examples = tokenize_rows(model, [(text,) for text in texts])
    chosen = np.array([10, 4, 9, 0, 4])

    features = examples.features(chosen, CPU)

    expected = model.tokenizer(
        [texts[number] for number in chosen],
        padding=True,
        truncation=True,
        max_length=max_seq_length,
        return_tensors="pt",
    )
    assert features.keys() == {"input_ids", "attention_mask"}
    assert torch.equal(features["input_ids"], expected["input_ids"])
    assert torch.equal(features["attention_mask"], expected["attention_mask"])


def test_each_distinct_sentence_is_tokenised_once(tiny_model):
    model = tiny_model()

    examples = tokenize_rows(model, [("a man", "a dog"), ("a dog", "a man"), ("a man", "a man"), ("A man", "a man ")])

    assert examples.texts == ("a man", "a dog", "A man", "a man ")
    assert examples.index.tolist() == [[0, 1], [1, 0], [0, 0], [2, 3]]
    assert as_lists(examples.tokens) == alone(model, examples.texts)
    assert len(examples) == 4


def test_sentences_of_a_batch_come_column_after_column():
    examples = rows_of([[0, 1, 2], [3, 4, 5], [6, 7, 8]])

    assert examples.sentences(np.array([2, 0])).tolist() == [6, 0, 7, 1, 8, 2]


def rows_of(index, **parts):
    """Return rows of sentence numbers; sentence n has n pieces."""
    index = np.asarray(index, dtype=np.intp)
    lengths = np.arange(index.max() + 1)
    tokens = Tokens(np.repeat(lengths, lengths).astype(np.int32), np.cumsum(lengths))
    return Examples(tokens, index, parts.pop("labels", None), 0, **parts)


def test_tokens_are_counted_and_found_by_number():
    tokens = rows_of([[0, 4]]).tokens

    assert as_lists(tokens) == [[], [1], [2, 2], [3, 3, 3], [4, 4, 4, 4]]
    assert tokens.lengths.tolist() == [0, 1, 2, 3, 4]
    assert len(tokens) == 5


def test_the_width_of_a_row_is_that_of_its_longest_sentence():
    assert rows_of([[5, 1], [2, 9], [3, 3]]).widths.tolist() == [5, 9, 3]


def test_a_batch_holds_the_labels_and_targets_of_its_rows_and_columns():
    targets = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float16)
    index = [[0, 1], [2, 3], [0, 5], [4, 4]]
    examples = rows_of(index, labels=torch.tensor([0.1, 0.2, 0.3, 0.4]), targets=targets)
    chosen = [2, 0, 3]

    batch = examples.batch(np.array(chosen), CPU)

    assert batch.labels.tolist() == pytest.approx([0.3, 0.1, 0.4])
    assert batch.targets.dtype == torch.float32
    assert batch.targets.shape == (2, 2, 3, 5)
    for depth in range(2):
        for column in range(2):
            for place, row in enumerate(chosen):
                assert batch.targets[depth, column, place].tolist() == targets[depth, index[row][column]].tolist()


def test_targets_line_up_with_the_sentences_that_are_embedded():
    targets = np.arange(6, dtype=np.float16)[None, :, None]
    examples = rows_of([[0, 1], [2, 3], [0, 5]], targets=targets)
    rows = np.array([2, 0])

    found = examples.batch(rows, CPU).targets

    assert found.reshape(-1).tolist() == examples.sentences(rows).tolist()


def test_a_batch_without_labels_and_targets_has_none():
    batch = rows_of([[0, 1]]).batch(np.array([0]), CPU)

    assert batch.labels is None
    assert batch.targets is None


def test_classes_stay_whole_numbers():
    examples = rows_of([[0, 1], [1, 2]], labels=torch.tensor([2, 0]))

    assert examples.batch(np.array([1, 0]), CPU).labels.tolist() == [0, 2]
    assert examples.batch(np.array([1, 0]), CPU).labels.dtype == torch.int64


@pytest.mark.parametrize(("texts", "kept"), [(FEW, 0), (NUMBERED, 1)], ids=["1,999", "2,000"])
def test_many_sentences_are_kept_and_few_are_not(tiny_model, entries, texts, kept):
    model = tiny_model()

    first, second = tokenize(model, texts), tokenize(model, texts)

    assert entries() == kept
    assert as_lists(first) == as_lists(second)
    assert as_lists(first)[::400] == alone(model, texts[::400])


def test_what_was_tokenised_once_is_not_tokenised_again(tiny_model):
    ticks = []
    tokenize(tiny_model(), NUMBERED)

    found = tokenize(tiny_model(), NUMBERED, tick=lambda _: ticks.append(1))

    assert not ticks
    assert len(found) == len(NUMBERED)


def test_a_tokenizer_that_has_been_used_is_still_the_same(tiny_model, sentences, entries):
    model = tiny_model()
    tokenize(model, NUMBERED)
    model.encode(list(sentences))  # which sets padding and truncation

    tokenize(model, NUMBERED)

    assert entries() == 1


def lengthen(model):
    model.max_seq_length = 5


def cut_on_the_left(model):
    model.tokenizer.truncation_side = "left"


def add_a_piece(model):
    model.tokenizer.add_tokens(["man 7"])


@pytest.mark.parametrize("change", [lengthen, cut_on_the_left, add_a_piece])
def test_another_length_or_tokenizer_gives_other_tokens(tiny_model, entries, change):
    model = tiny_model(max_seq_length=4)
    one = as_lists(tokenize(model, NUMBERED))
    other_model = tiny_model(name="other", max_seq_length=4)
    change(other_model)

    other = as_lists(tokenize(other_model, NUMBERED))

    assert other != one
    assert other[::100] == alone(other_model, NUMBERED[::100])
    assert entries() == 2


def prompted(model, prompt):
    model.prompts, model.default_prompt_name = {"query": prompt}, "query"
    return model


def test_sentences_stand_behind_the_models_prompt_and_keep_their_own_words(tiny_model, sentences):
    model = prompted(tiny_model(), "the river ")
    texts = list(sentences[:5])

    examples = tokenize_rows(model, [(text,) for text in texts])

    features = examples.features(np.arange(5), CPU)
    assert as_lists(examples.tokens) == alone(model, [f"the river {text}" for text in texts])
    assert examples.texts == tuple(texts)
    assert features["prompt_length"] == model.preprocess(texts, prompt="the river ")["prompt_length"] == 3  # with [CLS]


def test_another_prompt_gives_other_tokens(tiny_model, entries):
    prompts = ["", "the river ", "the street "]

    found = [
        as_lists(tokenize(prompted(tiny_model(name=f"base {number}"), prompt), NUMBERED))
        for number, prompt in enumerate(prompts)
    ]

    again = tokenize(prompted(tiny_model(name="again"), "the street "), NUMBERED)
    assert as_lists(again) == found[2] != found[1] != found[0]
    assert again.prompt_length == 3
    assert entries() == 3


def test_other_texts_or_another_order_are_another_entry(tiny_model, entries):
    model = tiny_model()
    one = as_lists(tokenize(model, NUMBERED))

    backwards = as_lists(tokenize(model, NUMBERED[::-1]))

    assert backwards == one[::-1]
    assert entries() == 2


def test_many_sentences_are_tokenised_part_by_part(tiny_model):
    model, ticks = tiny_model(), []
    whole = as_lists(tokenize(model, FEW))

    parts = tokenize(model, FEW, tick=lambda _: ticks.append(1), at_once=600)

    assert as_lists(parts) == whole
    assert len(ticks) == 4


def test_a_signal_ends_the_work_and_leaves_no_entry(tiny_model, entries):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize(tiny_model(), NUMBERED, tick=interrupt, at_once=600)

    assert entries() == 0


def test_no_row_at_all_is_no_example(tiny_model):
    examples = tokenize_rows(tiny_model(), [])

    assert len(examples) == 0
    assert examples.texts == ()
    assert len(examples.tokens) == 0


@pytest.mark.parametrize("other", [("ab", "c"), ("a", "bc", ""), ("abc",), ("c", "ab"), ("1:a",), ()])
def test_a_digest_is_of_each_text_in_its_place(other):
    assert digest_of("a", "bc") != digest_of(*other)
    assert digest_of("a", "bc") == digest_of("a", "bc")
