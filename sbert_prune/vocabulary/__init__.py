"""Trimming: a sentence model with a smaller vocabulary, and so with fewer parameters."""
