"""Healing a pruned sentence model: two phases of fine-tuning, NLI then STS (arXiv 2409.14168)."""
