"""The wheel, built from the sdist: what is in it, and that its console script works without a checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from sbert_prune import __version__
from sbert_prune.recipe.files import presets

ROOT = Path(__file__).parents[2]
SCRIPT = "sbert-prune"


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of the tracked files and of those that are about to be."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():  # not one that is about to be deleted
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    run(sys.executable, "-c", build, cwd=folder / "source")
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel of the sdist."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir")
    run(sys.executable, "-m", "pip", "wheel", sdist, *options, sdist.parent)
    (built,) = sdist.parent.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def script(wheel: Path) -> Path:
    """The installed console script, in a folder that lies beside nothing else."""
    target = wheel.parent / "installed"
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", target)
    run(sys.executable, "-m", "pip", "install", wheel, *options)
    return target / "bin" / SCRIPT


def run_script(script: Path, folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return run(script, *arguments, cwd=folder, env=clean | {"PYTHONPATH": str(script.parents[1])})


def test_the_sdist_has_the_pins_of_its_readme(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"README.md", "constraints.txt", "pyproject.toml"} <= names


def test_the_wheel_has_what_commands_read_and_nothing_else(wheel: Path):
    names = set(ZipFile(wheel).namelist())

    metadata = f"sbert_prune-{__version__}.dist-info"
    base = "sbert_prune/data/quickstart/base"
    assert {name.partition("/")[0] for name in names} == {"sbert_prune", "pipelines", "tuning", metadata}
    assert {f"sbert_prune/recipe/presets/{name}.yaml" for name in presets()} <= names
    assert {f"{base}/{name.name}" for name in (ROOT / base).iterdir()} <= names
    assert {"sbert_prune/py.typed", f"{metadata}/licenses/LICENSE"} <= names
    scripts = ZipFile(wheel).read(f"{metadata}/entry_points.txt").decode()
    assert scripts.split() == ["[console_scripts]", SCRIPT, "=", "sbert_prune.system.launch:console_script"]


def test_the_console_script_works_in_an_empty_folder(script: Path, tmp_path: Path):
    listed = run_script(script, tmp_path, "recipes")

    assert [line.split()[0] for line in listed.splitlines() if line and not line.startswith((" ", "recipe "))][
        : len(presets())
    ] == list(presets())
    assert f"Every value of one: {SCRIPT} recipes --name NAME." in listed
    assert run_script(script, tmp_path, "--version") == f"{SCRIPT}, version {__version__}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_console_script_takes_no_package_of_the_users_own_for_ours(script: Path, tmp_path: Path):
    for name in ("pipelines", "tuning"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('theirs')")
    paths = os.pathsep.join((str(tmp_path), str(script.parents[1])))

    listed = run(script, "recipes", cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths})

    assert "quickstart" in listed


def test_the_console_script_completes_commands_and_parameters(script: Path, tmp_path: Path, monkeypatch):
    def complete(words: str) -> list[str]:
        monkeypatch.setenv("_SBERT_PRUNE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        return [line.rpartition(",")[2] for line in run_script(script, tmp_path).splitlines()]

    assert complete("sbert-prune se") == ["search"]
    assert complete("sbert-prune promote --max") == ["--max-size-mb", "--max-latency-ms"]
    assert complete("sbert-prune nothing --max") == [""]
