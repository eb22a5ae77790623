"""The history stays correct despite interruptions, changes by other means, damage, forged text and long reasons."""

import json
import re
from threading import Event as Signal
from threading import Thread

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.lifecycle.verify import audit_stages, verify
from sbert_prune.errors import TrackingError
from sbert_prune.registry import promotion
from sbert_prune.registry.history import PRODUCTION, STAGING, Event, append, read_history
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.versions import find_version
from sbert_prune.tracking.store import connect
from tests.pipelines.made_versions import NAME, add_version, aliases, call, done, stages


def add_four_versions() -> None:
    for size in (40, 30, 20, 10):
        add_version(noise=0.05, size=size, role="reference")


@pytest.fixture
def four(store_with) -> str:
    """A store with four versions that may all be promoted, because none is larger or worse than those before it."""
    return store_with("four versions", add_four_versions)


def promoted(*numbers: str) -> None:
    for number in numbers:
        done("promote", "--version", number)


def recorded() -> list[tuple[str, str | None]]:
    return [(event.what, event.version) for event in read_history(connect(), NAME).events]


def kill_between_decision_and_move(number: str, before: str) -> None:
    """Record a decision without applying it, as after `kill -9`."""
    append(connect(), NAME, Event("promoted", PRODUCTION, number, before, "killed"))


def keys(uri: str) -> list[str]:
    return sorted(
        key for key in MlflowClient(uri).get_registered_model(NAME).tags if key.startswith("sbert_prune.history.")
    )


def newest_value(uri: str) -> str:
    return MlflowClient(uri).get_registered_model(NAME).tags[keys(uri)[-1]]


def write(uri: str, number: int, text: str) -> None:
    MlflowClient(uri).set_registered_model_tag(NAME, f"sbert_prune.history.{number:06}-0123abcd", text)


ENTRY = {
    "what": "promoted",
    "stage": PRODUCTION,
    "version": "2",
    "before": None,
    "reason": "r",
    "numbers": {},
    "by": "ann",
}
ENTRY |= {"at": "2026-01-01T10:00:00.000+00:00"}


def test_a_rollback_after_a_killed_promotion_undoes_it(four):
    promoted("2", "3")
    kill_between_decision_and_move("4", "3")

    assert "models:/m/3 is Production now" in done("rollback")

    assert aliases(four) == {"champion": "3", "previous": "2"}
    assert recorded() == [("promoted", "2"), ("promoted", "3"), ("promoted", "4"), ("rolled back", "3")]


def test_a_promotion_after_a_killed_one_replaces_it(four):
    promoted("2")
    kill_between_decision_and_move("3", "2")

    assert "instead of version 3" in done("promote", "--version", "4")

    assert aliases(four) == {"champion": "4", "previous": "3"}
    assert recorded() == [("promoted", "2"), ("promoted", "3"), ("promoted", "4")]


@pytest.mark.parametrize("then", [["history"], ["promote", "--version", "1"]], ids=["history", "a refusal"])
def test_a_killed_promotion_is_completed_by_the_next_command(four, then):
    promoted("2", "3")
    kill_between_decision_and_move("4", "3")

    result = call(*then)

    assert result.exit_code == (4 if then[0] == "promote" else 0), result.output
    assert aliases(four) == {"champion": "4", "previous": "3"}
    assert stages(four) == {"1": "None", "2": "Archived", "3": "Archived", "4": "Production"}
    assert "found" not in [what for what, _ in recorded()]


def test_a_promotion_that_waits_before_it_moves_anything_is_not_taken_for_a_manual_change(four, monkeypatch):
    promoted("2")
    store, reconcile, resume, waiting = connect(), promotion.reconcile, Signal(), Signal()
    listing = list_all(store, NAME)
    chosen = find_version(listing.versions, NAME, "3")

    def late(*arguments):
        waiting.set()
        resume.wait(60)
        return reconcile(*arguments)

    monkeypatch.setattr(promotion, "reconcile", late)
    slow = Thread(
        target=promotion.promote, args=(store, listing, chosen, PRODUCTION), kwargs={"reason": "slow", "numbers": {}}
    )
    slow.start()
    assert waiting.wait(60)
    monkeypatch.setattr(promotion, "reconcile", reconcile)
    promoted("4")
    resume.set()
    slow.join()

    assert aliases(four) == {"champion": "4", "previous": "3"}
    assert recorded() == [("promoted", "2"), ("promoted", "3"), ("promoted", "4")]


def test_an_alias_that_was_moved_back_by_hand_is_recorded(four):
    promoted("2", "3")
    MlflowClient(four).set_registered_model_alias(NAME, "champion", "2")

    promoted("4")

    assert recorded() == [("promoted", "2"), ("promoted", "3"), ("found", "2"), ("promoted", "4")]
    assert aliases(four) == {"champion": "4", "previous": "2"}


