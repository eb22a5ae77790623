"""Untrusted text made safe to print on one line: without line breaks and control characters."""

from __future__ import annotations

import regex

_CONTROL = regex.compile(r"(?V1)[\p{Cc}\p{Cf}\p{Cs}--\u200c\u200d]")
"""Control and format characters, except the joiners, which Indic scripts and emoji need; and lone surrogates, which
UTF-8 cannot encode."""


def one_line(text: str) -> str:
    """Collapse white space, including line breaks, into single spaces and drop control characters."""
    folded: str = _CONTROL.sub("", " ".join(text.split()))
    return folded
