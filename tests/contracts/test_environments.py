"""pyproject.toml is the one place for dependencies; the other environments repeat it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def test_python_env_repeats_the_dependencies():
    assert yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"] == DEPENDENCIES


def test_conda_repeats_the_dependencies():
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text())

    assert environment["dependencies"][-1]["pip"] == DEPENDENCIES


def test_torch_is_pinned_where_pip_finds_its_cpu_build():
    assert "torch==2.13.0" in DEPENDENCIES


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
        "docs/simple/index.md",
        "a simple/fast choice",
        "pip install -e '.[dev]'",
        "pip install 'sbert-prune[mteb]'",
        "wheel = dist / f'sbert_prune-{version}.whl'",
        "https://github.com/pyenv/pyenv",
        "def find_links(page): ...",
        "sqlite:////path/to/sbert-prune/mlflow.db",
        "sqlite:///$HOME/mlflow.db",
        "~/work/models",
        "tests/root/x.py",
        "/proc/self/cgroup and /dev/shm/x",
        "2>/dev/null",
    ],
)
def test_other_addresses_and_paths_are_not_found(line):
    assert not ADDRESS.search(line)


def test_no_tracked_file_names_a_package_index_or_a_path_of_a_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    found = [
        f"{name}:{number}: {line.strip()}"
        for name in listed
        if name.endswith((".py", ".toml", ".yaml", ".md", ".cfg", "Makefile", "MLproject", "run"))
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if ADDRESS.search(line)
    ]

    assert not found
