"""MLflow runs: their metrics, artifacts, and the queue for what could not be recorded."""
