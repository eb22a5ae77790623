"""What `mlflow run` makes environments with, and what names the code of a run."""

from __future__ import annotations

import shutil

from pipelines.doctor.findings import Finding

_MANAGERS = ("pyenv", "uv", "conda", "virtualenv")


def check_managers(path: str | None = None) -> Finding:
    """Environment managers. MLflow makes the environment of python_env.yaml with pyenv, or with uv where it is told to.

    path: folders to look in; PATH when left out.
    """
    there = [name for name in _MANAGERS if shutil.which(name, path=path)]
    found = ", ".join(there) or "none of " + ", ".join(_MANAGERS)
    if "pyenv" in there:
        return Finding("environments", "ok", found)
    if "uv" in there:
        advice = "Plain `mlflow run .` needs pyenv; uv serves where it is asked for."
        return Finding("environments", "warn", found, advice, "mlflow run . -e full --env-manager uv")
    advice = "Plain `mlflow run .` needs pyenv to make an environment: let it use this one."
    return Finding("environments", "warn", found, advice, "mlflow run . -e full --env-manager local")


def check_git(path: str | None = None) -> Finding:
    """git, by which a run knows its commit. path: folders to look in; PATH when left out."""
    there = shutil.which("git", path=path)
    if there:
        return Finding("git", "ok", there)
    advice = "Without git, `mlflow run` takes local folders only, and runs do not know the commit of their code."
    return Finding("git", "warn", "not on PATH", advice, "apt-get install git")
