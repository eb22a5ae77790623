"""`doctor` on Python, packages, torch, cores, memory, disks, git and environment managers."""

import os
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from pipelines.doctor.device import Torch, check_device, inspect_torch, judge
from pipelines.doctor.disk import Place, check_places, file_system, free_bytes, places
from pipelines.doctor.machine import (
    check_cores,
    check_git,
    check_managers,
    check_memory,
    check_packages,
    check_python,
    requirements,
)
from sbert_prune.system.limits import Limits
from tests.users import as_nobody

ROOT = Path(__file__).parents[2]


def test_another_python_is_refused_with_the_command_that_takes_a_right_one():
    range_, _ = requirements()

    assert check_python(range_).found.startswith(platform.python_version())
    assert check_python(range_).state == "ok"
    assert check_python(range_, running="3.10.4").state == "fail"
    assert "python3.11 -m venv" in check_python(range_, running="3.14.0").command


def test_missing_and_mismatching_packages_are_named_in_one_command_and_the_others_not():
    finding = check_packages(["click>=8", "torch==1.0", "no-such-package>=2,<3", 'pywin32>=1; sys_platform == "win32"'])

    assert finding.state == "fail"
    assert finding.found == f"torch {version('torch')}; no-such-package is missing"
    assert finding.command == f'pip install -c {ROOT / "constraints.txt"} "torch==1.0" "no-such-package<3,>=2"'
    assert check_packages(requirements()[1]).state == "ok"


def test_torch_says_what_the_recipe_would_run_on():
    finding = check_device("auto", "float32", 1_000_000)

    assert finding.state == "ok"
    assert version("torch") in finding.found
    assert "float32" in finding.found


def test_a_device_that_is_not_there_is_refused():
    finding = judge(inspect_torch("cuda:99", "auto"), None, has_driver=False)

    assert finding.state == "fail"
    assert "device=cuda:99: torch sees" in finding.advice


def test_a_torch_that_cannot_be_imported_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so: undefined symbol')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    finding = check_device("auto", "auto", None)

    assert (finding.state, finding.found) == ("fail", "ImportError: libtorch.so: undefined symbol")
    assert finding.command.startswith("pip install")


def test_a_torch_that_takes_long_to_import_is_not_called_broken(monkeypatch):
    monkeypatch.setattr("pipelines.doctor.device._TIMEOUT_S", 0.01)

    finding = check_device("auto", "auto", None)

    assert (finding.state, finding.found) == ("warn", "was not imported within 0.01 s")
    assert "install" not in finding.advice + finding.command


GPU = Torch("2.13.0", "12.8", "cuda, bfloat16", "", "NVIDIA H100", 80 * 10**9)


@pytest.mark.parametrize(
    ("torch", "parameters", "state", "command"),
    [
        (GPU, 10**8, "ok", ""),
        (GPU, 10**10, "warn", "nvidia-smi"),
        (
            replace(GPU, version="2.13.0+cpu", cuda=None, hardware="cpu, float32", gpu=""),
            10**8,
            "warn",
            "torch==2.13.0",
        ),
        (replace(GPU, hardware="cpu, float32", gpu=""), 10**8, "warn", "nvidia-smi"),
    ],
    ids=["fits", "too small", "built without", "not seen"],
)
def test_a_gpu_that_is_not_used_or_too_small_is_told_of(torch, parameters, state, command):
    finding = judge(torch, parameters, has_driver=True)

    assert finding.state == state
    assert command in finding.command


def test_torch_of_this_process_answers_as_the_one_in_a_process_of_its_own():
    assert inspect_torch("cpu", "float32").hardware == "cpu, float32"


def groups(folder, files):
    """Write control groups as Linux mounts them: version 2, or version 1 where a file names a controller."""
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    of_process = folder / "self"
    of_process.write_text(
        "4:memory:/job\n2:cpu,cpuacct:/job\n" if any(name.startswith("memory/") for name in files) else "0::/job\n"
    )
    return Limits(folder / "cgroup", of_process)


