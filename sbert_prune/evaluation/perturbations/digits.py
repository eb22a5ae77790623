"""Other numbers, written as the ones before."""

from __future__ import annotations

import re
import unicodedata

from sbert_prune.evaluation.perturbations.chance import Chance

_NUMBER = re.compile(r"\d+(?:[.,:\u066b\u066c]\d+)*")  # 1,200, 3.5 and 10:30 are one each
_YEAR = re.compile(r"[12]\d{3}")


def with_other_numbers(sentence: str) -> str | None:
    """One digit of every number becomes another one of the same script. None without a digit.

    A number does not begin with 0 unless it did so before; a year stays in its century.
    """
    chance = Chance("numbers", sentence)
    changed = _NUMBER.sub(lambda match: _other(match[0], chance), sentence)
    return changed if changed != sentence else None


def _other(number: str, chance: Chance) -> str:
    values = [int(character) if character.isdecimal() else None for character in number]
    places = [place for place, value in enumerate(values) if value is not None]
    place = chance.pick(places[2:] if _YEAR.fullmatch("".join(map(str, values))) else places)
    old = unicodedata.decimal(number[place])
    new = chance.pick([value for value in range(10) if value != old and (value > 0 or place > 0)])
    return number[:place] + chr(ord(number[place]) - old + new) + number[place + 1 :]
