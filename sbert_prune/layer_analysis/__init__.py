"""Scores of the layers of a sentence model without training, and what each layer does."""
