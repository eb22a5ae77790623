"""What the README and the other pages name exists: links, headings, files, commands and their parameters."""

import re
import shlex
from collections import Counter
from pathlib import Path

import click
import pytest
import yaml

from sbert_prune.inputs.data import find_sts
from sbert_prune.recipe.files import load_recipe
from tuning.__main__ import main

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(path for folder in ("docs", "sbert_prune", "tests", "tools") for path in (ROOT / folder).rglob("*.md")),
]
README = (ROOT / "README.md").read_text()
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def matches(pattern: str) -> list[tuple[str, ...]]:
    """Return the distinct matches of a pattern in the code of all pages, blocks and single words."""
    found = [
        match if isinstance(match, tuple) else (match,)
        for page in PAGES
        for code in CODE.findall(page.read_text())
        for match in re.findall(pattern, code.strip("`"), re.MULTILINE)
    ]
    assert found, f"{pattern} matches nothing: the test has lost its subject"
    return sorted(set(found))


def links_of(page: Path) -> list[str]:
    return LINK.findall(CODE.sub("`code`", page.read_text()))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def problem_of(link: str, page: Path) -> str | None:
    """Return why a link leads nowhere; None if it does lead somewhere."""
    if "://" in link:
        return None if link.startswith("https://") else f"{link}: expected https"
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return f"{link}: there is no such file"
    if anchor and anchor not in anchors_of(target):
        return f"{link}: {target.name} has no such heading; it has {', '.join(sorted(anchors_of(target)))}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    problems = [problem for link in links_of(page) if (problem := problem_of(link, page))]

    assert problems == []


def test_links_that_lead_nowhere_are_found(tmp_path):
    page = ROOT / "README.md"

    assert problem_of("docs/no-such-page.md", page)
    assert problem_of("docs/data.md#no-such-heading", page)
    assert problem_of("http://example.org", page)
    assert problem_of(f"../{tmp_path.name}", page)
    assert problem_of("docs/registry.md#promote", page) is None


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links_of(ROOT / "README.md") if "://" not in link}

    assert {path.name for path in (ROOT / "docs").glob("*.md") if path not in linked} == set()


def test_every_image_is_shown_on_a_page():
    shown = {(page.parent / link).resolve() for page in PAGES for link in links_of(page) if link.endswith(".png")}

    assert {path.name for path in (ROOT / "docs/images").iterdir() if path not in shown} == set()


def test_the_readme_fits_a_page():
    assert len(README.encode()) <= 7000


def test_the_tree_is_the_houses():
    tree = README.split("## Layout")[1].split("```")[1]

    for line in tree.strip().splitlines():
        assert (ROOT / line.split()[0]).exists(), line


def command_of(name: str) -> click.Command:
    """Return the command of an entry point of MLproject, which is also that of `sbert-prune`."""
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"there is no command {name}"
    return command


def parameters_of(name: str) -> set[str]:
    return {str(parameter.name) for parameter in command_of(name).params}


@pytest.mark.parametrize(("name", "rest"), matches(r"\bmlflow run \. -e (\w+)((?:[^\n`\\]|\\\n)*)"))
def test_commands_of_mlflow_run_name_entry_points_and_parameters(name, rest):
    assert name in ENTRY_POINTS
    assert set(re.findall(r"-P (\w+)=", rest)) <= parameters_of(name)


@pytest.mark.parametrize(
    ("name", "rest"),
    matches(r"(?:^|\$ |-m )(?:sbert-prune|pipelines|tuning) ([a-z]\w*)((?:[^\n`\\]|\\\n)*)"),
)
def test_commands_of_the_console_script_name_commands_and_options(name, rest):
    words = shlex.split(rest.replace("\\\n", " "))
    options = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}

    assert options <= parameters_of(name)


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


def test_the_lines_for_the_library_make_an_encoder(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(import sbert_prune\n.*?)```", README, re.DOTALL)
    assert len(block.splitlines()) <= 10
    assert block.count("recipe=") == 2
    monkeypatch.chdir(tmp_path)
    write_pairs(Path("sts"), number=100)

    short = 'nli_max_rows=200, sts_data="sts", distil_epochs=0.1, sts_epochs=1'
    block = re.sub('(recipe="[^"]*")', rf"\1, {short}", block)
    exec(block.replace('sts_data="quickstart"', 'sts_data="sts"'), {})

    assert "'sts_test/spearman_cosine': 0." in capsys.readouterr().out
    assert {"pruning.json", "model.safetensors", "modules.json"} <= {path.name for path in Path("smaller").iterdir()}


def write_pairs(folder, *, number):
    """Write the quickstart's first pairs of each split, as files."""
    splits = find_sts(load_recipe("quickstart")).value
    folder.mkdir()
    for name in ("train", "dev", "test"):
        rows = getattr(splits, name).rows[:number]
        lines = [f"{row.sentence1}\t{row.sentence2}\t{row.score * 5:.3f}\n" for row in rows]
        (folder / f"{name}.tsv").write_text("".join(lines))
