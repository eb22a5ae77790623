"""The recipe: everything needed to build a variant again."""
