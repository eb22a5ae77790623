"""File formats: csv, jsonl, parquet and others, read as tables of text."""
