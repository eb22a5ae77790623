"""Each known failure is detected from its metrics, and nothing is reported if all is well."""

import pytest

from sbert_prune.evaluation.diagnostics import Evidence, find_diagnostics

WELL = {
    "sts_test/spearman_cosine": 0.80,
    "sts_dev/spearman_cosine": 0.82,
    "geometry/anisotropy": 0.1,
    "classification/news_accuracy": 0.85,
    "classification/news_knn_accuracy": 0.80,
    "robustness/typos_drop": 0.05,
    "speed/speedup": 1.8,
    "speed/speedup_limit": 2.0,
}


def diagnose(own=None, reference=None, base=None, siblings=None):
    judged = Evidence(WELL | (own or {}), WELL | (reference or {}), base or {}, siblings or {})
    return find_diagnostics(judged)


def test_nothing_is_named_where_all_is_well():
    assert diagnose(base={"sts_test/spearman_cosine": 0.6}, siblings={"drop-top": 0.80, "drop-alternate": 0.81}) == []


@pytest.mark.parametrize(
    ("given", "name", "seen", "advice"),
    [
        ({"own": {"geometry/anisotropy": 0.95}}, "nearly collapsed", "0.95", "in-batch negatives"),
        (
            {"base": {"sts_test/spearman_cosine": 0.81}},
            "worse than the base as it was",
            "0.8000, the untouched base 0.8100",
            "more layers",
        ),
        (
            {"own": {"sts_test/spearman_cosine": 0.7, "sts_dev/spearman_cosine": 0.72}},
            "similarity lost, information kept",
            "0.100",
            "STS epochs",
        ),
        ({"own": {"classification/news_accuracy": 0.75}}, "similarity kept, information lost", "0.100", "distil_data"),
        (
            {
                "own": {
                    "classification/news_accuracy": 0.744,
                    "sts_test/spearman_cosine": 0.773,
                    "sts_dev/spearman_cosine": 0.802,
                }
            },
            "similarity kept, information lost",
            "0.106, STS test 0.027",
            "distil_data",
        ),
        (
            {"own": {"sts_test/spearman_cosine": 0.72, "classification/news_accuracy": 0.8}},
            "dev promises more than test keeps",
            "0.080",
            "dev pairs",
        ),
        (
            {"own": {"robustness/typos_drop": 0.15}},
            "less robust than the reference",
            "typos cost 0.100 more",
            "as your users write",
        ),
        (
            {"siblings": {"drop-top": 0.75, "drop-alternate": 0.80}},
            "strategies disagree",
            "drop-alternate 0.8000, drop-top 0.7500",
            "(drop-alternate)",
        ),
        ({"own": {"speed/speedup": 1.1}}, "slower than its size allows", "1.10x", "larger batches"),
    ],
)
def test_a_failure_is_named_with_its_numbers_and_what_to_try(given, name, seen, advice):
    found = diagnose(**given)

    assert [diagnostic.name for diagnostic in found] == [name]
    assert seen in found[0].seen
    assert advice in found[0].advice
    assert str(found[0]).startswith(f"{name}: ")


def test_what_was_not_measured_is_no_failure():
    assert find_diagnostics(Evidence({})) == []
    assert find_diagnostics(Evidence({"sts_test/spearman_cosine": 0.1}, {}, {})) == []


def test_what_changes_the_meaning_may_cost_more():
    assert diagnose(own={"robustness/negation_drop": 0.5}, reference={"robustness/negation_drop": 0.1}) == []
