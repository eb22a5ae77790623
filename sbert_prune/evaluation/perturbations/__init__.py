"""Small changes of sentences, to test the robustness of a sentence model. Each change is deterministic."""

from sbert_prune.evaluation.perturbations.table import PERTURBATIONS, Perturbation

__all__ = ["PERTURBATIONS", "Perturbation"]
