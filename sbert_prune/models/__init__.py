"""Encoders and sentence models: their architectures, files and lineage."""
