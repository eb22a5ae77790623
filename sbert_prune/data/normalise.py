"""Normalisation of sentences: a light one for training, which keeps every letter, and a strong one for comparisons."""

import re
import unicodedata

_LAYOUT = "\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
"""Invisible characters that only control line breaks and writing direction."""

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer: written without spaces between words."""

_HIDDEN = re.compile(
    f"[{_LAYOUT}\u200b-\u200d]"
)  # one class finds its characters ten times faster than alternatives do
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
"""Quotes, dashes, full stops, commas and question marks, and their ASCII forms."""

_SELECTORS = "\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0000-\U000e0fff"
_FOLDED = re.compile(f"[{_LAYOUT}\u200b-\u200d{_SELECTORS}{''.join(_VARIANTS)}]")
_FOREIGN_DIGIT = re.compile(r"[^\x00-\x7f\D]")
_AT_THE_ENDS = " .,;:!?'\"-()[]{}|•*¡¿·…~_/"


def clean(text: str) -> str:
    """Return a text for training: in Unicode's composed form (NFC), without invisible characters, stripped.

    Removed: byte order marks, soft hyphens, word joiners, direction marks, zero-width spaces. They only control line
        breaks and writing
    direction; a tokenizer would make pieces of them, or word boundaries. The zero-width space stays inside Thai, Lao,
    Burmese and Khmer, which are written without spaces: there it separates words. Not removed: zero-width joiners and
    non-joiners inside a word or after a virama, where they are part of the spelling (the eyelash r of Marathi, half
    forms in Hindi, final consonants in Malayalam and Bengali, Persian suffixes) or of an emoji. At the edge of a word
    they join nothing, and are removed.
    """
    if text.isascii():
        return text.strip()
    if _HIDDEN.search(text):
        composed = unicodedata.normalize("NFC", _LAYOUT_ONLY.sub("", text))  # marks change places: joiners follow them
        text = _JOINERS.sub(_joiner, composed)
    return unicodedata.normalize("NFC", text.strip())


def normalised(sentence: str) -> str:
    """Return the form in which sentences are compared to split data or find leaks; it is never used for training.

    Two sentences are the same if they differ only in case, white space, compatible forms (NFKC: "ﬁ" and "fi"), joiners
    and other invisible characters, the script of a digit ("१०" and "10"), kinds of quotes and dashes, or punctuation at
    the ends. Accents, vowel signs and punctuation inside, which can change the meaning, make them different. Never
    empty for a sentence that is not.
    """
    text = sentence if sentence.isascii() else _folded(sentence)
    text = " ".join(text.casefold().split())
    return text.strip(_AT_THE_ENDS) or text or clean(sentence) or sentence


def _joiner(match: re.Match[str]) -> str:
    """Return the first of some joiners, or "" if they join nothing."""
    text, before = match.string, match.string[match.start() - 1 : match.start()]
    is_after_virama = bool(before) and unicodedata.combining(before) == 9
    return match[0][0] if is_after_virama or (_joins(before) and _joins(text[match.end() : match.end() + 1])) else ""


def _joins(character: str) -> bool:
    """Return whether a character is a letter, a mark, a digit, or a symbol such as an emoji."""
    return bool(character) and unicodedata.category(character)[0] in "LMNS"


def _folded(sentence: str) -> str:
    text = unicodedata.normalize("NFKC", sentence)
    text = _FOLDED.sub(lambda match: _VARIANTS.get(match[0], ""), text)
    text = _FOREIGN_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
    return unicodedata.normalize("NFKC", text.casefold())
