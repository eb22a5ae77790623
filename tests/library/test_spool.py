"""Entries that a store does not accept are queued on disk in order, survive the process, and are delivered later."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sbert_prune.tracking.spool import Entry, Fault, Outbox, Spool

ROOT = Path(__file__).parents[2]
STORE = "http://store"
SILENT = Fault("no answer", lasting=False, answered=False)
FAILING = Fault("INTERNAL_ERROR", lasting=False, answered=True)
REFUSED = Fault("no such run", lasting=True, answered=True)


class FakeStore:
    """A store that can be set to fail, for all entries, for a run or for a kind."""

    def __init__(self):
        self.fault = None
        self.faults = {}
        self.asked = 0
        self.taken = []

    def __call__(self, entry):
        self.asked += 1
        fault = self.fault or self.faults.get(entry.run_id) or self.faults.get(entry.kind)
        if fault is None:
            self.taken.append(entry.content)
        return fault


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / ".sbert-prune" / "spool"


class Clock:
    """A clock that advances only when asked to."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s

    def advance(self, seconds):
        self.now_s += seconds


@pytest.fixture
def clock():
    return Clock()


def entry(content, run_id="run"):
    return Entry(run_id, "tags", content, 1)


def outbox(send, folder, *, notify=str, name=STORE, **settings):
    return Outbox(send, Spool(folder, name), notify, **settings)


def queued_in(folder):
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines(keepends=True)]
    return [parsed.content for line in lines if (parsed := Entry.parse(line)) is not None]


def test_a_line_parses_to_the_same_entry():
    metrics = Entry("run", "metrics", [["loss", 0.1 + 0.2, 123, 7, None], ["loss", math.inf, 124, 8, "m-1"]], 125)

    assert Entry.parse(metrics.to_line(STORE)) == metrics


@pytest.mark.parametrize("line", ["", "\n", '{"store": "x", "run_id"', "[]\n", '{"run_id": "a"}\n', "\x00\n"], ids=repr)
def test_an_incomplete_line_parses_to_none(line):
    assert Entry.parse(line) is None


def test_a_store_that_works_leaves_nothing_on_disk(store, folder):
    box = outbox(store, folder)

    box.put(entry(1))

    assert (store.taken, box.close(), folder.parent.exists()) == ([1], (0, 0), False)


def test_entries_after_a_failure_are_delivered_in_order_and_the_folders_removed(store, folder, clock):
    messages = []
    box = outbox(store, folder, notify=messages.append, clock=clock)
    box.put(entry(1))
    store.fault = SILENT
    box.put(entry(2))
    store.fault = None
    box.put(entry(3, "another run"))
    waiting = (list(store.taken), queued_in(folder))
    clock.advance(31)

    box.put(entry(4))

    assert waiting == ([1], [2, 3])
    assert store.taken == [1, 2, 3, 4]
    assert (box.mine.failures, box.mine.late) == (1, 2)
    assert messages == [
        f"the tracking store does not accept data: entries are queued in {folder} until it does (no answer)"
    ]
    assert not folder.parent.exists()


def test_a_failed_store_is_tried_again_after_half_a_minute_and_then_after_longer_pauses(store, folder, clock):
    box = outbox(store, folder, clock=clock)
    store.fault = SILENT

    for _ in range(200):
        box.put(entry(0))
        clock.advance(1)

    assert store.asked == 3  # after 0, 30 and 90 seconds
    assert len(queued_in(folder)) == 200


def test_opening_a_run_ends_the_pause(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))
    store.fault = None

    box.wake()
    box.put(entry(2))

    assert store.taken == [1, 2]


def test_refused_entries_are_dropped_and_reported_and_block_nothing(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1, "deleted"))
    box.put(entry(2))
    store.fault, store.faults = None, {"deleted": REFUSED}

    rest = box.close()

    assert (store.taken, rest) == ([2], (0, 0))
    assert box.mine.refused == ["tags of run deleted: no such run"]


def test_a_run_that_the_store_fails_on_keeps_its_order_and_blocks_no_other(store, folder):
    box = outbox(store, folder)
    store.faults = {"bad": FAILING}
    for number, run_id in enumerate(["bad", "good", "bad", "good"]):
        box.put(entry(number, run_id))

    rest = box.close()

    assert store.taken == [1, 3]
    assert (rest, queued_in(folder)) == ((2, 0), [0, 2])


def artifact(content, name, run_id="run"):
    return Entry(run_id, "text", {"name": name, "text": content}, 1)


@pytest.mark.parametrize("fault", [SILENT, FAILING], ids=["no answer", "an answer"])
def test_an_artifact_that_is_not_accepted_holds_back_no_record(store, folder, fault):
    messages = []
    box = outbox(store, folder, notify=messages.append)
    store.faults = {"text": fault}

    box.put(artifact("a", "report.md"))
    box.put(entry("metrics"))
    box.put(Entry("run", "terminated", "end", 2))
    at_once = list(store.taken)
    rest = box.close()

    assert at_once == ["metrics", "end"]
    assert rest == (1, 0)
    assert len(messages) == 1
    assert messages[0].startswith("the artifact store does not accept files: entries are queued in ")


def test_an_artifact_is_held_back_by_no_record_and_no_other_artifact(store, folder, clock):
    box = outbox(store, folder, clock=clock)
    store.faults = {"run": FAILING}
    box.put(entry("metrics"))
    box.put(artifact("a", "first"))
    store.faults = {"tags": FAILING}

    clock.advance(31)
    box.put(artifact("b", "second"))

    assert store.taken == [{"name": "first", "text": "a"}, {"name": "second", "text": "b"}]
    assert queued_in(folder) == ["metrics"]


