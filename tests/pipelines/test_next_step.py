"""The last lines of `full`: the `promote` line succeeds; where the policy would refuse, it says why and what to try."""

import re
import shlex

import click
import pytest

from pipelines.flows.next_step import advise
from sbert_prune.recipe.files import load_recipe
from sbert_prune.registry.versions import find_version, versions
from sbert_prune.tracking.store import connect
from tests.pipelines.made_versions import NAME, add_version, aliases, call, done

NEAR, AS_GOOD, WORSE = 0.05, 0.051, 0.1


def told(number: str, name: str = "quickstart-paper", command: str = "full", **given: object) -> list[str]:
    store = connect()
    registered = versions(store, NAME)
    variant, reference = (find_version(registered, NAME, which) for which in (number, "1"))
    with click.Context(click.Command(command), info_name=command) as context:
        context.params = {"recipe": None, "plan": False, **given}
        return advise(store, load_recipe(name), variant, reference).lines()


def options(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(line) if "=" in part)


def test_the_promote_line_of_a_good_variant_is_one_that_succeeds(uri):
    add_version(noise=NEAR, size=80, role="reference")
    number = add_version(noise=AS_GOOD, size=40)

    (line,) = told(number)

    given = options(line)
    assert line.startswith("promote   mlflow run . -e promote ")
    assert given.pop("registered_model") == NAME
    done("promote", *(part for name, value in given.items() for part in (f"--{name}", value)))
    assert aliases(uri) == {"champion": number}


def test_one_that_would_be_refused_is_told_why_and_the_margin_that_would_pass(uri):
    add_version(noise=NEAR, size=80, role="reference")
    number = add_version(noise=WORSE, size=40)

    line, _ = told(number)

    assert line.startswith("promote   would be refused: it may be worse than its reference, version 1, by more than")
    (margin,) = re.findall(r"margin=([\d.]+) would pass", line)
    assert call("promote", "--version", number, "--margin", f"{float(margin) - 0.001}").exit_code == 4
    assert call("promote", "--version", number, "--margin", margin).exit_code == 0


@pytest.mark.parametrize(
    ("name", "given", "tried"),
    [
        ("quickstart-paper", {"recipe": "quickstart-paper", "layers": "2"}, {"recipe": "quickstart", "layers": "2"}),
        ("quickstart-paper", {"recipe": "mine.yaml"}, {"phases": "nli,distil,sts", "sts_distillation": "1"}),
        ("quickstart", {"layers": "2", "schedule": "12,2", "sts_data": "a b"}, {"layers": "3", "sts_data": "a b"}),
    ],
)
def test_what_to_try_is_a_teacher_then_more_layers(uri, name, given, tried):
    add_version(noise=NEAR, size=80, role="reference")
    number = add_version(noise=WORSE, size=40)

    _, line = told(number, name, **given)

    assert line.startswith("try       mlflow run . -e full -P ")
    assert options(line) == ({"recipe": "mine.yaml"} if given.get("recipe") == "mine.yaml" else {}) | tried


def test_what_to_try_after_a_sweep_is_one_variant(uri):
    add_version(noise=NEAR, size=80, role="reference")
    number = add_version(noise=WORSE, size=40)

    _, line = told(number, "quickstart", "sweep", recipe="mine.yaml", depths="4,2", strategies="drop-top,drop-bottom")

    assert line.startswith("try       mlflow run . -e full -P ")
    assert options(line) == {"recipe": "mine.yaml", "layers": "3", "strategy": "drop-alternate"}


def test_the_line_to_try_repeats_neither_flags_nor_passwords(uri):
    add_version(noise=NEAR, size=80, role="reference")
    number = add_version(noise=WORSE, size=40)

    _, line = told(number, "quickstart", force=True, storage="postgresql://ann:Rumpel@db/studies")

    assert "force" not in line
    assert "Rumpel" not in line
    assert "db/studies" in line


def test_where_only_the_champion_stands_in_the_way_fewer_layers_are_tried(uri):
    add_version(noise=NEAR, size=80, role="reference")
    add_version(noise=AS_GOOD, size=20)
    done("promote", "--version", "2")
    number = add_version(noise=AS_GOOD, size=40)

    reason, keep, line = told(number)

    assert "it is no better than the champion, version 2" in reason
    assert keep.startswith(f"keep      models:/{NAME}/2, the champion, dev 0.")
    assert options(line) == {"layers": "1"}


def test_a_few_bytes_make_no_version_smaller_than_the_champion(uri):
    add_version(noise=NEAR, size=80, role="reference")
    add_version(noise=NEAR, size=11.3222)
    done("promote", "--version", "2")
    number = add_version(noise=AS_GOOD, size=11.3218)

    assert "it is no better than the champion, version 2" in told(number)[0]
    assert call("promote", "--version", number).exit_code == 4
    assert aliases(uri)["champion"] == "2"
