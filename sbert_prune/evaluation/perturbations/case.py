"""Capitals only, as with caps lock on."""

from __future__ import annotations


def in_other_case(sentence: str) -> str | None:
    """In capitals; small where all are capitals already. None where less than half of the letters have a case at all."""
    letters = [character for character in sentence if character.isalpha()]
    if 2 * sum(character.lower() != character.upper() for character in letters) < max(len(letters), 1):
        return None
    changed = sentence.upper()
    return changed if changed != sentence else sentence.lower()
