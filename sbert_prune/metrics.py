"""The names of metrics that several modules use."""

STS_DEV = "sts_dev/spearman_cosine"
"""The metric that decides between variants."""

STS_TEST = "sts_test/spearman_cosine"
"""The main quality metric of a finished variant."""

RETENTION = "quality/retention"
"""The variant's STS_TEST divided by the reference's."""
