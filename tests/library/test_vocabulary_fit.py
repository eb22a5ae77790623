"""A tokenizer of the language passes; one of another language gives warnings with the reason."""

import itertools
import unicodedata

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from sbert_prune.errors import DataError
from sbert_prune.models.sources import locate_base
from sbert_prune.vocabulary.fit import measure_fit

WORDS = {
    "Latin": (
        ("the farmer", "my sister", "a teacher"),
        ("at home", "in the village"),
        ("reads a book", "cooks rice", "waters the trees"),
    ),
    "Devanagari": (
        ("शेतकरी", "माझी बहीण", "एक शिक्षिका"),
        ("घरी", "गावामध्ये"),
        ("पुस्तक वाचते", "भात शिजवतो", "झाडांना पाणी घालते"),
    ),
    "Tamil": (
        ("விவசாயி", "என் தங்கை", "ஒரு ஆசிரியர்"),
        ("வீட்டில்", "கிராமத்தில்"),
        ("புத்தகம் படிக்கிறார்", "சோறு சமைக்கிறார்", "மரங்களுக்கு நீர் ஊற்றுகிறார்"),
    ),
}
HINDI = ["मेरी बहन घर में किताब पढ़ती है।", "किसान गाँव में पेड़ों को पानी देता है।", "अध्यापिका चावल पकाती है।"]
TEXTS = {script: [" ".join(parts) + "." for parts in itertools.product(*words)] for script, words in WORDS.items()}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def wordpiece(texts, **normaliser):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**({"lowercase": False, "strip_accents": False} | normaliser))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIALS, show_progress=False)
    )
    return finished(tokenizer)


def unigram(texts):
    """Whole words, and letters for the rest; the trainer would want more text than this."""
    words = sorted({f"▁{word}" for text in texts for word in text.split()})
    letters = sorted({letter for text in texts for letter in text})
    vocabulary = [
        *((piece, 0.0) for piece in SPECIALS),
        *((word, -4.0) for word in words),
        *((letter, -9.0) for letter in letters),
    ]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return finished(tokenizer)


def byte_level(texts):
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(" ", "merged_with_next")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=alphabet, special_tokens=SPECIALS, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return finished(tokenizer)


def finished(tokenizer):
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def uncased_with_letters():
    """Return a tokenizer like English uncased BERTs: English words, Devanagari letters, no accents or vowel signs."""
    letters = sorted(
        {
            letter
            for text in [*TEXTS["Devanagari"], *HINDI]
            for letter in text
            if unicodedata.category(letter) in ("Lo", "Mc")
        }
    )
    english = sorted({word.strip(".") for text in TEXTS["Latin"] for word in text.split()})
    pieces = [*SPECIALS, "[MASK]", *english, ".", "।", *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})


def named(fit):
    """Which of the four warnings are given."""
    beginnings = {
        "unknown": "unknown piece",
        "lost": "drops",
        "pieces": "A word of",
        "cut": "of the texts have more than",
    }
    return {name for name, text in beginnings.items() if any(text in warning for warning in fit.warnings())}


@pytest.mark.parametrize("script", TEXTS)
@pytest.mark.parametrize("train", [wordpiece, unigram, byte_level])
def test_a_tokenizer_of_the_language_fits(train, script):
    fit = measure_fit(train(TEXTS[script]), TEXTS[script], 128)

    assert fit.script == script
    assert fit.warnings() == []


@pytest.mark.parametrize(
    ("build", "texts", "expected"),
    [
        (lambda: wordpiece(TEXTS["Latin"]), TEXTS["Devanagari"], {"unknown"}),
        (lambda: unigram(TEXTS["Latin"]), TEXTS["Tamil"], {"unknown"}),
        (lambda: byte_level(TEXTS["Latin"]), TEXTS["Devanagari"], {"pieces"}),
        (lambda: byte_level(TEXTS["Latin"]), TEXTS["Tamil"], {"pieces"}),
        (lambda: byte_level(TEXTS["Latin"]), HINDI, {"pieces"}),
        (lambda: wordpiece(TEXTS["Devanagari"], lowercase=True, strip_accents=True), TEXTS["Devanagari"], {"lost"}),
        (uncased_with_letters, TEXTS["Latin"], set()),
        (uncased_with_letters, TEXTS["Devanagari"], {"lost", "pieces"}),
        (uncased_with_letters, HINDI, {"lost", "pieces"}),
    ],
)
def test_a_tokenizer_of_another_language_is_named_for_what_is_wrong(build, texts, expected):
    assert named(measure_fit(build(), texts, 1000)) == expected


