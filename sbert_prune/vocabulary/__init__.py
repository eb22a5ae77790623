"""Vocabulary trimming: the pieces that texts need least are removed from a sentence model with their embedding rows."""
