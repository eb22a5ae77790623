"""The rows and texts that a recipe names."""
