"""The cost of a sentence model: parameters and bytes, time compared with its base, and FLOPs."""
