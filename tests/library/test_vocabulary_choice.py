"""A text whose pieces are all kept is cut into the same pieces again, for every kind of tokenizer."""

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from vocabularies import CORPUS, TOKENIZERS, byte_fallback, numbered

from sbert_prune.errors import DataError, EncoderError, RecipeError
from sbert_prune.recipe.values import VocabularyLimit
from sbert_prune.vocabulary.choose import choose_pieces
from sbert_prune.vocabulary.counts import count_pieces
from sbert_prune.vocabulary.tokenizer_json import Merges, differing_parts, named_ids, read_pieces, rewrite

KINDS = {"WordPiece": "bert", "Unigram": "xlm-roberta", "Unigram with odd scores": "camembert", "bytes": "roberta"}
KINDS |= {"bytes, added pieces behind": "modernbert", "byte fallback": "gemma3_text"}

words = st.sampled_from(sorted({word for sentence in CORPUS for word in sentence.split()}))
strange = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["☃", "雪", "a雪b", "🙂🙂", "aaaaaaa", "......", "[MASK]", "<s>", "ß"]
)
sentences = st.lists(words | words | words | strange, max_size=8).map(" ".join)
limits = st.floats(0.05, 1).map(lambda share: VocabularyLimit(coverage=share)) | st.integers(50, 500).map(
    VocabularyLimit
)


def parsed(model_type):
    return json.loads(TOKENIZERS[model_type]().backend_tokenizer.to_str())


def bare(tokenizer):
    return Tokenizer.from_str(json.dumps({**tokenizer, "truncation": None, "padding": None}))


def trimmed(tokenizer, corpus, limit):
    """Return the tokenizer with only the chosen pieces, and their old ids."""
    pieces = read_pieces(tokenizer)
    counts = count_pieces(bare(tokenizer), corpus)
    try:
        kept = choose_pieces(pieces, counts.occurrences, limit, named_ids(tokenizer))
    except RecipeError:
        assume(False)
    return bare(rewrite(tokenizer, {old: new for new, old in enumerate(kept)})), kept


def assert_same_pieces_where_all_survive(tokenizer, small, kept, texts):
    numbers = {old: new for new, old in enumerate(kept)}
    full = bare(tokenizer)
    for text in texts:
        before = full.encode(text)
        if numbers.keys() >= set(before.ids):
            after = small.encode(text)
            assert after.tokens == before.tokens
            assert after.ids == [numbers[number] for number in before.ids]
            assert after.offsets == before.offsets


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_whose_pieces_all_survive_is_cut_as_before(kind):
    tokenizer = parsed(KINDS[kind])

    @settings(max_examples=25, deadline=None)
    @given(
        corpus=st.lists(sentences, min_size=1, max_size=30),
        limit=limits,
        texts=st.lists(sentences, min_size=5, max_size=20),
    )
    def law(corpus, limit, texts):
        assume(any(text.strip() for text in corpus))
        small, kept = trimmed(tokenizer, [*corpus, "a"], limit)
        assert_same_pieces_where_all_survive(tokenizer, small, kept, texts)

    law()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    corpus=st.lists(st.text("abc ", min_size=1, max_size=12), min_size=3, max_size=12).filter(
        lambda texts: any(map(str.strip, texts))
    ),
    size=st.integers(265, 330),
    texts=st.lists(st.text("abcd ☃", max_size=16), min_size=5, max_size=20),
)
def test_a_text_whose_pieces_all_survive_is_cut_as_before_by_any_merges(corpus, size, texts):
    vocabulary, merges = byte_fallback.__wrapped__(size=60, corpus=corpus)
    model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    full = Tokenizer(model)
    full.add_special_tokens(["<pad>", "<unk>"])
    tokenizer = json.loads(full.to_str())

    small, kept = trimmed(tokenizer, [text for text in corpus if text.strip()], VocabularyLimit(pieces=size))

    assert_same_pieces_where_all_survive(tokenizer, small, kept, [*texts, *corpus])


@pytest.mark.parametrize("kind", KINDS)
def test_trimming_covers_some_sentences_and_loses_others(kind):
    tokenizer = parsed(KINDS[kind])

    small, kept = trimmed(tokenizer, CORPUS[:100], VocabularyLimit(coverage=0.97))

    survived = [set(kept) >= set(bare(tokenizer).encode(text).ids) for text in CORPUS]
    assert 20 < sum(survived) < 220
    assert_same_pieces_where_all_survive(tokenizer, small, kept, CORPUS)


