"""The steps that make, judge and register a variant, and their commands."""
