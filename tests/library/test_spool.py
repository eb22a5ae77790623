"""What a store does not take is kept on disk in order, whatever happens to the process, and delivered once the store takes it."""

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
    """A store that can be told how to fail, for all runs or for one."""

    def __init__(self):
        self.fault = None
        self.faults = {}
        self.asked = 0
        self.taken = []

    def __call__(self, entry):
        self.asked += 1
        fault = self.fault or self.faults.get(entry.run_id)
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
    """A clock that stands still until it is told to go on."""

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


def left_over(folder):
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines(keepends=True)]
    return [found.content for line in lines if (found := Entry.parse(line)) is not None]


def test_a_line_holds_an_entry_whole():
    metrics = Entry("run", "metrics", [["loss", 0.1 + 0.2, 123, 7, None], ["loss", math.inf, 124, 8, "m-1"]], 125)

    assert Entry.parse(metrics.to_line(STORE)) == metrics


@pytest.mark.parametrize("line", ["", "\n", '{"store": "x", "run_id"', "[]\n", '{"run_id": "a"}\n', "\x00\n"], ids=repr)
def test_what_is_no_whole_entry_is_none(line):
    assert Entry.parse(line) is None


def test_a_store_that_works_leaves_nothing_on_disk(store, folder):
    box = outbox(store, folder)

    box.put(entry(1))

    assert (store.taken, box.close(), folder.parent.exists()) == ([1], (0, 0), False)


def test_entries_behind_a_failure_are_delivered_in_order_and_the_folders_go(store, folder, clock):
    said = []
    box = outbox(store, folder, notify=said.append, clock=clock)
    box.put(entry(1))
    store.fault = SILENT
    box.put(entry(2))
    store.fault = None
    box.put(entry(3, "another run"))
    waiting = (list(store.taken), left_over(folder))
    clock.advance(31)

    box.put(entry(4))

    assert waiting == ([1], [2, 3])
    assert store.taken == [1, 2, 3, 4]
    assert (box.mine.failures, box.mine.late) == (1, 2)
    assert said == [f"the tracking store does not take what is logged: it is kept in {folder} until it does (no answer)"]
    assert not folder.parent.exists()


def test_a_store_that_failed_is_not_asked_for_half_a_minute_and_then_for_longer(store, folder, clock):
    box = outbox(store, folder, clock=clock)
    store.fault = SILENT

    for _ in range(200):
        box.put(entry(0))
        clock.advance(1)

    assert store.asked == 3  # after 0, 30 and 90 seconds
    assert len(left_over(folder)) == 200


def test_a_run_that_was_opened_wakes_the_outbox(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))
    store.fault = None

    box.wake()
    box.put(entry(2))

    assert store.taken == [1, 2]


def test_what_is_refused_is_dropped_said_and_holds_nothing_up(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1, "deleted"))
    box.put(entry(2))
    store.fault, store.faults = None, {"deleted": REFUSED}

    rest = box.close()

    assert (store.taken, rest) == ([2], (0, 0))
    assert box.mine.refused == ["tags of run deleted: no such run"]


def test_a_run_that_the_store_fails_on_keeps_its_order_and_holds_no_other_up(store, folder):
    box = outbox(store, folder)
    store.faults = {"bad": FAILING}
    for number, run_id in enumerate(["bad", "good", "bad", "good"]):
        box.put(entry(number, run_id))

    rest = box.close()

    assert store.taken == [1, 3]
    assert (rest, left_over(folder)) == ((2, 0), [0, 2])


def test_a_long_record_is_delivered_in_portions(store, folder, clock):
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


def test_the_next_process_delivers_what_one_left(store, folder):
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


def test_what_a_living_process_keeps_is_its_own(store, folder):
    living, other = outbox(store, folder), outbox(store, folder)
    store.fault = SILENT
    living.put(entry(1))
    store.fault = None

    other.close()

    assert (store.taken, left_over(folder)) == ([], [1])


def test_what_was_kept_for_another_store_stays(store, folder):
    box = outbox(store, folder, name="http://another")
    store.fault = SILENT
    box.put(entry(1))
    box.close()
    store.fault = None

    rest = outbox(store, folder).close()

    assert (store.taken, rest, left_over(folder)) == ([], (0, 0), [1])


def test_a_last_line_that_was_broken_off_is_left_out(store, folder):
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


def test_what_follows_a_line_that_a_full_disk_broke_off_is_whole(store, folder):
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))
    (path,) = folder.glob("*.jsonl")
    with path.open("a") as file:
        file.write('{"store": "http://st')
    box.put(entry(2))

    box.close()

    assert left_over(folder) == [1, 2]


def test_what_the_disk_does_not_take_either_waits_in_memory(store, folder):
    folder.parent.parent.joinpath(".sbert-prune").write_text("a file where the folder would be")
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))
    box.put(entry(2))
    box.deliver()
    store.fault = None

    assert box.close() == (0, 0)
    assert store.taken == [1, 2]


def test_what_nobody_takes_is_counted_as_lost(store, folder):
    folder.parent.parent.joinpath(".sbert-prune").write_text("a file where the folder would be")
    box = outbox(store, folder)
    store.fault = SILENT
    box.put(entry(1))

    assert box.close() == (0, 1)


def test_a_signal_while_the_store_is_asked_loses_nothing(store, folder):
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


KEEPS_AND_DIES = """
import os, sys
from pathlib import Path
from sbert_prune.tracking.spool import Entry, Fault, Outbox, Spool
box = Outbox(lambda entry: Fault("", False, False), Spool(Path(sys.argv[1]), "http://store"), lambda text: None)
for number in range(100):
    box.put(Entry(sys.argv[2], "tags", number, 0))
os.kill(os.getpid(), 9)
"""


def test_several_processes_that_are_killed_lose_nothing(store, folder):
    begun = [
        subprocess.Popen([sys.executable, "-c", KEEPS_AND_DIES, str(folder), name], env=os.environ | {"PYTHONPATH": str(ROOT)})
        for name in ("a", "b", "c")
    ]
    ended = [process.wait(timeout=60) for process in begun]
    taken = []

    Outbox(lambda entry: taken.append((entry.run_id, entry.content)), Spool(folder, STORE), str).deliver()

    assert ended == [-9, -9, -9]
    assert {name: [number for run, number in taken if run == name] for name in "abc"} == {name: list(range(100)) for name in "abc"}
    assert not folder.parent.exists()
