"""Judging a sentence model: how good, how sure, how fast, how large."""
