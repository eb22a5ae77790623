"""What the nursery's tests let processes do; they import it by name."""

import os
import signal
import time


def whoami(line, task):
    line.send((os.getpid(), task))


def count_up(line, task):
    for number in range(task):
        line.send(number)
        if not line.recv():
            return


def leave_a_mark(line, task):
    os.environ["MARK"] = task
    line.send(os.environ.get("MARK"))


def read_the_mark(line, task):
    line.send(os.environ.get("MARK", "none"))


def die(line, task):
    os.kill(os.getpid(), signal.Signals(task))
    time.sleep(60)


def leave(line, task):
    os._exit(task)


def take_all_memory(line, task):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    try:
        line.send(len(bytearray(2**40)))
    except MemoryError:
        line.send("no more")
