"""Scoring the layers of a sentence model without training, to choose which to keep."""
