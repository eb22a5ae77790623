"""`promote` and `rollback`: what may be promoted, what is refused, and the registry and its history afterwards."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient

from sbert_prune.registry.history import PRODUCTION, read_history
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.promotion import catch_up, promote
from sbert_prune.registry.reconcile import reconcile
from sbert_prune.registry.versions import find_version
from sbert_prune.tracking.store import connect
from tests.pipelines.made_versions import NAME, add_version, aliases, call, done, stages
from tests.stores import change_tags, tags_of

NEAR, AS_GOOD, WORSE = 0.05, 0.051, 0.3


@pytest.fixture
def reference(store_with) -> str:
    """A store with a reference as version 1."""
    return store_with("a reference", lambda: add_version(noise=NEAR, size=80, role="reference"))


def add_pair() -> None:
    add_version(noise=NEAR, size=80, role="reference")
    add_version(noise=AS_GOOD, size=20)


@pytest.fixture
def pair(store_with) -> str:
    """A store with a reference, and a variant that is as good, as version 2."""
    return store_with("a reference and a variant", add_pair)


def refused(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 4, result.output
    return result.output


def test_the_smallest_variant_that_is_not_worse_than_its_reference_is_promoted(reference):
    add_version(noise=AS_GOOD, size=40)
    add_version(noise=AS_GOOD, size=20)
    add_version(noise=WORSE, size=10)

    output = done("promote")

    assert aliases(reference) == {"champion": "3"}
    assert stages(reference) == {"1": "None", "2": "None", "3": "Production", "4": "None"}
    assert "the smallest of 3 variants that is not worse than its reference by more than 0.01 on dev" in output


def test_a_wider_margin_lets_a_smaller_one_pass_and_a_narrower_one_none(reference):
    add_version(noise=0.1, size=20)

    assert "version 2: it may be worse than its reference, version 1, by more than 0.01" in refused("promote")
    done("promote", "--margin", "0.1")
    assert aliases(reference) == {"champion": "2"}


@pytest.mark.parametrize(
    ("limit", "value", "answer"),
    [
        ("--max-size-mb", "15", "max_size_mb=15: size/disk_mb is 20"),
        ("--max-latency-ms", "1.5", "max_latency_ms=1.5: speed/latency_p50_ms is 2"),
        ("--min-retention", "0.99", "min_retention=0.99: quality/retention is 0.9490"),
    ],
)
def test_a_limit_refuses_what_is_above_it_and_lets_pass_what_is_not(pair, limit, value, answer):
    assert answer in refused("promote", limit, value)
    assert aliases(pair) == {}
    enough = "0.9" if limit == "--min-retention" else "20"
    done("promote", limit, enough)


@pytest.mark.parametrize(
    ("faulty", "answer"),
    [
        ({"roundtrip/max_abs_diff": float("nan")}, "its round trip through disk was not verified"),
        ({"roundtrip/max_abs_diff": 0.2}, "it did not come back as it was saved: embeddings differ by 0.2"),
        ({"with_pairs": False}, "say of the dev pairs was not kept"),
        ({"recipe": "other"}, "there is no reference in the registry to compare it with"),
    ],
    ids=["no round trip", "failed round trip", "no dev pairs", "no reference"],
)
def test_a_version_without_evidence_is_refused(reference, faulty, answer):
    add_version(noise=AS_GOOD, size=20, **faulty)

    assert answer in refused("promote")
    assert answer in refused("promote", "--version", "2")
    assert aliases(reference) == {}


def test_a_version_that_was_judged_on_other_pairs_than_the_champion_is_refused(pair):
    done("promote")
    add_version(noise=NEAR, size=80, role="reference", recipe="other")
    add_version(noise=AS_GOOD, size=10, recipe="other")

    assert "it was judged on dev pairs dev of other, the champion, version 2, on dev of r" in refused(
        "promote", "--version", "4"
    )
    assert aliases(pair) == {"champion": "2"}


def test_a_smaller_version_that_does_not_compare_with_the_champion_does_not_keep_others_from_it(pair):
    done("promote")
    add_version(noise=NEAR, size=80, role="reference", recipe="other")
    add_version(noise=AS_GOOD, size=5, recipe="other")
    add_version(noise=NEAR, size=9)

    done("promote")

    (_, event) = read_history(connect(), NAME).events
    assert aliases(pair) == {"champion": "5", "previous": "2"}
    assert event.reason.startswith("the smallest of 3 variants that is not worse than its reference")
    assert "passed over: version 4: it was judged on dev pairs dev of other" in event.reason


def test_a_version_that_is_no_better_than_the_champion_is_refused(pair):
    add_version(noise=0.06, size=25)
    done("promote", "--version", "2")

    assert "it is no better than the champion, version 2: 25.0 MB, dev 0.9" in refused("promote", "--version", "3")
    assert aliases(pair) == {"champion": "2"}


def test_the_champion_may_be_promoted_again_which_repairs_its_stage(pair):
    done("promote")
    MlflowClient(pair).transition_model_version_stage(NAME, "2", "Archived")

    assert "it held this stage already" in done("promote")
    assert stages(pair)["2"] == "Production"


def test_force_requires_version_and_reason_and_records_the_refusals(reference):
    add_version(noise=WORSE, size=10)

    for arguments in (("--force", "true"), ("--force", "true", "--version", "2"), ("--force", "true", "--reason", "x")):
        assert call("promote", *arguments).exit_code == 2
    assert aliases(reference) == {}

    done("promote", "--version", "2", "--force", "true", "--reason", "the demo is tomorrow")

    assert aliases(reference) == {"champion": "2"}
    (event,) = read_history(connect(), NAME).events
    assert event.reason.startswith("the demo is tomorrow; version 2 was asked for")
    assert "forced against: it may be worse than its reference" in event.reason


def test_a_registered_model_without_variants_has_nothing_to_promote(reference):
    assert "it has no pruned variant" in refused("promote")
    done("promote", "--version", "1")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--version", "7"], "version=7: m has no such version. It has 1."),
        (["--margin", "a"], "margin=a: write a number from 0 to 2"),
        (["--max-size-mb", "nan"], "max_size_mb=nan: write a number of at least 0"),
        (["--min-retention", "-1"], "write a number from 0 to 2"),
    ],
)
def test_a_mistake_is_named_and_nothing_moves(reference, arguments, answer):
    result = call("promote", *arguments)

    assert result.exit_code == 2
    assert answer in result.output
    assert aliases(reference) == {}
    assert read_history(connect(), NAME).events == ()


@pytest.mark.parametrize(
    ("tag", "value", "answer"),
    [
        ("machine", "another, 8 cores, cpu, 4 threads", "does not compare, measured on another, 8 cores"),
        ("machine", None, "measured on a machine that is not recorded"),
        ("disturbed", "other programs used 3.0 cores meanwhile", "other programs used 3.0 cores meanwhile. Measure it"),
    ],
)
def test_a_latency_of_other_conditions_is_not_compared_with_a_limit(pair, tag, value, answer):
    change_tags(MlflowClient(pair), NAME, "2", {f"sbert_prune.{tag}": value})

    assert answer in refused("promote", "--version", "2", "--max-latency-ms", "20")
    done("promote", "--version", "2")


def test_decisions_are_runs_of_the_experiment_of_the_version_without_its_quality(reference, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "r")
    add_version(noise=AS_GOOD, size=40)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")

    done("promote", "--version", "1")
    done("promote", "--version", "2")
    done("rollback")

    client = MlflowClient(reference)
    ids = ["0", client.get_experiment_by_name("r").experiment_id]
    steps = [[run.data.tags.get("sbert_prune.step") for run in client.search_runs([number])] for number in ids]
    assert steps == [["promote", None], ["rollback", "promote", None]]
    assert all(not run.data.metrics for run in client.search_runs(ids))


def test_a_promotion_archives_the_one_before_and_records_it_on_the_version(pair):
    done("promote", "--version", "1", "--reason", "to begin with")

    done("promote", "--version", "2", "--stage", "production")

    tags = MlflowClient(pair).get_model_version(NAME, "2").tags
    assert aliases(pair) == {"champion": "2", "previous": "1"}
    assert stages(pair) == {"1": "Archived", "2": "Production"}
    assert tags["sbert_prune.promoted_instead_of"] == "1"
    assert tags["sbert_prune.stage"] == "Production"
    assert "version 2 was asked for" in tags["sbert_prune.promoted_because"]
    assert {"sbert_prune.promoted_by", "sbert_prune.promoted_at"} <= set(tags)


def test_staging_moves_the_challenger_and_leaves_the_champion(reference):
    for size in (40, 20, 10):
        add_version(noise=AS_GOOD, size=size)
    done("promote", "--version", "2")

    done("promote", "--version", "3", "--stage", "Staging")
    assert aliases(reference) == {"champion": "2", "challenger": "3"}
    assert stages(reference) == {"1": "None", "2": "Production", "3": "Staging", "4": "None"}

    done("promote", "--version", "4", "--stage", "Staging")
    assert aliases(reference) == {"champion": "2", "challenger": "4"}
    assert stages(reference)["3"] == "Archived"

    done("promote", "--version", "4")
    assert aliases(reference) == {"champion": "4", "previous": "2"}
    assert stages(reference) == {"1": "None", "2": "Archived", "3": "Archived", "4": "Production"}


def test_the_champion_is_not_taken_out_of_production_for_staging(reference):
    done("promote", "--version", "1")

    result = call("promote", "--version", "1", "--stage", "Staging")

    assert result.exit_code == 2
    assert "is in Production, and is not taken out of it for Staging" in result.output
    assert aliases(reference) == {"champion": "1"}


def test_rollback_goes_back_step_by_step_and_skips_deleted_versions(reference):
    for size in (40, 30, 20):
        add_version(noise=AS_GOOD, size=size)
    for version in ("1", "2", "3", "4"):
        done("promote", "--version", version)
    MlflowClient(reference).delete_model_version(NAME, "3")

    assert "models:/m/2 is Production now, alias champion: it was slow" in done("rollback", "--reason", "it was slow")
    assert aliases(reference) == {"champion": "2", "previous": "1"}
    assert stages(reference) == {"1": "Archived", "2": "Production", "4": "Archived"}

    done("rollback")
    assert aliases(reference) == {"champion": "1"}

    result = call("rollback")
    assert result.exit_code == 2
    assert "no version to go back to" in result.output
    assert aliases(reference) == {"champion": "1"}

    done("promote", "--version", "4")
    assert aliases(reference) == {"champion": "4", "previous": "1"}


def test_a_champion_that_was_named_by_other_means_is_not_forgotten(pair):
    MlflowClient(pair).set_registered_model_alias(NAME, "champion", "1")

    done("promote", "--version", "2")
    done("rollback")

    assert aliases(pair) == {"champion": "1"}
    assert [event.what for event in read_history(connect(), NAME).events] == ["found", "promoted", "rolled back"]


def test_concurrent_promotions_end_in_one_state_that_matches_the_history(reference):
    numbers = [add_version(noise=AS_GOOD, size=size) for size in (40, 30, 20, 10)]
    stores = [connect() for _ in numbers]

    def catch_up_and_promote(store, number):
        listing = list_all(store, NAME)
        catch_up(store, listing)
        promote(store, listing, find_version(listing.versions, NAME, number), PRODUCTION, reason="at once", numbers={})

    for _ in range(3):
        with ThreadPoolExecutor(len(numbers)) as pool:
            list(pool.map(catch_up_and_promote, stores, numbers))

        champion = aliases(reference)["champion"]
        assert (
            champion
            == [event.version for event in read_history(stores[0], NAME).events if event.what == "promoted"][-1]
        )
        assert [version for version, stage in stages(reference).items() if stage == "Production"] == [champion]
        assert aliases(reference)["previous"] != champion
    history = read_history(stores[0], NAME)
    assert [event.what for event in history.events] == ["promoted"] * 3 * len(numbers), (
        "a decision was lost, or made up"
    )
    assert history.damage == ()


def test_an_interruption_between_alias_and_stage_is_reconciled_with_the_history(pair):
    done("promote", "--version", "1")
    done("promote", "--version", "2")
    client = MlflowClient(pair)
    client.set_registered_model_alias(NAME, "champion", "1")
    client.delete_registered_model_alias(NAME, "previous")
    client.transition_model_version_stage(NAME, "1", "Production")

    store = connect()
    reconcile(store, list_all(store, NAME))

    assert aliases(pair) == {"champion": "2", "previous": "1"}
    assert stages(pair) == {"1": "Archived", "2": "Production"}


def test_the_history_of_a_month(pair):
    done("promote", "--reason", "first")
    add_version(noise=WORSE, size=10)
    refused("promote", "--version", "3")
    add_version(noise=NEAR, size=19)
    done("promote", "--version", "4")
    done("rollback", "--reason", "wrong answers in Hindi")
    MlflowClient(pair).delete_model_version(NAME, "4")

    lines = done("history").splitlines()

    texts = [re.sub(r"^\S+ \S+  |^ +", "", line) for line in lines]
    begins = [" ".join(line.split()[:3]).rstrip(":,") for line in texts]
    assert begins == [
        "history of m",
        "registered version 1",
        "registered version 2",
        "promoted version 2",
        "registered version 3",
        "refused version 3",
        "promoted version 4",
        "rolled back Production",
        "deleted version 4",
        "now: champion is",
    ]
    text = "\n".join(lines)
    assert "first; the smallest of 1 variants" in text
    assert re.search(
        r"refused +version 3 for Production, version 2 stays, by \S+: it may be worse than its reference", text
    )
    assert re.search(r"promoted +version 4 \(no longer there\) to Production instead of version 2", text)
    assert re.search(r"rolled back +Production to version 2 from version 4, by \S+: wrong answers in Hindi", text)
    assert "sts_dev/spearman_cosine 0.9" in text
    assert lines[-1] == "now: champion is version 2"


def test_a_refusal_and_a_promotion_are_runs_with_their_reasons(reference):
    add_version(noise=WORSE, size=20)
    refused("promote", "--version", "2")
    done("promote", "--version", "1")

    client = MlflowClient(reference)
    runs = client.search_runs(["0"], "tags.sbert_prune.step = 'promote'", order_by=["attributes.start_time ASC"])
    assert [run.data.tags["sbert_prune.outcome"] for run in runs] == ["refused", "promoted"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "refusals.txt" in {item.path for item in client.list_artifacts(runs[0].info.run_id)}


def test_a_foreign_history_tag_stops_nothing(reference):
    client = MlflowClient(reference)
    client.set_registered_model_tag(NAME, "sbert_prune.history.000009-0123abcd", "not ours")

    done("promote", "--version", "1")

    assert [event.what for event in read_history(connect(), NAME).events] == ["promoted"]
    assert "sbert_prune.history.000010-" in " ".join(client.get_registered_model(NAME).tags)


def test_a_version_whose_bytes_are_gone_is_passed_over_and_refused(reference, tmp_path):
    add_version(noise=AS_GOOD, size=40)
    add_version(noise=AS_GOOD, size=20)
    lost = tags_of(MlflowClient(reference), NAME, "3")["sbert_prune.model_id"]
    shutil.rmtree(tmp_path / "mlruns" / "0" / "models" / lost / "artifacts" / "model.sentence_transformer")

    assert "its bytes are gone" in refused("promote", "--version", "3")
    done("promote")

    assert aliases(reference) == {"champion": "2"}


def test_a_trial_of_a_search_is_never_chosen_by_itself(uri):
    add_version(noise=0.01, size=20.0, role="reference")
    variant = add_version(noise=0.01, size=10.0)
    add_version(noise=0.01, size=1.0, role="trial")

    done("promote")

    assert MlflowClient().get_model_version_by_alias(NAME, "champion").version == int(variant)