def test_words_in_the_vocabulary_stay_whole_where_merges_are_ignored():
    tokenizer = parsed("roberta")
    tokenizer["model"]["ignore_merges"] = True
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:20]

    small, kept = trimmed(tokenizer, CORPUS, VocabularyLimit(coverage=0.97))

    assert_same_pieces_where_all_survive(tokenizer, small, kept, CORPUS)


def test_the_price_of_an_unknown_character_stays():
    """Without "rare", which sets its score, the unknown snowman and "a☃b" would cost less than the two pieces."""
    scores = [
        ("<unk>", 0.0),
        ("a", -1.0),
        ("b", -1.0),
        ("☃a", -12.0),
        ("☃b", -12.0),
        ("a☃b", -1.0),
        ("rare", -20.0),
        ("other", -3.0),
    ]
    tokenizer = json.loads(Tokenizer(models.Unigram(scores, unk_id=0)).to_str())

    small, _ = trimmed(tokenizer, ["☃a☃b a☃b"], VocabularyLimit(coverage=1.0))

    assert small.encode("☃a☃b").tokens == bare(tokenizer).encode("☃a☃b").tokens == ["☃a", "☃b"]
    assert set(small.get_vocab()) == {"<unk>", "a", "b", "☃a", "☃b", "a☃b", "rare"}


HAND = {"[UNK]": 0, "ab": 1, "a": 2, "b": 3, "##a": 4, "##b": 5, "ba": 6, "##ab": 7, "abab": 8, "rare": 9}


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ("all", range(10)),
        ("10", range(10)),
        ("5000", range(10)),
        ("5", [0, 2, 3, 4, 5]),
        ("6", [0, 2, 3, 4, 5, 8]),
        ("7", [0, 1, 2, 3, 4, 5, 8]),  # as frequent as "ba", but earlier
        ("9", [0, 1, 2, 3, 4, 5, 6, 7, 8]),  # what never occurs comes last, by id
        ("0.5", [0, 2, 3, 4, 5]),  # single characters make half of the ten occurrences
        ("0.51", [0, 2, 3, 4, 5, 8]),
        ("0.8", [0, 2, 3, 4, 5, 8]),
        ("0.81", [0, 1, 2, 3, 4, 5, 8]),
        ("1.0", [0, 1, 2, 3, 4, 5, 6, 8]),
    ],
)
def test_the_most_frequent_pieces_are_chosen(limit, kept):
    tokenizer = json.loads(Tokenizer(models.WordPiece(HAND, unk_token="[UNK]")).to_str())
    occurrences = Counter({2: 4, 5: 1, 8: 3, 1: 1, 6: 1})

    chosen = choose_pieces(read_pieces(tokenizer), occurrences, VocabularyLimit.parse(limit), ())

    assert list(chosen) == list(kept)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spare", [0, 1, 7, 20])
def test_a_number_of_pieces_is_met_exactly(kind, spare):
    pieces = read_pieces(parsed(KINDS[kind]))
    least = len(choose_pieces(pieces, Counter(), VocabularyLimit(coverage=1.0), ()))
    occurrences = count_pieces(bare(parsed(KINDS[kind])), CORPUS).occurrences

    kept = choose_pieces(pieces, occurrences, VocabularyLimit(pieces=least + spare), ())

    assert len(kept) == least + spare
    assert set(kept) >= pieces.irreplaceable()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kept_piece_can_still_be_built(kind):
    tokenizer = parsed(KINDS[kind])
    _, kept = trimmed(tokenizer, CORPUS, VocabularyLimit(coverage=0.95))
    pieces = read_pieces(tokenizer)
    texts = {text for text, number in pieces.numbers if number in set(kept)}

    if pieces.kind == "BPE":
        missing = {text: Merges(pieces.model).steps(text) - texts for text in texts}
        assert not any(missing.values())
    assert pieces.irreplaceable() <= set(kept)


def test_a_piece_needs_the_pieces_that_its_merges_pass_through():
    """Of the ways to split "abcd", merging in order of rank takes only one."""
    merges = Merges(
        {"merges": [["b", "c"], ["a", "bc"], ["ab", "c"], ["a", "b"], ["abc", "d"], ["ab", "cd"], ["c", "d"]]}
    )

    assert merges.steps("abcd") == {"a", "b", "c", "d", "bc", "abc"}
    assert merges.steps("a") == set()