def test_contents_of_the_same_artifact_keep_their_order(store, folder):
    box = outbox(store, folder)
    store.faults = {"text": SILENT}
    box.put(artifact("old", "report.md"))
    store.faults = {}

    box.put(artifact("new", "report.md"))
    box.close()

    assert [content["text"] for content in store.taken] == ["old", "new"]


def test_while_records_are_not_accepted_no_artifact_is_tried(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT

    box.put(entry("metrics"))
    box.put(artifact("a", "report.md"))

    assert store.asked == 1


def test_artifacts_that_stay_are_not_tried_with_every_record(store, folder, clock):
    box = outbox(store, folder, clock=clock)
    store.faults = {"text": SILENT}
    box.put(artifact("a", "report.md"))

    for number in range(100):
        box.put(entry(number))
        clock.advance(1)

    assert store.taken == list(range(100))
    assert store.asked - len(store.taken) == 3  # after 0, 30 and 90 seconds


def test_a_run_whose_end_is_queued_is_known_to_other_processes(store, folder):
    living, other = outbox(store, folder), outbox(store, folder)
    store.fault = SILENT

    living.put(entry("metrics", "open"))
    living.put(Entry("ended", "terminated", "end", 2))

    assert other.queued_ends() == {"ended"}


def test_a_long_queue_is_delivered_in_portions(store, folder, clock):
    def send_for_a_second(entry):
        clock.advance(1)
        return store(entry)

    box = outbox(send_for_a_second, folder, clock=clock)
    store.fault = SILENT
    for number in range(10):
        box.put(entry(number))
    store.fault = None
    clock.advance(31)

    box.put(entry(10))
    portion = list(store.taken)
    box.put(entry(11))

    assert portion == [0, 1, 2, 3, 4]
    assert store.taken == list(range(10))
    box.close()
    assert store.taken == list(range(12))


def test_the_next_process_delivers_the_queue(store, folder):
    first = outbox(store, folder)
    store.fault = SILENT
    first.put(entry(1))
    rest = first.close()
    store.fault = None

    second = outbox(store, folder)
    second.deliver()

    assert (rest, store.taken) == ((1, 0), [1])
    assert (second.inherited.late, second.mine.late) == (1, 0)
    assert not folder.parent.exists()


def test_the_queue_of_a_running_process_is_left_to_it(store, folder):
    living, other = outbox(store, folder), outbox(store, folder)
    store.fault = SILENT
    living.put(entry(1))
    store.fault = None

    other.close()

    assert (store.taken, queued_in(folder)) == ([], [1])


def test_the_queue_of_another_store_stays(store, folder):
    box = outbox(store, folder, name="http://another")
    store.fault = SILENT
    box.put(entry(1))
    box.close()
    store.fault = None

    rest = outbox(store, folder).close()

    assert (store.taken, rest, queued_in(folder)) == ([], (0, 0), [1])


def test_an_incomplete_last_line_is_skipped(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    for number in (1, 2):
        box.put(entry(number))
    box.close()
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-10])
    store.fault = None

    outbox(store, folder).close()

    assert store.taken == [1]
    assert not folder.parent.exists()


def test_entries_after_an_incomplete_line_are_complete(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))
    (path,) = folder.glob("*.jsonl")
    with path.open("a") as file:
        file.write('{"store": "http://st')
    box.put(entry(2))

    box.close()

    assert queued_in(folder) == [1, 2]


def test_entries_that_cannot_be_written_wait_in_memory(store, folder):
    folder.parent.parent.joinpath(".sbert-prune").write_text("a file where the folder would be")
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))
    box.put(entry(2))
    box.deliver()
    store.fault = None

    assert box.close() == (0, 0)
    assert store.taken == [1, 2]


def test_entries_that_are_neither_delivered_nor_written_count_as_lost(store, folder):
    folder.parent.parent.joinpath(".sbert-prune").write_text("a file where the folder would be")
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))

    assert box.close() == (0, 1)


def test_a_signal_during_delivery_loses_nothing(store, folder):
    signals = [SystemExit(143)]

    def send(entry):
        if signals:
            raise signals.pop()
        return store(entry)

    box = outbox(send, folder)
    with pytest.raises(SystemExit):
        box.put(entry(1))

    box.close()

    assert store.taken == [1]


QUEUE_AND_DIE = """
import os, sys
from pathlib import Path
from sbert_prune.tracking.spool import Entry, Fault, Outbox, Spool
box = Outbox(lambda entry: Fault("", False, False), Spool(Path(sys.argv[1]), "http://store"), lambda text: None)
for number in range(100):
    box.put(Entry(sys.argv[2], "tags", number, 0))
os.kill(os.getpid(), 9)
"""


def test_several_processes_that_are_killed_lose_nothing(store, folder):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", QUEUE_AND_DIE, str(folder), name], env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        for name in ("a", "b", "c")
    ]
    statuses = [process.wait(timeout=60) for process in processes]
    taken = []

    Outbox(lambda entry: taken.append((entry.run_id, entry.content)), Spool(folder, STORE), str).deliver()

    assert statuses == [-9, -9, -9]
    assert {name: [number for run, number in taken if run == name] for name in "abc"} == {
        name: list(range(100)) for name in "abc"
    }
    assert not folder.parent.exists()
