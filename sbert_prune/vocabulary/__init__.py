"""Trimming: a sentence model with a smaller vocabulary, and so with fewer parameters."""

from sbert_prune.vocabulary.report import TrimReport
from sbert_prune.vocabulary.trimming import trim_vocabulary

__all__ = ["TrimReport", "trim_vocabulary"]
