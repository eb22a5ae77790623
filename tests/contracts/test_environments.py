"""pyproject.toml is the one place for dependencies, constraints.txt for their pins; the other environments follow."""

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = PROJECT["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]
RANGES = [*DEPENDENCIES, *(line for name, lines in EXTRAS.items() if name != "dev" for line in lines)]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
PINNED = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(line.partition("==")[0]): Version(line.partition("==")[2]) for line in PINNED}


def test_python_env_repeats_the_dependencies_and_is_pinned():
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())

    assert python_env["dependencies"] == ["-c constraints.txt", *DEPENDENCIES]


def test_conda_repeats_the_dependencies_and_is_pinned():
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text())

    assert environment["dependencies"][-1]["pip"] == ["-c constraints.txt", *DEPENDENCIES]


def test_constraints_are_pins_alone():
    assert [line for line in PINNED if not re.fullmatch(r"[A-Za-z0-9_.-]+==[a-z0-9.]+", line)] == []
    assert len(PINS) == len(PINNED)


def test_torch_is_pinned_where_pip_finds_its_cpu_build():
    named = {
        pin
        for name in TRACKED
        if name.startswith(("sbert_prune/", "pipelines/", "tuning/", "docs/")) and name.endswith((".py", ".md"))
        for pin in re.findall(r"torch==[\d.]+\d", (ROOT / name).read_text(encoding="utf-8"))
    }

    assert "torch==2.13.0" in PINNED
    assert named <= {"torch==2.13.0"}


@pytest.mark.parametrize("line", [line for line in RANGES if Requirement(line).specifier])
def test_a_range_goes_from_below_its_pin_to_the_next_major_version(line):
    requirement = Requirement(line)
    pin = PINS[canonicalize_name(requirement.name)]
    bounds = {clause.operator: clause.version for clause in requirement.specifier}

    assert pin in requirement.specifier
    assert ">=" in bounds
    is_date = pin.major > 2000
    assert bounds.get("<") == (None if is_date else str(pin.major + 1))


def test_every_package_that_an_installation_brings_is_pinned():
    unpinned, seen = set(), set()
    waiting = [(Requirement(line), "") for line in (*RANGES, *EXTRAS["dev"])]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or name.startswith(("nvidia-", "cuda-", "triton")):  # torch pins them itself
            continue
        if name not in PINS:
            unpinned.add(name)
        for key in {(name, wanted) for wanted in (*requirement.extras, "")} - seen:
            seen.add(key)
            try:
                waiting += [(Requirement(line), key[1]) for line in requires(name) or []]
            except PackageNotFoundError:  # an extra that is not installed
                continue

    assert unpinned == set()


def test_every_installation_from_a_checkout_is_pinned():
    pages = [name for name in TRACKED if name.endswith((".md", "Makefile"))]
    lines = [line for name in pages for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    installs = [line for line in lines if re.search(r"pip install\b.*\s\W?\.(?:\W|$)", line)]

    assert len(installs) > 4
    assert [line for line in installs if "-c constraints.txt" not in line and "torch.txt" not in line] == []


HOST = r"(?:\w+://[^\s/]+|\b(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?)"
ADDRESS = re.compile(
    "|".join(
        (
            HOST + r"(?:/[\w.+-]+)*/\+?simple(?![\w-])",  # a package index
            HOST + r"(?:/[^\s/]+)*/[^\s/]+\.whl\b",  # a wheel
            r"--(?:(?:extra-)?index[-]url|default[-]index|find[-]links|trusted[-]host)",
            r"\b(?:(?:extra-)?index[-]url|find[-]links)\s*[=:]",
            r"\bPIP_(?:EXTRA_)?INDEX_URL\b|\bPIP_FIND_LINKS\b",
            r"\bUV_(?:DEFAULT_|EXTRA_)?INDEX(?:_URL)?\b",
            r"\bpip3? (?:install|download) (?:.* )?-[if] ?[\w./]",
            r"(?<![\w.$}~-])/(?:home|Users|root|work|workspace|mnt|scratch)/",
            r"\b[A-Z]:\\{1,2}(?:Users|work)\b",
        )
    )
)
"""Match a package index or a path of one machine by its shape; neither can be reached from another machine."""


@pytest.mark.parametrize(
    "line",
    [
        "pip install ~i https:!!index.example.org!simple click",
        "https:!!ann:secret@index.example.org:8080!simple!",
        "url = 'http:!!localhost:3141!team!pypi!+simple!'",
        "index.example.org!python!simple!click",
        "http:!!10.0.0.7!simple",
        "click @ https:!!files.example.org!packages!ab!cd!click-8.0-py3-none-any.whl",
        "--index~url https:!!example.org!cpu",
        "pip install --extra-index~url=$INDEX torch",
        "pip install torch ~f wheels!stable.html",
        "--find~links wheels!",
        "--trusted~host example.org",
        "index~url = https:!!example.org!cpu",
        "PIP~INDEX_URL=https:!!example.org pip install .",
        "export UV~DEFAULT_INDEX",
        "cd !home!ann!sbert-prune",
        "cache = Path('!root!.cache')",
        "sqlite:!!!!Users!ann!mlflow.db",
        "(see !work!notes.md)",
        r"C:\|Users\ann\models",
    ],
)
def test_an_index_or_a_path_of_a_machine_is_found(line):
    """The examples are written with other signs, so that this file holds no address itself."""
    line = re.sub(r"(PIP|UV)~", r"\1_", line).replace("!", "/").replace("~", "-").replace("|", "")

    assert ADDRESS.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "https://example.org/simple-sentences/train.csv",
        "docs!simple!index.md",
        "a simple/fast choice",
        "pip install -e '.[dev]'",
        "pip install 'sbert-prune[mteb]'",
        "wheel = dist / f'sbert_prune-{version}.whl'",
        "https://github.com/pyenv/pyenv",
        "def find_links(page): ...",
        "sqlite:////path/to/sbert-prune/mlflow.db",
        "sqlite:///$HOME/mlflow.db",
        "~!work!models",
        "tests!root!x.py",
        "/proc/self/cgroup and /dev/shm/x",
        "2>/dev/null",
    ],
)
def test_other_addresses_and_paths_are_not_found(line):
    assert not ADDRESS.search(line.replace("!", "/"))


def test_no_tracked_file_names_a_package_index_or_a_path_of_a_machine():
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in TRACKED
        if name.endswith((".py", ".toml", ".yaml", ".md", ".cfg", "constraints.txt", "Makefile", "MLproject", "run"))
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if ADDRESS.search(line)
    ]

    assert not found