def test_a_piece_that_its_characters_do_not_build_needs_every_half():
    merges = Merges({"merges": [["<0xE2>", "<0x98>"], ["<0xE2><0x98>", "<0x83>"]]})

    assert merges.steps("<0xE2><0x98><0x83>") == {"<0xE2>", "<0x98>", "<0x83>", "<0xE2><0x98>"}


def test_single_characters_stay_in_all_their_forms():
    pieces = numbered(["<unk>", "a", "##a", "a</w>", "##a</w>", "ab", "##ab", "ab</w>", "<0x0A>", "▁", "▁a"])
    model = models.BPE(
        vocab=pieces, merges=[], unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"
    )

    kept = read_pieces(json.loads(Tokenizer(model).to_str())).irreplaceable()

    assert kept == {pieces[piece] for piece in ("<unk>", "a", "##a", "a</w>", "##a</w>", "<0x0A>", "▁")}


def test_a_limit_below_what_must_stay_is_refused_with_the_least_that_works():
    pieces = read_pieces(parsed("bert"))
    least = len(pieces.irreplaceable())

    with pytest.raises(
        RecipeError, match=rf"vocabulary=7: {least} of this tokenizer's .* have to stay .*Ask for {least} or more"
    ):
        choose_pieces(pieces, Counter(), VocabularyLimit(pieces=7), ())


def test_a_kind_of_tokenizer_that_cannot_be_trimmed_is_named():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))

    with pytest.raises(EncoderError, match=r"of the kind WordLevel.* Supported kinds: WordPiece, Unigram, BPE"):
        read_pieces(json.loads(tokenizer.to_str()))


def test_every_tenth_text_is_held_out_and_blank_ones_count_for_nothing():
    texts = [text for number in range(25) for text in (f"a{number}", "  ")]
    tokenizer = Tokenizer(
        models.WordPiece({"[UNK]": 0, "a": 1, **{f"##{digit}": 2 + digit for digit in range(10)}}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    counts = count_pieces(tokenizer, iter(texts))

    assert counts.held_out == ("a9", "a19")
    assert counts.num_counted == 23
    assert counts.occurrences[1] == 23
    assert counts.occurrences[2 + 9] == 0
    assert len(counts.sample) == 10


def test_counting_goes_on_beyond_the_texts_that_are_held_out():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))

    counts = count_pieces(tokenizer, ("a" for _ in range(50)), max_held_out=2, batch_texts=3)

    assert (len(counts.held_out), counts.num_counted, counts.occurrences[1]) == (2, 48, 48)


@pytest.mark.parametrize("texts", [[], [" ", "\n"]])
def test_a_corpus_without_text_is_refused(texts):
    with pytest.raises(DataError, match=r"contains no text \(0 texts\)"):
        count_pieces(bare(parsed("bert")), texts)


ENDS = [("[SEP]", 3), ("[CLS]", 2)]
PROCESSORS = {
    "bert": processors.BertProcessing(*ENDS),
    "roberta": processors.RobertaProcessing(*ENDS),
    "template": processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ENDS),
    "sequence": processors.Sequence(
        [processors.ByteLevel(), processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ENDS)],
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_special_pieces_around_a_text_are_renumbered(name):
    pieces = numbered(("aa", "b", "[CLS]", "[SEP]", "[UNK]", "cc", "[PAD]"))
    full = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    full.post_processor = PROCESSORS[name]
    full.add_special_tokens(["[PAD]", "[EXTRA]"])
    full.enable_padding(pad_id=6, pad_token="[PAD]", length=5)
    tokenizer = json.loads(full.to_str())

    small = Tokenizer.from_str(json.dumps(rewrite(tokenizer, {1: 0, 2: 1, 3: 2, 4: 3, 6: 4, 7: 5})))

    assert named_ids(tokenizer) == {2, 3}
    assert small.encode("b").ids == [1, 0, 2, 4, 4]
    assert small.encode("b").tokens == ["[CLS]", "b", "[SEP]", "[PAD]", "[PAD]"]
    assert small.token_to_id("[EXTRA]") == 5


def test_parts_that_do_not_come_back_are_named():
    tokenizer = parsed("modernbert")
    other = json.loads(json.dumps(tokenizer))
    other["added_tokens"][0]["id"] += 1
    other["model"]["merges"].pop()

    assert differing_parts(tokenizer, other) == ["added_tokens", "the model's merges"]
    assert differing_parts(tokenizer, {**tokenizer, "padding": {"pad_id": 7}}) == []
