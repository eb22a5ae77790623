"""The work of processes in the tests; they import it by name."""

import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from sbert_prune.system.folders import SHORT_FOLDER
from tuning.messages import RungScore, TooLarge
from tuning.trial import _prepare_process


def whoami(line, task):
    line.send((os.getpid(), task))


def count_up(line, task):
    for number in range(task):
        line.send(number)
        if not line.recv():
            return


def set_variable(line, task):
    os.environ["MARK"] = task
    line.send(os.environ.get("MARK"))


def read_variable(line, task):
    line.send(os.environ.get("MARK", "none"))


def end_by_signal(line, task):
    os.kill(os.getpid(), signal.Signals(task))
    time.sleep(60)


def exit_with(line, task):
    os._exit(task)


def prepare_and_echo(line, task):
    """Prepare the process as that of a trial, send its folder for temporary files, and then what comes."""
    _prepare_process(task)
    line.send(tempfile.gettempdir())
    with suppress(EOFError):
        line.send(line.recv())


def folders_of(pid):
    """Return the temporary folders of a process."""
    parents = {tempfile.gettempdir(), SHORT_FOLDER}
    return [folder for parent in parents for folder in Path(parent).glob(f"sbert-prune-*-{pid}-*")]


def take_all_memory(line, task):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    try:
        line.send(len(bytearray(2**40)))
    except MemoryError:
        line.send("no more")


SCRIPTS = {"0,1": (0.4, 0.4), "0,2": (0.3, 0.3), "0,3": (0.2, 0.2), "0,4": (0.1, 0.1)}
"""The scores that trials send at their rungs, by their layers."""


def with_memory(line, task):
    _follow(line, task, has_memory=True)


def without_memory(line, task):
    _follow(line, task, has_memory=False)


def killed_while_waiting(line, task):
    """The first one is killed while it waits."""
    if task.recipe.layers == "0,1":
        line.send(RungScore(0, 0.0, 1.0, has_memory=True))
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    _follow(line, task, has_memory=True)


def _follow(line, task, *, has_memory):
    """Send the scores, and at the end a message that needs no trained model."""
    for number, score in enumerate(SCRIPTS[task.recipe.layers]):
        line.send(RungScore(number, score, 1.0, has_memory))
        if not line.recv():
            return
    line.send(TooLarge(9.9))
