"""What forked commands run first; found by the module's full name, which the parent process can import."""

import os
import signal
from functools import partial

from pipelines.steps import train
from sbert_prune import variant


def log_at_once() -> None:
    """Log each report of a phase at once."""
    train.phase_report = partial(train.phase_report, flush_every_s=0.0)


def enter_terminal() -> None:
    """Let the terminal that the environment names be the one that controls this process."""
    log_at_once()
    os.setsid()
    terminal = os.open(os.environ["TERMINAL"], os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(terminal, stream)
    os.close(terminal)


def ignore_hangup() -> None:
    """Ignore SIGHUP, as below `nohup`."""
    log_at_once()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Swallows:
    """Receives a signal while it is deleted, where Python prints an exception and continues."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass


def swallow_a_signal() -> None:
    check = variant._check_cut

    def check_after_signal(*arguments):
        Swallows()
        return check(*arguments)

    variant._check_cut = check_after_signal
