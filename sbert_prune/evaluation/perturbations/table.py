"""All perturbations by name."""

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
"""Returns the changed sentence, the same in every call and process, or None if it does not apply."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of change.

    Attributes:
        neutral: The change for every language; None if it depends on the language.
        by_language: The changes by language, if they depend on it.
        keeps_meaning: Whether the sentence still has the same meaning.
    """

    neutral: Change | None = None
    by_language: Mapping[str, Change] = field(default_factory=dict)
    keeps_meaning: bool = field(kw_only=True)

    @property
    def languages(self) -> frozenset[str] | None:
        """Return the supported languages, or None for all."""
        return None if self.neutral is not None else frozenset(self.by_language)

    def change_for(self, language: str | None) -> Change | None:
        """Return the change for a language (None: unknown), or None if there is none for it."""
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
