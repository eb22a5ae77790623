"""The steps: each one MLflow run."""
