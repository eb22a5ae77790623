"""Prune a sentence encoder to the smallest one that is provably good enough."""

__version__ = "0.1.0"
