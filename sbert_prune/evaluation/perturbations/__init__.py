"""Sentences slightly changed, to see what a sentence model makes of it; the same sentence is always changed in the same way."""

from sbert_prune.evaluation.perturbations.table import PERTURBATIONS, Perturbation

__all__ = ["PERTURBATIONS", "Perturbation"]