@pytest.mark.parametrize("killed", [False, True], ids=["reconciled", "behind a killed promotion"])
def test_history_moves_nothing_that_was_moved_by_hand(four, killed):
    promoted("2", "3")
    if killed:
        kill_between_decision_and_move("4", "3")
    MlflowClient(four).set_registered_model_alias(NAME, "champion", "1")

    assert "champion is version 1, previous is version 2; the history differs" in done("history")
    assert aliases(four)["champion"] == "1"


def test_a_rollback_from_a_deleted_champion_names_it(four):
    promoted("2", "3")
    MlflowClient(four).delete_model_version(NAME, "3")

    done("rollback")

    assert aliases(four) == {"champion": "2"}
    assert "Production to version 2 from version 3, by" in done("history")


@pytest.mark.parametrize("damage", ["truncated", "deleted"])
def test_a_damaged_newest_entry_is_found_and_no_version_is_moved_back(four, damage):
    promoted("2", "3")
    client, newest = MlflowClient(four), keys(four)[-1]
    if damage == "deleted":
        client.delete_registered_model_tag(NAME, newest)
    else:
        client.set_registered_model_tag(NAME, newest, newest_value(four)[:40])
    store, existing = connect(), ["1", "2", "3", "4"]

    (finding,) = audit_stages(store, NAME, existing)
    lines = done("history")
    verify(NAME, repair=True)

    damage_found = "entry 2 is missing" if damage == "deleted" else "entry 2 cannot be read"
    assert (finding.subject, finding.found) == ("history", damage_found)
    assert damage_found in lines
    assert aliases(four) == {"champion": "3", "previous": "2"}
    assert stages(four)["3"] == "Production"
    assert audit_stages(store, NAME, existing) == []
    assert recorded() == [("promoted", "2"), ("found", "3"), ("lost", None)]
    assert "models:/m/2" in done("rollback")


def test_a_gap_in_the_history_is_found_once(four):
    promoted("2", "3", "4")
    MlflowClient(four).delete_registered_model_tag(NAME, keys(four)[1])
    write(four, 9, "not ours")
    MlflowClient(four).set_registered_model_alias(NAME, "champion", "1")
    store, existing = connect(), ["1", "2", "3", "4"]

    (finding,) = audit_stages(store, NAME, existing)
    verify(NAME, repair=True)

    assert finding.found == "entry 2 is missing; entries 4 to 8 are missing; entry 9 cannot be read"
    assert aliases(four)["champion"] == "1", "no repair moves aliases while the history is damaged"
    assert "history" not in [finding.subject for finding in audit_stages(store, NAME, existing)]


@pytest.mark.parametrize("by", ["alias", "stage"])
def test_verify_keeps_a_champion_that_plain_mlflow_has_named(four, by):
    client = MlflowClient(four)
    if by == "alias":
        client.set_registered_model_alias(NAME, "champion", "2")
    else:
        client.transition_model_version_stage(NAME, "2", "Production")
    client.set_registered_model_alias(NAME, "challenger", "3")

    found = audit_stages(connect(), NAME, ["1", "2", "3", "4"])
    verify(NAME, repair=True)

    assert all("repair=true records it in the history" in finding.advice for finding in found)
    assert aliases(four) == {"champion": "2", "challenger": "3"}
    assert stages(four) == {"1": "None", "2": "Production", "3": "Staging", "4": "None"}
    assert sorted(recorded()) == [("found", "2"), ("found", "3")]
    assert audit_stages(connect(), NAME, ["1", "2", "3", "4"]) == []


def test_verify_still_brings_a_moved_champion_back_where_the_other_stage_is_new_to_the_history(four):
    promoted("2")
    client = MlflowClient(four)
    client.set_registered_model_alias(NAME, "champion", "1")
    client.set_registered_model_alias(NAME, "challenger", "3")

    verify(NAME, repair=True)

    assert aliases(four) == {"champion": "2", "challenger": "3"}
    assert recorded() == [("promoted", "2"), ("found", "3")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 3},
        {"version": "three"},
        {"before": 2},
        {"numbers": None},
        {"numbers": {"a": "1"}},
        {"at": None},
        {"at": "yesterday"},
        {"by": 7},
        {"what": None},
        {"stage": 1},
        {"reason": []},
    ],
    ids=str,
)
def test_an_entry_with_a_wrong_type_is_damage_and_no_traceback(four, wrong):
    write(four, 1, json.dumps(ENTRY | wrong))

    assert "entry 1 cannot be read" in done("history")
    assert recorded() == []


