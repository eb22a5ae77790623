"""The recipe: everything that it takes to build a variant again."""
