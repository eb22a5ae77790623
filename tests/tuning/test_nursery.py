"""Each trial lives in a process of its own: nothing leaks, and how it ended is known."""

import os

import pytest

from tests.tuning import children
from tuning.workers import WorkerPool, next_message, ready_workers


@pytest.fixture(scope="module")
def nursery():
    with WorkerPool() as made:
        yield made


def test_every_task_has_a_process_of_its_own(nursery):
    (first, told), (second, _) = nursery.ask(children.whoami, "hello"), nursery.ask(children.whoami, "hello")

    assert told == "hello"
    assert len({first, second, os.getpid()}) == 3


def test_nothing_of_one_task_is_left_for_the_next(nursery):
    assert nursery.ask(children.leave_a_mark, "here") == "here"
    assert nursery.ask(children.read_the_mark, None) == "none"


def test_a_process_that_runs_out_of_memory_takes_nobody_along(nursery):
    assert nursery.ask(children.take_all_memory, None) == "no more"
    assert nursery.ask(children.whoami, 1)[1] == 1


def test_several_speak_as_they_come_and_are_answered(nursery):
    started = [nursery.start(children.count_up, 3) for _ in range(3)]
    heard = {child: [] for child in started}

    while any(len(numbers) < 3 for numbers in heard.values()):
        for child in ready_workers([child for child in started if len(heard[child]) < 3]):
            heard[child].append(child.line.recv())
            child.line.send(True)

    assert list(heard.values()) == [[0, 1, 2]] * 3
    for child in started:
        nursery.end(child)


@pytest.mark.parametrize(
    ("work", "task", "told"),
    [
        (children.die, 9, "its process was ended by SIGKILL; the system does so when memory runs out"),
        (children.die, 11, "its process was ended by SIGSEGV"),
        (children.leave, 3, "its process ended with status 3 and without a word"),
    ],
)
def test_how_a_process_ended_without_a_word_is_known(nursery, work, task, told):
    child = nursery.start(work, task)

    assert next_message(child) is None
    assert child.how_it_ended() == told
    nursery.end(child)


def test_who_is_no_longer_wanted_is_ended():
    with WorkerPool() as own:
        child = own.start(children.die, 0)  # signal 0 does nothing: it sleeps

    assert not child.process.is_alive()
