"""Checks of the environment: one module a subject; each returns findings."""
