"""The search for layers and hyperparameters; the only package that imports Optuna."""
