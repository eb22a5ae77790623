"""Variables that torchrun sets, packages named like ours, and users without a name do not stop a command."""

import os
import socket
import subprocess
import sys
import time
from io import TextIOWrapper
from pathlib import Path

import pytest

from pipelines.__main__ import _make_streams_writable
from sbert_prune.errors import RecipeError
from sbert_prune.system.launch import complete_identity, rank_and_size

ROOT = Path(__file__).parents[2]
GROUP = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29555"}

ALONE = {
    "no variable": {},
    "an empty size": {"WORLD_SIZE": ""},
    "a blank size": {"WORLD_SIZE": " "},
    "a size of one": {"WORLD_SIZE": "1", "RANK": "0"},
    "a rank without a size": {"RANK": "1"},
    "what a batch system sets": {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "MASTER_ADDR": "n1", "MASTER_PORT": "1"},
}
REFUSED = {
    "a size alone": ({"WORLD_SIZE": "2"}, "but not RANK and MASTER_ADDR and MASTER_PORT"),
    "no address": (GROUP | {"MASTER_ADDR": ""}, "but not MASTER_ADDR"),
    "a size that is no number": (GROUP | {"WORLD_SIZE": "abc"}, "WORLD_SIZE=abc is not a number"),
    "no processes": (GROUP | {"WORLD_SIZE": "0"}, "WORLD_SIZE=0 is not a number"),
    "fewer than none": (GROUP | {"WORLD_SIZE": "-1"}, "WORLD_SIZE=-1 is not a number"),
    "a rank beyond the size": (GROUP | {"RANK": "2"}, "RANK=2 is not the number of one of WORLD_SIZE=2"),
    "a rank that is no number": (GROUP | {"RANK": "one"}, "RANK=one is not the number"),
    "a port that is no number": (GROUP | {"MASTER_PORT": "http"}, "MASTER_PORT=http is not the number"),
}


@pytest.fixture
def environment(monkeypatch):
    for name in GROUP:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def setting(patch, variables):
    for name, value in variables.items():
        patch.setenv(name, value)


@pytest.mark.parametrize("variables", ALONE.values(), ids=ALONE)
def test_a_process_is_alone_without_a_size(environment, variables):
    setting(environment, variables)

    assert rank_and_size() == (0, 1)


def test_the_variables_of_torchrun_give_rank_and_size(environment):
    setting(environment, GROUP | {"RANK": "1"})

    assert rank_and_size() == (1, 2)


@pytest.mark.parametrize(("variables", "said"), REFUSED.values(), ids=REFUSED)
def test_variables_that_do_not_fit_together_are_refused_with_the_way_out(environment, variables, said):
    setting(environment, variables)

    with pytest.raises(RecipeError, match=f"{said}.*unset WORLD_SIZE RANK"):
        rank_and_size()


WAITING = """
import signal, sys
from datetime import timedelta
from sbert_prune.errors import TrainingError
from sbert_prune.training.distributed import join_group
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    join_group(timedelta(seconds=float(sys.argv[1])))
except TrainingError as error:
    print(error)
"""


@pytest.fixture
def waiting(environment):
    """Return a function that starts the first of two processes, and the port on which it waits for the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = GROUP | {"MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    setting(environment, group)
    return lambda wait_s: subprocess.Popen([sys.executable, "-c", WAITING, str(wait_s)], stdout=subprocess.PIPE), port


@pytest.mark.slow
def test_a_process_gives_up_when_the_others_do_not_come(waiting):
    start, port = waiting

    with start(0.5) as process:
        said = process.stdout.read().decode()

    assert f"WORLD_SIZE=2, but the other processes could not be joined at 127.0.0.1:{port}: none came within" in said
    assert process.returncode == 0


@pytest.mark.slow
def test_a_process_that_waits_for_the_others_reacts_to_a_signal(waiting):
    start, port = waiting

    with start(3600) as process:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        process.terminate()

    assert process.returncode == 143


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_what_an_output_cannot_represent_is_written_as_a_question_mark(monkeypatch, tmp_path, encoding, errors):
    path = tmp_path / "log"
    with TextIOWrapper(path.open("wb"), encoding=encoding, errors=errors) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        _make_streams_writable()
        print("a मर")

    assert path.read_bytes().split() == [b"a", b"??"]


def test_how_an_output_replaces_characters_is_the_users_choice(monkeypatch, tmp_path):
    with TextIOWrapper((tmp_path / "log").open("wb"), encoding="ascii", errors="backslashreplace") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        _make_streams_writable()

        assert stream.errors == "backslashreplace"


@pytest.mark.parametrize("closed", [(1,), (0, 1), (0, 1, 2)], ids=str)
def test_a_closed_output_is_written_to_nowhere_and_no_file_takes_its_place(tmp_path, closed):
    code = "from pipelines.__main__ import _make_streams_writable as make; import os; make(); print('x'); "
    code += f"open({str(tmp_path / 'file')!r}, 'w').write('kept'); os.write(1, b'over'); os.write(2, b'over')"

    def close():
        for number in closed:
            os.close(number)

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, preexec_fn=close, check=False)

    assert (done.returncode, (tmp_path / "file").read_text()) == (0, "kept")


OWN = """
import sys
from sbert_prune.system.launch import prefer_own_packages
prefer_own_packages()
import pipelines.console, tuning.settings
print(pipelines.__file__, tuning.__file__, subprocess.check_output([sys.executable, "-c", "import tuning"]))
"""


@pytest.mark.parametrize("name", ["pipelines", "tuning"])
def test_a_package_of_the_users_own_is_not_taken_for_ours_by_a_command_and_its_processes(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise SystemExit('theirs')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    done = subprocess.run(
        [sys.executable, "-c", f"import subprocess{OWN}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split()[:2] == [str(ROOT / one / "__init__.py") for one in ("pipelines", "tuning")], done.stderr


def test_a_user_whom_the_system_does_not_know_has_a_name_and_a_home(monkeypatch, tmp_path):
    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "x")  # to restore it
        monkeypatch.delenv(name)

    complete_identity()

    assert os.environ["USER"] == str(os.getuid())
    assert Path.home() == tmp_path / f"home-of-{os.getuid()}"
    assert Path.home().stat().st_mode & 0o777 == 0o700
