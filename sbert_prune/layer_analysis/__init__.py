"""Analysis of the layers of a sentence model, without training: importance scores and the effect of each layer."""
