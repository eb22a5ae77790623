"""The commands: each parses, calls one flow and prints; heavy imports stand inside the functions."""
