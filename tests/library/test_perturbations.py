"""Perturbations change only what their name says, in every script, and are deterministic."""

import os
import subprocess
import sys
import time
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_texts import LANGUAGES as SMALL_TEXTS

from sbert_prune.evaluation.perturbations import PERTURBATIONS
from sbert_prune.evaluation.perturbations.language import language_of
from sbert_prune.evaluation.perturbations.negation import LANGUAGES, contains_negation
from sbert_prune.evaluation.perturbations.words import Words, clusters

NEUTRAL = {kind: row.neutral for kind, row in PERTURBATIONS.items() if row.neutral is not None}

SENTENCES = {
    "English": "In 1999 a man, who is 35 years old, was playing the guitar.",
    "Hindi": "एक लड़का १२ बच्चों के साथ बगीचे में खेल रहा है।",
    "Marathi": "दुसर्‍या महिलेच्या घरात २५ कुत्रे झोपले आहेत.",
    "Tamil": "ஒரு சிறுவன் ௨௫ நண்பர்களுடன் தோட்டத்தில் பாடுகிறான்.",
    "Telugu": "ఒక అబ్బాయి ౨౫ మంది స్నేహితులతో తోటలో పాడుతున్నాడు.",
    "Chinese": "他在2024年买了一部很贵的手机。",
    "Japanese": "彼は2024年に東京へ行きました。",
    "Urdu": "ایک لڑکا ۲۵ بچوں کے ساتھ باغ میں کھیل رہا ہے\u06d4",
}
WITHOUT_CASE = SENTENCES.keys() - {"English"}

words = st.sampled_from(
    sorted(
        {word for sentence in SENTENCES.values() for word in sentence.split()}
        | {"a", "the", "12", "don't", "(x)", "-5"}
    )
)
sentences = st.one_of(st.text(max_size=40), st.lists(words, min_size=1, max_size=25).map(" ".join))


def swapped_and_scrambled(sentence):
    """What the two say, where they say something."""
    return [text for kind in ("swapped_words", "scrambled") if (text := NEUTRAL[kind](sentence)) is not None]


@pytest.mark.parametrize("kind", NEUTRAL)
@settings(deadline=None)
@given(sentence=sentences)
@example("   ...  ")
@example("a a a a")
@example("ß ß ß")
def test_a_change_is_a_sentence_and_another_one(kind, sentence):
    changed = NEUTRAL[kind](sentence)

    if changed is None:
        return
    assert changed != sentence
    assert changed.strip()
    assert changed == NEUTRAL[kind](sentence)


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("kind", NEUTRAL)
def test_neutral_ones_reach_every_language(kind, language):
    changed = NEUTRAL[kind](SENTENCES[language])

    assert (changed is None) == (kind == "case" and language in WITHOUT_CASE)


