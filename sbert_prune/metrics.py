"""The names of the metrics that more than one module looks for."""

STS_DEV = "sts_dev/spearman_cosine"
"""What chooses."""

STS_TEST = "sts_test/spearman_cosine"
"""What a variant is judged by before all others."""

RETENTION = "quality/retention"
"""Share of the reference's STS_TEST."""
