"""Untrusted text made safe to print on one line: without line breaks and control characters."""

from __future__ import annotations

import unicodedata

_CONTROL = {"Cc", "Cf", "Cs"}
"""Unicode categories of control and format characters, and of lone surrogates, which UTF-8 cannot encode."""

_JOINERS = "\u200c\u200d"  # format characters that Indic scripts and emoji need


def one_line(text: str) -> str:
    """Collapse white space, including line breaks, into single spaces and drop control characters."""
    folded = " ".join(text.split())
    return "".join(char for char in folded if char in _JOINERS or unicodedata.category(char) not in _CONTROL)
