"""What a flow starts from: base, rows and texts, read and checked."""
