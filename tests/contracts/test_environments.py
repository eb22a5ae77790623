"""pyproject.toml is the one place for dependencies; the other environments repeat it."""

import re
import subprocess
import tomllib
from pathlib import Path

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


def test_no_tracked_file_names_a_package_index_or_a_path_of_a_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile(r"(index-url|/simple/|files\.pythonhosted|" + "/" + r"work/|/root/|/home/\w)")

    found = [
        f"{name}:{number}: {line.strip()}"
        for name in listed
        if name.endswith((".py", ".toml", ".yaml", ".md", ".cfg", "Makefile", "MLproject", "run"))
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line) and "forbidden" not in line
    ]

    assert not found
