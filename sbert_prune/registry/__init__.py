"""MLflow's model registry: versions, the policy for promotion, and its history."""
