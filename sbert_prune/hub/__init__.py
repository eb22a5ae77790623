"""Models and data sets of a hub, at one commit, in huggingface_hub's cache."""