def test_another_process_changes_the_same_without_torch():
    """Python seeds its own hash() differently in each."""
    script = (
        "import sys; from sbert_prune.evaluation.perturbations import PERTURBATIONS\n"
        "print([row.neutral(sys.argv[1]) for row in PERTURBATIONS.values() if row.neutral], 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, SENTENCES["English"]]

    said = [
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in "12"
    ]

    here = [change(SENTENCES["English"]) for change in NEUTRAL.values()]
    assert [one.stdout.strip() for one in said] == [f"{here} False"] * 2


def test_the_table_says_what_keeps_the_meaning_and_for_which_languages():
    keeping = {kind for kind, row in PERTURBATIONS.items() if row.keeps_meaning}
    bound = {kind: row.languages for kind, row in PERTURBATIONS.items() if row.languages is not None}

    assert keeping == {"typos", "dropped_words", "swapped_words", "case", "punctuation"}
    assert bound == {"negation": {"en", "hi", "mr", "ta", "te"}}
    assert PERTURBATIONS["negation"].change_for("de") is None
    assert PERTURBATIONS["negation"].change_for(None) is None


@settings(deadline=None)
@given(sentence=sentences)
def test_words_with_what_is_between_them_are_the_sentence(sentence):
    assert str(Words.of(sentence)) == sentence


@settings(deadline=None)
@given(sentence=sentences)
def test_another_order_keeps_the_words_and_what_is_between_them(sentence):
    before = Words.of(sentence)

    for after in map(Words.of, swapped_and_scrambled(sentence)):
        assert Counter(after.words) == Counter(before.words)
        assert after.gaps == before.gaps


def test_scrambled_moves_most_words_and_swapped_two():
    before = Words.of(SENTENCES["English"]).words

    swapped, scrambled = (Words.of(text).words for text in swapped_and_scrambled(SENTENCES["English"]))

    assert sum(map(str.__ne__, before, swapped)) == 2
    assert sum(map(str.__ne__, before, scrambled)) > len(before) / 2


def test_no_word_is_swapped_across_a_sign():
    assert NEUTRAL["swapped_words"]("yes, no; maybe") is None


@settings(deadline=None)
@given(sentence=sentences)
def test_dropping_leaves_the_other_words_whole(sentence):
    changed = NEUTRAL["dropped_words"](sentence)

    if changed is None:
        return
    dropped = Counter(Words.of(sentence).words) - Counter(Words.of(changed).words)
    assert Counter(Words.of(changed).words) < Counter(Words.of(sentence).words)
    assert 1 <= dropped.total() <= max(1, len(Words.of(sentence).words) // 10)
    assert not any(character.isdecimal() for word in dropped for character in word)


@pytest.mark.parametrize("sentence", ["not a 5", "वह न 5 है", "no no no", "1 2 3 4"])
def test_what_would_turn_the_meaning_is_not_dropped(sentence):
    changed = NEUTRAL["dropped_words"](sentence) or sentence

    assert [word for word in ("not", "no", "न", "5") if word in changed.split()] == [
        word for word in ("not", "no", "न", "5") if word in sentence.split()
    ]


@settings(deadline=None)
@given(sentence=sentences)
def test_typos_tear_no_letter_and_no_short_word(sentence):
    changed = NEUTRAL["typos"](sentence)

    if changed is None:
        return
    assert set(clusters(changed)) <= set(clusters(sentence))
    pairs = list(zip(sentence.split(), changed.split(), strict=True))
    assert all(before == after for before, after in pairs if len(clusters(before)) < 3)
    assert all(before[0] == after[0] for before, after in pairs)


@pytest.mark.parametrize("sentence", ["He is on it.", "१२३४ ५६", "12345 to 67890", "है में से"])
def test_short_words_and_numbers_have_no_typos(sentence):
    assert NEUTRAL["typos"](sentence) is None


@settings(deadline=None)
@given(sentence=sentences)
def test_other_numbers_change_digits_only_and_in_their_own_script(sentence):
    changed = NEUTRAL["numbers"](sentence)

    if changed is None:
        return
    differing = [(old, new) for old, new in zip(sentence, changed, strict=True) if old != new]
    assert differing
    assert all(old.isdecimal() and new.isdecimal() for old, new in differing)
    assert all(ord(old) - unicodedata.decimal(old) == ord(new) - unicodedata.decimal(new) for old, new in differing)


@pytest.mark.parametrize("zero", "0\u0966\u0be6\u0c66\u0660")
def test_a_number_does_not_begin_with_0_and_a_year_stays_in_its_century(zero):
    for number in range(1, 3000):
        written = "".join(chr(ord(zero) + int(digit)) for digit in str(number))

        changed = int(NEUTRAL["numbers"](written))

        assert len(str(changed)) == len(str(number))
        assert changed != number
        assert number < 1000 or changed // 100 == number // 100


@pytest.mark.parametrize("sentence", ["none here", "दो कुत्ते", "iPhone"])
def test_without_a_digit_no_number_changes(sentence):
    assert NEUTRAL["numbers"](sentence) is None


@pytest.mark.parametrize(
    ("sentence", "changed"),
    [
        ("A man plays.", "A MAN PLAYS."),
        ("A MAN PLAYS.", "a man plays."),
        ("Мужчина играет", "МУЖЧИНА ИГРАЕТ"),
        ("एक आदमी NDTV देखता है।", None),
        ("12 + 30", None),
    ],
)
def test_case_is_capitals_where_there_are_any(sentence, changed):
    assert NEUTRAL["case"](sentence) == changed


@pytest.mark.parametrize(
    ("sentence", "changed"),
    [
        ("A man, who isn't here, plays 3.5 games.", "A man who isn't here plays 3.5 games"),
        ('"Is it?" (he said) - no.', "Is it he said no"),
        ("A man plays", "A man plays."),
        ("It fell -5 degrees.", "It fell -5 degrees"),
        ("एक आदमी गिटार बजा रहा है।", "एक आदमी गिटार बजा रहा है"),
        ("एक आदमी गिटार बजा रहा है", "एक आदमी गिटार बजा रहा है।"),
        ("एक माणूस गिटार वाजवत आहे", "एक माणूस गिटार वाजवत आहे."),
        ("একজন লোক গান গায়", "একজন লোক গান গায়।"),
        ("ஒரு சிறுவன் பாடுகிறான்", "ஒரு சிறுவன் பாடுகிறான்."),
        ("今天天气很好", "今天天气很好。"),
        ("他来了、我走了。", "他来了 我走了"),
        ("ایک لڑکا کھیل رہا ہے", "ایک لڑکا کھیل رہا ہے\u06d4"),
        ("เขาไปตลาด", None),  # Thai has no full stop
        ("...", None),
    ],
)
def test_punctuation_goes_or_comes_as_the_script_has_it(sentence, changed):
    assert NEUTRAL["punctuation"](sentence) == changed


@settings(deadline=None)
@given(sentence=sentences)
def test_punctuation_changes_no_word(sentence):
    changed = NEUTRAL["punctuation"](sentence)

    if changed is None:
        return
    assert Words.of(changed).words == Words.of(sentence).words


@pytest.mark.parametrize(
    ("sentence", "changed"),
    [
        ("A man is playing a guitar.", "A man is not playing a guitar."),
        ("You can do it.", "You cannot do it."),
        ("A man holds a can of tea.", "A man does not hold a can of tea."),
        ("He has seen it.", "He has not seen it."),
        ("He has also seen it.", "He has not also seen it."),
        ("She has three children.", "She does not have three children."),
        ("I did my work.", "I did not do my work."),
        ("It would have been better.", "It would not have been better."),
        ("We're thrilled.", "We're not thrilled."),
        ("A girl watches a film.", "A girl does not watch a film."),
        ("A young woman carries a child.", "A young woman does not carry a child."),
        ("A few things to consider", "It is not true that a few things to consider"),
        ("Two dogs playing in the snow.", "Two dogs not playing in the snow."),
        ("The dogs run in the swimming pool.", "It is not true that the dogs run in the swimming pool."),
        ("Obama visits Berlin", "It is not true that Obama visits Berlin"),
        ("There are only two.", "It is not true that there are only two."),
        ("Is it raining?", None),
        ("Do it now.", None),
        ("It is not raining.", None),
        ("He doesn't play.", None),
        ("Nobody plays.", None),
    ],
)
def test_english_is_denied_as_english_is(sentence, changed):
    assert PERTURBATIONS["negation"].change_for("en")(sentence) == changed


@pytest.mark.parametrize(
    ("language", "sentence", "changed"),
    [
        ("hi", "वह गा रहा है।", "यह सच नहीं है कि वह गा रहा है।"),
        ("hi", "वह नहीं गा रहा है।", None),
        ("hi", "क्या वह गा रहा है?", None),
        ("mr", "तो गात आहे.", "हे खरे नाही की तो गात आहे."),
        ("mr", "तो आला नाही.", None),
        ("mr", "तो येणार नव्हता.", None),
        ("ta", "அவன் பாடுகிறான்.", "அவன் பாடுகிறான் என்பது உண்மையல்ல."),
        ("ta", "நல்ல மழை", "நல்ல மழை என்பது உண்மையல்ல."),  # "good" looks like a denial
        ("ta", "அவள் செல்லவில்லை.", None),
        ("ta", "எனக்கு தெரியாது.", None),
        ("te", "అతను పాడుతున్నాడు", "అతను పాడుతున్నాడు అనేది నిజం కాదు."),
        ("te", "ఆమె వెళ్ళలేదు.", None),
        ("te", "నాకు తెలియదు.", None),
    ],
)
def test_other_languages_are_denied_in_a_frame(language, sentence, changed):
    assert PERTURBATIONS["negation"].change_for(language)(sentence) == changed


@pytest.mark.parametrize("language", LANGUAGES)
@settings(deadline=None)
@given(who=st.integers(0, 5), where=st.integers(0, 4), deed=st.integers(0, 5))
def test_a_negated_sentence_contains_a_negation_and_is_not_negated_again(language, who, where, deed):
    negated = PERTURBATIONS["negation"].change_for(language)
    sentence = SMALL_TEXTS[language].sentence(who, where, deed)

    changed = negated(sentence)

    assert not any(contains_negation(word, language) for word in Words.of(sentence).words)
    assert any(contains_negation(word, language) for word in Words.of(changed).words)
    assert negated(changed) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_is_detected_from_many_sentences(language):
    texts = [
        SMALL_TEXTS[language].sentence(who, where, deed) for who in range(6) for where in range(5) for deed in range(6)
    ]

    assert language_of(texts) == language


@pytest.mark.parametrize(
    "sentence",
    [
        "De man speelt gitaar in de tuin en het is mooi weer, of niet?",
        "Der Mann spielt im Garten Gitarre und es ist schön.",
        "L'homme joue de la guitare dans le jardin et il fait beau.",
        "एउटा मान्छे बगैँचामा गितार बजाइरहेको छ र मौसम राम्रो छ",  # Nepali
        "一个男孩在公园里唱歌。",
        "12 + 30 = 42",
        "",
    ],
)
def test_another_language_is_not_taken_for_one_that_is_known(sentence):
    assert language_of([sentence] * 10) is None


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_clusters_are_the_text_and_none_begins_with_a_mark(text):
    found = clusters(text)

    assert "".join(found) == text
    assert not any(unicodedata.category(cluster[0])[0] == "M" for cluster in found[1:])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("गिटार", ["गि", "टा", "र"]),
        ("कुत्ता", ["कु", "त्ता"]),
        ("स्त्री", ["स्त्री"]),
        ("क्षत्रिय", ["क्ष", "त्रि", "य"]),
        ("शख़्स", ["श", "ख़्स"]),
        ("दुसर्‍या", ["दु", "स", "र्‍या"]),
        ("சிறுவன்", ["சி", "று", "வ", "ன்"]),
        ("వెళ్ళాను", ["వె", "ళ్ళా", "ను"]),
        ("ಕನ್ನಡ", ["ಕ", "ನ್ನ", "ಡ"]),
        ("ਸ੍ਰੀ", ["ਸ੍ਰੀ"]),
        ("ශ්\u200dරී", ["ශ්\u200dරී"]),
        ("ကမ္ဘာ", ["က", "မ္ဘာ"]),
        ("ខ្មែរ", ["ខ្មែ", "រ"]),
        ("เพลงน้ำ", ["เพ", "ล", "ง", "น้ำ"]),
        ("e\u0301a", ["e\u0301", "a"]),
        ("👨‍👩‍👧🇮🇳🇫🇷👍🏽", ["👨‍👩‍👧", "🇮🇳", "🇫🇷", "👍🏽"]),
    ],
)
def test_a_cluster_is_what_a_reader_takes_for_a_letter(word, expected):
    assert clusters(word) == expected


LONG = {
    "Latin letters": "abcdefghij" * 1000,
    "Chinese letters": "".join(map(chr, range(0x4E00, 0x4E00 + 10_000))),
    "Devanagari syllables": "\u0928\u092e\u0938\u094d\u0924\u0947" * 1700,
    "words": " ".join(["the", "dog", "can", "run", "12"] * 2000),
}


@pytest.mark.parametrize("kind", PERTURBATIONS)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_what_a_change_costs_grows_with_the_length_and_not_with_its_square(kind, text):
    row, quarter = PERTURBATIONS[kind], text[: len(text) // 4]

    for language in sorted(row.languages or [""]):
        change = row.change_for(language)
        assert any(  # four times as long: 4 and not 16
            _seconds(change, text) < 10 * _seconds(change, quarter) + 0.01 for _ in range(3)
        )


def _seconds(change, text):
    start = time.process_time()
    change(text)
    return time.process_time() - start
