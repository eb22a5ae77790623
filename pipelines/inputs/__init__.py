"""The inputs of a flow: base, rows and texts, loaded and checked."""
