"""The flows: what a command does, as a sequence of steps."""
