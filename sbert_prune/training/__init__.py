"""Fine-tuning of a pruned sentence model in two phases, NLI then STS (arXiv 2409.14168)."""