V1 = {
    "memory/job/memory.limit_in_bytes": "1000000000",
    "memory/job/memory.usage_in_bytes": "900000000",
    "memory/job/memory.stat": "cache 5\ntotal_inactive_file 200000000\n",
    "cpu/job/cpu.cfs_quota_us": "50000",
    "cpu/job/cpu.cfs_period_us": "100000",
}
V2 = {
    "job/memory.max": "max",
    "memory.max": "1000000000",
    "memory.current": "900000000",
    "memory.stat": "inactive_file 200000000\n",
    "job/cpu.max": "50000 100000",
}


@pytest.mark.parametrize("files", [V1, V2], ids=["version 1", "version 2, limit above"])
def test_a_containers_limits_count_not_the_machines(tmp_path, monkeypatch, files):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    limits = groups(tmp_path, files)

    assert limits.memory_left() == 300_000_000
    assert limits.num_cores() == 0.5
    assert check_memory(limits, 10**6).state == "warn"
    assert check_memory(limits, None).state == "ok"
    if len(os.sched_getaffinity(0)) > 1:
        assert check_cores(limits, load=0.0).command == "export OMP_NUM_THREADS=1"


def test_without_limits_it_is_the_machine(tmp_path):
    limits = Limits(tmp_path / "none", tmp_path / "none")

    assert limits.num_cores() == len(os.sched_getaffinity(0))
    assert check_memory(limits, 10**15).state == "warn"
    assert check_memory(limits, 1).state == "ok"


def test_busy_cores_and_too_many_threads_are_told_of(tmp_path, monkeypatch):
    limits = Limits(tmp_path / "none", tmp_path / "none")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    assert check_cores(limits, load=0.0).state == "ok"
    assert check_cores(limits, load=1e3).command == "export OMP_NUM_THREADS=1"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert check_cores(limits, load=1e3).state == "ok"
    monkeypatch.setenv("OMP_NUM_THREADS", "9999")
    assert check_cores(limits, load=0.0).command == f"export OMP_NUM_THREADS={len(os.sched_getaffinity(0))}"


def test_places_on_one_disk_share_its_room(tmp_path):
    half = free_bytes(tmp_path) * 2 // 3

    alone = check_places([Place("disk: store", tmp_path / "new" / "folder", half, "make room")])
    both = check_places(
        [Place("disk: store", tmp_path, half, "make room"), Place("disk: cache", tmp_path, half, "go elsewhere")]
    )

    assert [finding.state for finding in alone] == ["ok"]
    assert [(finding.state, finding.command) for finding in both] == [("warn", "make room"), ("warn", "go elsewhere")]


def test_a_place_that_cannot_be_written_fails(everybodys):
    closed = everybodys / "closed"
    closed.mkdir(mode=0o555)

    with as_nobody():
        (finding,) = check_places([Place("disk: cache", closed / "sbert-prune", 0, "export XDG_CACHE_HOME=~/cache")])

    assert (finding.state, finding.command) == ("fail", "export XDG_CACHE_HOME=~/cache")


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or file_system(Path("/dev/shm")) != "tmpfs", reason="needs a folder in memory"
)
def test_temporary_files_in_memory_are_told_of(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/dev/shm")

    found = {place.name: finding for place, finding in zip(places(1, 0), check_places(places(1, 0)), strict=True)}

    assert "tmpfs" in found["disk: temporary"].found
    assert found["disk: temporary"].state == "warn"
    assert "TMPDIR" in found["disk: temporary"].command


@pytest.mark.parametrize(
    ("there", "state", "command"),
    [
        (("pyenv", "conda"), "ok", ""),
        (("uv",), "warn", "mlflow run . -e full --env-manager uv"),
        (("conda", "virtualenv"), "warn", "mlflow run . -e full --env-manager local"),
        ((), "warn", "mlflow run . -e full --env-manager local"),
    ],
    ids=str,
)
def test_environment_managers_are_found_on_the_path(tmp_path, there, state, command):
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)

    finding = check_managers(str(tmp_path))

    assert (finding.state, finding.command) == (state, command)
    assert all(name in finding.found for name in there)
    assert check_git(str(tmp_path)).state == "warn"
