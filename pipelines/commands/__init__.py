"""The commands: each parses its parameters, calls one flow and prints; heavy imports are inside the functions."""
