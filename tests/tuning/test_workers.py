"""Each trial has a process of its own: nothing leaks, and the reason of its end is reported."""

import os

import pytest

from tests.tuning import in_workers
from tuning.workers import WorkerPool, next_message, ready_workers


@pytest.fixture(scope="module")
def pool():
    with WorkerPool() as workers:
        yield workers


def test_every_task_has_a_process_of_its_own(pool):
    (first, task), (second, _) = pool.call(in_workers.whoami, "hello"), pool.call(in_workers.whoami, "hello")

    assert task == "hello"
    assert len({first, second, os.getpid()}) == 3


def test_a_task_leaves_nothing_for_the_next(pool):
    assert pool.call(in_workers.set_variable, "value") == "value"
    assert pool.call(in_workers.read_variable, None) == "none"


def test_a_process_that_runs_out_of_memory_does_not_affect_the_others(pool):
    assert pool.call(in_workers.take_all_memory, None) == "no more"
    assert pool.call(in_workers.whoami, 1)[1] == 1


def test_messages_of_several_processes_are_answered_as_they_arrive(pool):
    started = [pool.start(in_workers.count_up, 3) for _ in range(3)]
    received = {worker: [] for worker in started}

    while any(len(numbers) < 3 for numbers in received.values()):
        for worker in ready_workers([worker for worker in started if len(received[worker]) < 3]):
            received[worker].append(worker.line.recv())
            worker.line.send(True)

    assert list(received.values()) == [[0, 1, 2]] * 3
    for worker in started:
        pool.end(worker)


@pytest.mark.parametrize(
    ("work", "task", "reason"),
    [
        (in_workers.end_by_signal, 9, "its process was ended by SIGKILL; the system does so when memory runs out"),
        (in_workers.end_by_signal, 11, "its process was ended by SIGSEGV"),
        (in_workers.exit_with, 3, "its process ended with status 3 and without a result"),
    ],
)
def test_the_reason_why_a_process_ended_without_a_result_is_reported(pool, work, task, reason):
    worker = pool.start(work, task)

    assert next_message(worker) is None
    assert worker.exit_reason() == reason
    pool.end(worker)


def test_leaving_the_pool_ends_its_processes():
    with WorkerPool() as pool:
        worker = pool.start(in_workers.end_by_signal, 0)  # signal 0 does nothing: it sleeps

    assert not worker.process.is_alive()
