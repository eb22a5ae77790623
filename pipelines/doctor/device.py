"""What torch can compute on, asked in a process of its own: an installation that is broken may end it, or take long.

`python -m pipelines.doctor.device DEVICE PRECISION` writes the answer as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.doctor.findings import Finding, in_bytes
from pipelines.doctor.machine import needed_memory
from sbert_prune.errors import RecipeError

_PATIENCE_S = 30.0
_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Torch:
    """version: with its build, 2.13.0+cpu.  cuda: the CUDA that it was built for; None without.

    hardware: what the recipe would run on; `refusal` says why where it would not.  gpu, gpu_free: its name and bytes; "" and 0 without.
    """

    version: str
    cuda: str | None
    hardware: str
    refusal: str
    gpu: str
    gpu_free: int


def check_device(device: str, precision: str, parameters: int | None) -> Finding:
    """device, precision: the recipe's.  parameters: of the base; None where that is not known."""
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-m", __name__, device, precision]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        return judge(Torch(**json.loads(done.stdout)), parameters, has_driver=_NVIDIA.exists())
    except subprocess.TimeoutExpired:
        reason = f"was not imported within {_PATIENCE_S:g} s"
    except (ValueError, TypeError):
        reason = (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
    return Finding("torch", "fail", reason, "torch cannot be imported: install it anew.", 'pip install --force-reinstall "torch==2.13.0"')


def judge(torch: Torch, parameters: int | None, *, has_driver: bool) -> Finding:
    """The row for what torch says of itself. has_driver: whether this machine has NVIDIA's."""
    built = f"CUDA {torch.cuda}" if torch.cuda else "CPU build"
    gpu = f"; {torch.gpu}, {in_bytes(torch.gpu_free)} free" if torch.gpu else ""
    told = f"{torch.version} ({built}); {torch.hardware or 'not what the recipe asks for'}{gpu}"
    if torch.refusal:
        return Finding("torch", "fail", told, torch.refusal, "mlflow run . -e full -P device=auto")
    if has_driver and torch.cuda is None:
        advice = "This machine has an NVIDIA driver, and torch is built without CUDA: install the build of PyPI to train on the GPU."
        release = torch.version.partition("+")[0]
        return Finding("torch", "warn", told, advice, f'pip install --force-reinstall "torch=={release}"')
    if has_driver and not torch.gpu and torch.hardware.startswith("cpu"):
        return Finding("torch", "warn", told, "This machine has an NVIDIA driver, and torch sees no GPU: see what it says.", "nvidia-smi")
    if torch.gpu and parameters is not None and needed_memory(parameters) > torch.gpu_free:
        advice = f"Training takes about {in_bytes(needed_memory(parameters))} on the GPU. See what holds its memory, and end that."
        return Finding("torch", "warn", told, advice, "nvidia-smi")
    return Finding("torch", "ok", told)


def ask_torch(device: str, precision: str) -> Torch:
    """What the torch of this process says."""
    import torch

    from sbert_prune.training.device import choose_hardware

    hardware, refusal, gpu, free = "", "", "", 0
    try:
        chosen = choose_hardware(device, precision)
        hardware = f"{chosen.device}, {chosen.precision}"
        if chosen.device.type == "cuda":
            gpu, free = torch.cuda.get_device_name(chosen.device), torch.cuda.mem_get_info(chosen.device)[0]
    except RecipeError as error:
        refusal = str(error)
    return Torch(torch.__version__, torch.version.cuda, hardware, refusal, gpu, free)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(ask_torch(*sys.argv[1:3]))))
