"""What the README and the docs name exists."""

import re
from pathlib import Path

import click
import pytest
import yaml

from tuning.__main__ import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def matches(pattern: str) -> list[tuple[str, ...]]:
    found = [
        match if isinstance(match, tuple) else (match,)
        for page in PAGES
        for match in re.findall(pattern, page.read_text(), re.MULTILINE)
    ]
    assert found, f"{pattern} matches nothing: the test has lost its subject"
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in target]

    assert [target for target in links if not (page.parent / target).exists()] == []


def test_the_tree_is_the_houses():
    tree = (ROOT / "README.md").read_text().split("## Layout")[1].split("```")[1]

    for line in tree.strip().splitlines():
        assert (ROOT / line.split()[0]).exists(), line


@pytest.mark.parametrize(("entry_point", "rest"), matches(r"mlflow run \. -e (\w+)([^\n`]*)"))
def test_commands_of_mlflow_run_name_entry_points_and_parameters(entry_point, rest):
    assert entry_point in ENTRY_POINTS
    command = main.get_command(click.Context(main), entry_point)
    assert set(re.findall(r"-P (\w+)=", rest)) <= {parameter.name for parameter in command.params}


@pytest.mark.parametrize("target", matches(r"^\s*make ([\w-]+)"), ids=str)
def test_targets_of_make_exist(target):
    assert re.search(rf"^{target[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", matches(r"python ((?:benchmarks|docs)/\w+\.py)"), ids=str)
def test_scripts_exist(path):
    assert (ROOT / path[0]).is_file()


def test_every_number_of_the_results_stands_under_a_command():
    sections = (ROOT / "docs" / "results.md").read_text().split("\n## ")[1:]

    for section in sections:
        title = section.splitlines()[0]
        assert not re.search(r"\d\.\d", section.split("```")[0]), f"{title}: a number before the command that gave it"
        assert "```" in section, f"{title}: no command"
