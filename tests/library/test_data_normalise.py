"""Sentences that differ only in how they were typed are the same; cleaning keeps every letter."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sbert_prune.data.normalise import clean, normalised

EYELASH = "दुसर\u094d\u200dया"
CHILLU = "അവന\u0d4d\u200d"
FAMILY = "\U0001f469\u200d\U0001f680"

LETTERS = "aB1\u00e9e\u0301\u00df\u0967\u0930\u094d\u093e\ufb01\ufe0f"
BETWEEN = " \t\n.,?!'\u2019\"\u201d-\u2013()\u0964\u200b\u200c\u200d\u200e\u00ad\ufeff"
mixed = st.text(alphabet=LETTERS + BETWEEN, max_size=14)


@pytest.mark.parametrize(
    "text",
    [
        EYELASH,
        "एक ज\u094d\u200dया आहे",
        f"{CHILLU} വന്നു",
        "वाक\u094d\u200c नाही",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        f"चला {FAMILY} !",
        "ไทย\u200bภาษา",
        "plain, with  two spaces and a tab\tinside",
    ],
)
def test_characters_of_the_spelling_stay(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffa man", "a man"),
        ("  a man \n", "a man"),
        ("घर, \u200b\u200bअंगण", "घर, अंगण"),
        ("beau\u00adtiful", "beautiful"),
        ("\u200e\u0628\u06cc\u062a\u200f .", "\u0628\u06cc\u062a ."),
        ("\u2066एक\u2069", "एक"),
        ("खेळतो\u200d तो", "खेळतो तो"),
        ("आणि \u200cपुणे", "आणि पुणे"),
        ("\u200dएक\u200d\u200d", "एक"),
        ("दुसर\u094d\u200b\u200d\u200dया", EYELASH),
        ("cafe\u0301", "caf\u00e9"),
        ("प\u095cना", "प\u0921\u093cना"),
        ("\u200b\ufeff", ""),
    ],
)
def test_invisible_characters_are_removed(text, expected):
    assert clean(text) == expected


@example("\u0301\u094d\u200c")  # composed, the virama stands before the accent, and the joiner joins nothing
@settings(deadline=None)
@given(text=mixed)
def test_cleaning_is_done_once_and_changes_no_meaning(text):
    once = clean(text)

    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not once or normalised(once) == normalised(text)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("A man  sings.", "a MAN sings"),
        ("एक माणूस गातो।", "एक माणूस गातो"),
        ("एक आदमी गाता है ॥", "एक आदमी गाता है ।"),
        ("\u201cIt is late\u201d", "It is late!"),
        ("He doesn\u2019t sing \u2014 today", "he doesn't sing - today"),
        ("१० मुले", "10 मुले"),
        ("caf\u00e9", "cafe\u0301"),
        (EYELASH, EYELASH.replace("\u200d", "")),
        ("I \u2764\ufe0f it", "i \u2764 it"),
        ("the \ufb01rst", "the first"),
        ("Straße", "STRASSE"),
        ("non\u00a0breaking", "non breaking"),
        ("کتاب\u06d4", "کتاب"),
    ],
)
def test_the_same_sentence_is_the_same(left, right):
    assert normalised(left) == normalised(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("किल", "कल"),
        ("the r\u00e9sum\u00e9", "the resume"),
        ("let's eat, grandma", "let's eat grandma"),
        ("it grew by 5%", "it grew by 5"),
        ("he knows C++", "he knows C"),
        ("a 1.5 mile run", "a 15 mile run"),
        ("?", "!"),
    ],
)
def test_different_sentences_stay_different(left, right):
    assert normalised(left) != normalised(right)


@settings(deadline=None)
@given(text=mixed)
def test_normalising_is_done_once_and_never_empty(text):
    form = normalised(text)

    assert normalised(form) == form
    assert bool(form) == bool(text)
    assert normalised(unicodedata.normalize("NFD", text)) == form or not text.strip()
