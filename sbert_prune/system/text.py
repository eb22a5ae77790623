"""Text by others, made fit to be told in a line: nothing in it begins another one or steers a terminal."""

from __future__ import annotations

import unicodedata

_STEERING = {"Cc", "Cf", "Cs"}
"""Unicode categories of control and format characters, and of halves of surrogate pairs, which UTF-8 cannot hold."""

_JOINERS = "\u200c\u200d"  # Indic scripts and emoji are spelt with them


def one_line(text: str) -> str:
    """Fold white space, line ends too, and leave out control characters."""
    folded = " ".join(text.split())
    return "".join(each for each in folded if each in _JOINERS or unicodedata.category(each) not in _STEERING)
