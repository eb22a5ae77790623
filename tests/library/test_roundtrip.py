"""A saved model is checked in a new process, which also reports its memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sbert_prune.errors import EncoderError, RoundTripError
from sbert_prune.models import roundtrip as reload
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.roundtrip import reload_in_fresh_process
from sbert_prune.models.sentence import PROBES, embed, load_saved
from sbert_prune.system.memory import peak_memory_mb

ROOT = Path(__file__).parents[2]


def test_a_new_process_gets_the_same_embeddings_and_reports_its_own_memory(tiny_model, tmp_path, monkeypatch):
    model = tiny_model(depth=3, width=1024, spread=0.02)
    weights_mb = sum(parameter.numel() for parameter in model.parameters()) * 4 / 1e6
    model.save(str(tmp_path / "saved"))
    ballast = np.ones(400_000_000 // 8)  # memory of this process that the new one must not report
    parent_mb = peak_memory_mb()
    monkeypatch.chdir(tmp_path)

    report = reload_in_fresh_process(Path("saved"), embed(model, PROBES), tolerance=1e-4)

    assert report.max_abs_diff < 1e-4
    assert report.metrics().keys() == {"roundtrip/max_abs_diff", "memory/peak_mb", "memory/libraries_mb"}
    assert weights_mb > 100
    assert report.peak_mb - report.libraries_mb > weights_mb
    assert 50 < report.libraries_mb < report.peak_mb
    assert report.libraries_mb < parent_mb - ballast.nbytes / 1e6 / 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_that_was_given_in_half_precision_is_compared_in_float32_as_it_was_evaluated(
    tiny_model, tmp_path, dtype
):
    tiny_model().to(dtype).save(str(tmp_path / "saved"))
    evaluated = load_saved(inspect_checkpoint(tmp_path / "saved"))

    report = reload_in_fresh_process(tmp_path / "saved", embed(evaluated, PROBES), run=reload.main)

    assert report.max_abs_diff < 1e-5


def test_a_model_that_does_not_come_back_as_it_was_is_refused(tiny_model, tmp_path):
    model = tiny_model()
    model.save(str(tmp_path / "saved"))
    weights = tmp_path / "saved" / "model.safetensors"
    tensors = load_file(weights)
    tensors["encoder.layer.1.output.dense.weight"][0] += 0.5
    save_file(tensors, weights, metadata={"format": "pt"})

    with pytest.raises(RoundTripError) as caught:
        reload_in_fresh_process(tmp_path / "saved", embed(model, PROBES), run=reload.main)

    assert str(caught.value).startswith(
        f"The model saved in {tmp_path / 'saved'} differs when it is loaded again: its embeddings differ by "
    )
    assert str(caught.value).endswith("(allowed 1e-05). It is not registered.")


def test_a_folder_that_a_fresh_process_cannot_load_is_refused_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "sentence_transformers.py").write_text("raise ImportError('config.json is of a later version')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # the process need not import the real one, which takes seconds

    with pytest.raises(RoundTripError) as caught:
        reload_in_fresh_process(tmp_path, np.zeros((6, 16), dtype=np.float32))

    assert (
        str(caught.value) == f"A fresh process cannot load {tmp_path}: ImportError: config.json is of a later version"
    )


def test_a_config_that_is_no_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(EncoderError, match=r"config\.json"):
        reload_in_fresh_process(tmp_path, np.zeros((6, 16), dtype=np.float32), run=reload.main)


_PEAKS = """
import os, subprocess, sys
import numpy as np
from sbert_prune.system.memory import peak_memory_mb

ballast = np.ones(50_000_000)  # 400 MB
code = "from sbert_prune.system.memory import peak_memory_mb; print(peak_memory_mb())"
started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
print(peak_memory_mb(), started.stdout.strip(), flush=True)
del ballast
if (pid := os.fork()) == 0:
    print(peak_memory_mb(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports VmHWM")
def test_a_child_process_reports_its_own_peak_and_not_that_of_its_parent():
    done = subprocess.run([sys.executable, "-c", _PEAKS], cwd=ROOT, capture_output=True, text=True, check=True)

    parent_mb, started_mb, forked_mb = map(float, done.stdout.split())

    assert 1 < started_mb < parent_mb - 300
    assert (
        1 < forked_mb < parent_mb - 300
    )  # a fork starts with what its parent holds at that moment, freed memory not included


def test_the_peak_is_read_from_proc_on_linux_and_from_getrusage_elsewhere(tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmPeak:\t  9000 kB\nVmHWM:\t    2000 kB\nVmRSS:\t  1000 kB\n")

    assert peak_memory_mb(status=tmp_path / "status") == 2.048
    assert peak_memory_mb(torch.device("cpu"), status=tmp_path / "status") == 2.048
    assert 50 < peak_memory_mb(status=tmp_path / "missing") < 1_000_000
