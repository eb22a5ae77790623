"""What a sentence model costs: parameters and bytes, time beside its base, and multiplications."""
