"""What each layer of a sentence model does."""
