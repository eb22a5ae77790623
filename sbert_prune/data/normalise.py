"""Sentences in one spelling: for training, where every letter stays, and for telling whether two are the same."""

import re
import unicodedata

_LAYOUT = "\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
"""What only tells a display where to break a line or which way to write."""

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer: written without spaces between words."""

_HIDDEN = re.compile(f"[{_LAYOUT}\u200b-\u200d]")  # one class finds its characters ten times faster than alternatives do
_LAYOUT_ONLY = re.compile(f"[{_LAYOUT}]|(?<![{_SPACELESS}])\u200b|\u200b(?![{_SPACELESS}])")
_JOINERS = re.compile("[\u200c\u200d]+")

_VARIANTS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u02bc`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u0964\u0965\u06d4\u3002", "."),  # danda and double danda, and the full stops of Urdu and Chinese
    **dict.fromkeys("\u060c\u3001", ","),
    **{"\u061f": "?", "\u061b": ";"},
}
"""Quotes, dashes, full stops, commas and question marks as ASCII has them."""

_SELECTORS = "\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0000-\U000e0fff"
_FOLDED = re.compile(f"[{_LAYOUT}\u200b-\u200d{_SELECTORS}{''.join(_VARIANTS)}]")
_FOREIGN_DIGIT = re.compile(r"[^\x00-\x7f\D]")

_AT_THE_ENDS = " .,;:!?'\"-()[]{}|•*¡¿·…~_/"


def clean(text: str) -> str:
    """A text on its way into training: in Unicode's composed form (NFC), without what is invisible, and without white space at its ends.

    What goes: byte order marks, soft hyphens, word joiners, marks of direction, zero-width spaces. They tell a display where to break a
    line or which way to write; to a tokenizer they are pieces, or borders inside a word. Only inside Thai, Lao, Burmese or Khmer,
    which are written without spaces, does the zero-width space stay: there it separates words.
    What stays: zero-width joiners and non-joiners inside a word or behind a virama, where they are spelling (the eyelash r of
    Marathi, half forms in Hindi, final consonants in Malayalam and Bengali, Persian suffixes) or build an emoji. At the border of a
    word they join nothing, and go.
    """
    if text.isascii():
        return text.strip()
    if _HIDDEN.search(text):
        text = _JOINERS.sub(_joiner, _LAYOUT_ONLY.sub("", text))
    return unicodedata.normalize("NFC", text.strip())


def normalised(sentence: str) -> str:
    """What makes two sentences the same when data are split or searched for leaks; for comparing, never for training.

    Upper and lower case, white space, compatible forms (NFKC: "ﬁ" and "fi"), joiners and other invisible characters, the script of a digit
    ("१०" and "10"), kinds of quotes and dashes, and punctuation at the ends do not count. Accents and vowel signs do, and so does
    punctuation inside, where it can turn the meaning. Never empty for a sentence that is not.
    """
    text = sentence if sentence.isascii() else _folded(sentence)
    text = " ".join(text.casefold().split())
    return text.strip(_AT_THE_ENDS) or text or clean(sentence) or sentence


def _joiner(match: re.Match[str]) -> str:
    """The first of some joiners, or nothing where they join nothing."""
    text, before = match.string, match.string[match.start() - 1 : match.start()]
    behind_virama = bool(before) and unicodedata.combining(before) == 9
    return match[0][0] if behind_virama or (_joins(before) and _joins(text[match.end() : match.end() + 1])) else ""


def _joins(character: str) -> bool:
    """Whether it is a letter, a mark, a digit, or a symbol such as an emoji."""
    return bool(character) and unicodedata.category(character)[0] in "LMNS"


def _folded(sentence: str) -> str:
    text = unicodedata.normalize("NFKC", sentence)
    text = _FOLDED.sub(lambda match: _VARIANTS.get(match[0], ""), text)
    text = _FOREIGN_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
    return unicodedata.normalize("NFKC", text.casefold())
