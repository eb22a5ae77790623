"""What the nursery's tests let processes do; they import it by name."""

import os
import signal
import time

from tuning.messages import RungScore, TooLarge


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


SCRIPTS = {"0,1": (0.4, 0.4), "0,2": (0.3, 0.3), "0,3": (0.2, 0.2), "0,4": (0.1, 0.1)}
"""What trials say of themselves at their looks, by their layers."""


def roomy(line, task):
    _follow(line, task, has_room=True)


def crowded(line, task):
    _follow(line, task, has_room=False)


def mortal(line, task):
    """The first dies while it waits."""
    if task.recipe.layers == "0,1":
        line.send(RungScore(0, 0.0, 1.0, has_room=True))
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    _follow(line, task, has_room=True)


def _follow(line, task, *, has_room):
    """Looks as written, and at the end a word that needs no trained model."""
    for number, score in enumerate(SCRIPTS[task.recipe.layers]):
        line.send(RungScore(number, score, 1.0, has_room))
        if not line.recv():
            return
    line.send(TooLarge(9.9))