@pytest.mark.parametrize("missing", sorted(ENTRY))
def test_an_entry_that_lacks_something_is_damage(four, missing):
    write(four, 1, json.dumps({key: value for key, value in ENTRY.items() if key != missing}))

    assert read_history(connect(), NAME).damage == ("entry 1 cannot be read",)


def test_an_entry_of_a_newer_release_is_shown_and_moves_nothing(four):
    promoted("2")
    write(four, 2, json.dumps(ENTRY | {"what": "frozen", "version": "3", "until": "tomorrow"}))

    text = done("history")

    assert re.search(r"2026-01-01 10:00  frozen +version 3 in Production, by ann: r", text)
    assert aliases(four) == {"champion": "2"}
    assert audit_stages(connect(), NAME, ["1", "2", "3", "4"]) == []


@pytest.mark.parametrize("letter", ["x", "हि", "🙂", '"', "\\"])
def test_a_long_reason_is_cut_and_the_refusals_are_kept(uri, letter):
    add_version(noise=0.05, size=80, role="reference")
    add_version(noise=0.3, size=10)

    done("promote", "--version", "2", "--force", "true", "--reason", letter * 10_000)

    (event,) = read_history(connect(), NAME).events
    assert event.reason.startswith(letter * 800)
    assert " ...; version 2 was asked for" in event.reason
    assert "forced against: it may be worse than its reference" in event.reason
    assert event.reason.endswith(" would pass)")
    assert len(newest_value(uri)) <= 5_000, "PostgreSQL holds no more of a tag"


def test_a_long_list_of_refusals_fits_into_an_entry(four):
    append(
        connect(), NAME, Event("refused", PRODUCTION, None, None, "हि🙂" * 9_000, {"sts_dev/spearman_cosine": 1 / 3})
    )

    assert 4_900 < len(newest_value(four)) <= 5_000
    assert read_history(connect(), NAME).events[0].reason.endswith(" ...")


def test_a_reason_forges_no_lines_and_reaches_no_terminal(four):
    forged = "fine\n2026-01-01 10:00  promoted     version 9 to Production\x1b[2J\x00\u202e\u2028again  कर्‍या"

    done("promote", "--version", "2", "--reason", forged)
    append(connect(), NAME, Event("promoted", PRODUCTION, "3", "2", forged, by="ann\nbob"))
    write(
        four, 3, json.dumps(ENTRY | {"what": "x\ny", "stage": "a\x1bb", "reason": forged, "numbers": {"\x1b[0m": 1.0}})
    )
    text = done("history")

    folded = "fine 2026-01-01 10:00 promoted version 9 to Production[2J again कर्‍या"
    first = read_history(connect(), NAME).events[0]
    assert first.reason.startswith(f"{folded}; version 2")
    assert len([line for line in text.splitlines() if "again कर्‍या" in line and folded in line]) == 3
    assert not any(line.startswith("2026-01-01 10:00  promoted") for line in text.splitlines())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u2028\u202e]", text)


def test_a_reason_of_nothing_but_white_space_is_none(four):
    assert call("promote", "--force", "true", "--version", "2", "--reason", "\u200b\u2028").exit_code == 2


def test_a_registered_model_without_versions_is_distinguished_from_a_missing_one(uri):
    MlflowClient(uri).create_registered_model(NAME)

    for command in ("promote", "rollback", "history"):
        result = call(command)
        assert result.exit_code == 2
        assert "registered_model=m: it has no versions" in result.output
        other = CliRunner().invoke(main, [command, "--registered-model", "n"])
        assert "registered_model=n: there is no such registered model" in other.output


@pytest.mark.parametrize(
    "arguments", [["--version", "9"], ["--version", "2", "--stage", "Staging"]], ids=["no such", "the champion"]
)
def test_a_mistake_leaves_no_run(four, arguments):
    promoted("2")
    before = MlflowClient(four).search_runs(["0"])

    assert call("promote", *arguments).exit_code == 2

    assert len(MlflowClient(four).search_runs(["0"])) == len(before)


def test_a_user_without_write_permission_can_read_the_history(four, monkeypatch):
    promoted("2")
    kill_between_decision_and_move("3", "2")

    def refuse(*_):
        raise TrackingError("may not do that")

    monkeypatch.setattr(promotion, "reconcile", refuse)

    assert "now: champion is version 2; the history differs" in done("history")


def test_a_staging_that_the_history_emptied_takes_nobody_in(four):
    promoted("2")
    done("promote", "--version", "3", "--stage", "Staging")
    promoted("3")
    MlflowClient(four).set_registered_model_alias(NAME, "challenger", "4")

    verify(NAME, repair=True)

    assert "challenger" not in aliases(four)
    assert STAGING not in stages(four).values()
