"""All perturbations by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sbert_prune.evaluation.perturbations.negation import LANGUAGES, negated_in
from sbert_prune.evaluation.perturbations.surface import (
    in_other_case,
    scrambled,
    with_dropped_words,
    with_other_numbers,
    with_other_punctuation,
    with_swapped_words,
    with_typos,
)

Change = Callable[[str], str | None]
"""A sentence -> the same one changed, the same in every call and process. None where it does not apply."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of change.

    neutral: the change for every language; None where it depends on the language, and then by_language has it.
    keeps_meaning: whether a reader still takes the sentence for the same one.
    """

    neutral: Change | None = None
    by_language: Mapping[str, Change] = field(default_factory=dict)
    keeps_meaning: bool = field(kw_only=True)

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages that it is for; None where it is for all."""
        return None if self.neutral is not None else frozenset(self.by_language)

    def change_for(self, language: str | None) -> Change | None:
        """The change for sentences of a language, None being an unknown one; None where there is no change for it."""
        return self.neutral or self.by_language.get(language or "")


PERTURBATIONS: dict[str, Perturbation] = {
    "typos": Perturbation(with_typos, keeps_meaning=True),
    "dropped_words": Perturbation(with_dropped_words, keeps_meaning=True),
    "swapped_words": Perturbation(with_swapped_words, keeps_meaning=True),
    "case": Perturbation(in_other_case, keeps_meaning=True),
    "punctuation": Perturbation(with_other_punctuation, keeps_meaning=True),
    "negation": Perturbation(
        by_language={language: negated_in(language) for language in LANGUAGES}, keeps_meaning=False
    ),
    "scrambled": Perturbation(scrambled, keeps_meaning=False),
    "numbers": Perturbation(with_other_numbers, keeps_meaning=False),
}
