"""How long a command will still take, and what it shows of that on a terminal and in a log."""

import io
import sys
import time

import pytest

from pipelines import progress
from pipelines.progress import Outlook, Part, begin_step, doing, format_duration, shown


class Machine:
    """A command on a machine that needs two seconds for a unit of work. left: what it knew, beside what was true."""

    def __init__(self, parts: list[Part]):
        self.now, self.left = 0.0, []
        self.outlook = Outlook(clock=lambda: self.now)
        for owner in dict.fromkeys(part.owner for part in parts):
            self.outlook.expect(owner, [part for part in parts if part.owner == owner])
        self.whole = list(self.outlook.ahead)

    def run(self, part: Part, *, begin_at: float = 0.0) -> None:
        self.outlook.begin(part.step)
        self.now += part.fixed_s
        for activity, work in part.work.items():
            for number in range(round(10 * begin_at), 11):
                self.now += 0.2 * work if number > 10 * begin_at else 0.0
                self.outlook.advance(activity, number / 10)
                self.left.append((self.now, self.outlook.left_s))


REFERENCE = [Part("r", "prune", fixed_s=1), Part("r", "sts", {"training": 40}), Part("r", "register", fixed_s=9)]
VARIANT = [Part("v", "prune", fixed_s=1), Part("v", "sts", {"teaching": 10, "training": 20})]


@pytest.mark.parametrize(
    ("done", "begin_at"), [((), 0.0), (("r",), 0.0), ((), 0.5)], ids=["from scratch", "a reference exists", "resumed"]
)
def test_the_time_left_is_that_of_the_whole_command(done, begin_at):
    machine = Machine(REFERENCE + VARIANT)
    for owner in done:
        machine.outlook.drop(owner)

    for part in (part for part in machine.whole if part.owner not in done):
        machine.run(part, begin_at=begin_at if part is REFERENCE[1] else 0.0)

    known = [(now, left) for now, left in machine.left if left is not None]
    assert len(known) > 0.6 * len(machine.left)
    assert [now + left for now, left in known] == pytest.approx([machine.now] * len(known))
    assert machine.outlook.ahead == []


def test_a_step_that_was_not_expected_knows_its_own_end():
    machine = Machine([])
    machine.run(Part("", "train_nli", {"training": 10}))

    assert [left for _, left in machine.left][5] == pytest.approx(10)


class Output(io.StringIO):
    """What is printed. is_terminal: whether it looks like a terminal."""

    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal

    def wait_for(self, text: str) -> None:
        while text not in self.getvalue():
            time.sleep(0.01)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_command_shows_what_it_is_doing(is_terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", output := Output())
    output.is_terminal = is_terminal
    for name in ("_BAR_AFTER_S", "_DRAW_EVERY_S", "_SILENT_S", "_LOOK_EVERY_S"):
        monkeypatch.setattr(progress, name, 0.01)

    with shown():
        output.wait_for("loading")
        begin_step("train_sts")
        doing("training", 0.5)
        output.wait_for("train_sts")
        output.wait_for("training 50%")


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (119, "119 s"), (120, "2 min"), (7200, "2.0 h")])
def test_a_duration_is_given_in_a_unit_that_fits(seconds, text):
    assert format_duration(seconds) == text