def test_the_embedded_base_fits_english_and_not_marathi():
    tokenizer = AutoTokenizer.from_pretrained(locate_base("quickstart").checkpoint.folder)

    english, marathi = (measure_fit(tokenizer, TEXTS[script], 128) for script in ("Latin", "Devanagari"))

    assert english.warnings() == []
    assert named(marathi) == {"unknown", "lost"}


def test_shares_are_counted_by_piece_and_by_word():
    tokenizer = uncased_with_letters()

    fit = measure_fit(tokenizer, ["the farmer reads", "xyz reads qqq village"], 5)

    assert fit.unknown_rate == 2 / 7
    assert fit.pieces_per_word == 1.0
    assert fit.num_texts == 2
    assert (
        fit.line()
        == "2 Latin texts: 28.6% unknown pieces, 1.00 pieces a word, 50.0% of the texts cut at 5 pieces (95% need 6 or "
        "fewer)"
    )


@pytest.mark.parametrize("build", [uncased_with_letters, lambda: byte_level(TEXTS["Latin"])])
@pytest.mark.parametrize("max_length", [6, 8, 9, 40, 200])
def test_truncated_is_the_share_that_the_tokenizer_would_cut(build, max_length):
    tokenizer, texts = build(), TEXTS["Latin"] + TEXTS["Devanagari"]
    whole = tokenizer(texts)["input_ids"]
    cut = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]

    fit = measure_fit(tokenizer, texts, max_length)

    assert fit.truncated == sum(left != right for left, right in zip(whole, cut, strict=True)) / len(texts)
    assert ("cut" in named(fit)) == (fit.truncated > 0.05)


def test_the_needed_length_is_enough_for_95_of_100_texts():
    tokenizer = uncased_with_letters()
    texts = ["book " * number for number in range(1, 101)]

    fit = measure_fit(tokenizer, texts, 50)
    again = measure_fit(tokenizer, texts, fit.needed_length)

    assert fit.needed_length == 97  # 95 words and two special pieces
    assert fit.truncated == 0.52
    assert "52% of the texts have more than max_seq_length=50 pieces" in fit.warnings()[0]
    assert "set max_seq_length=97" in fit.warnings()[0]
    assert again.truncated == 0.05
    assert again.warnings() == []


@pytest.mark.parametrize(
    ("normaliser", "text", "expected"),
    [
        (normalizers.Lowercase(), "ÉCOLE Straße", 0.0),
        (normalizers.NFD(), "école किताब", 0.0),
        (normalizers.NFKC(), "ﬁrst", 0.0),
        (normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]), "किताब", 0.0),
        (None, "किताब", 0.0),
        (normalizers.BertNormalizer(strip_accents=True), "मुलगे", 2 / 5),
        (normalizers.BertNormalizer(strip_accents=True), "école", 1 / 6),
        (normalizers.Replace("a", ""), "banana", 3 / 6),
    ],
)
def test_only_letters_and_marks_that_vanish_count_as_lost(normaliser, text, expected):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    if normaliser is not None:
        tokenizer.normalizer = normaliser

    fit = measure_fit(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]"), [text], 10)

    assert fit.lost_marks == expected


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("a किताब", "Devanagari"),
        ("12 + 5", "unknown"),
        ("ᱚᱞ ᱪᱤᱠᱤ", "Ol Chiki"),
        ("我在家看书", "Han"),
        ("집에서 책을", "Hangul"),
        ("на дому", "Cyrillic"),
    ],
)
def test_the_script_is_named_by_most_letters(text, script):
    assert measure_fit(wordpiece(TEXTS["Latin"]), [text], 10).script == script


def test_scripts_without_spaces_are_not_blamed_for_long_words():
    text = "我在家看书今天下雨"
    pieces = [*SPECIALS, "[MASK]", *text]
    tokenizer = BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})

    fit = measure_fit(tokenizer, [text], 20)

    assert fit.pieces_per_word == len(text)
    assert fit.warnings() == []


def test_the_tokenizer_stays_as_it_was():
    tokenizer = uncased_with_letters()
    tokenizer.backend_tokenizer.enable_truncation(5)
    before = tokenizer.backend_tokenizer.to_str()

    fit = measure_fit(tokenizer, TEXTS["Devanagari"], 128)

    assert fit.needed_length > 5
    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_no_text_is_refused(texts):
    with pytest.raises(DataError, match=f"{len(texts)} texts without a word. Give sentences"):
        measure_fit(uncased_with_letters(), texts, 128)
