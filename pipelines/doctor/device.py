"""Check torch and its device in a separate process: importing a broken installation may crash, or take long.

`python -m pipelines.doctor.device DEVICE PRECISION` prints the properties of torch as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.doctor.findings import SLOW, Finding, in_bytes
from pipelines.doctor.machine import needed_memory
from sbert_prune.errors import RecipeError
from sbert_prune.system.command_line import command_line

_TIMEOUT_S = 30.0
_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Torch:
    """Properties of an installation of torch.

    Args:
        version: With its build, such as 2.13.0+cpu.
        cuda: The CUDA version that it was built for; None for a CPU build.
        hardware: Device and precision that the recipe would use; empty where it cannot run.
        refusal: Why the recipe cannot run here; else empty.
        gpu: Name of the GPU; empty without one.
        gpu_free: Free memory of the GPU in bytes.
    """

    version: str
    cuda: str | None
    hardware: str
    refusal: str
    gpu: str
    gpu_free: int


def check_device(device: str, precision: str, parameters: int | None) -> Finding:
    """Check that torch can be imported and has the device of the recipe.

    Args:
        device: The recipe's.
        precision: The recipe's.
        parameters: Number of parameters of the base; None where unknown.
    """
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-P", "-m", __name__, device, precision]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        return judge(Torch(**json.loads(done.stdout)), parameters, has_driver=_NVIDIA.exists())
    except subprocess.TimeoutExpired:
        return Finding("torch", "warn", f"was not imported within {_TIMEOUT_S:g} s", *SLOW)
    except (ValueError, TypeError):
        reason = (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
    reinstall = 'pip install --force-reinstall "torch==2.13.0"'
    return Finding("torch", "fail", reason, "torch cannot be imported: reinstall it.", reinstall)


def judge(torch: Torch, parameters: int | None, *, has_driver: bool) -> Finding:
    """Return the finding for an installation of torch.

    Args:
        torch: Its properties.
        parameters: Number of parameters of the base; None where unknown.
        has_driver: Whether this machine has NVIDIA's driver.
    """
    built = f"CUDA {torch.cuda}" if torch.cuda else "CPU build"
    gpu = f"; {torch.gpu}, {in_bytes(torch.gpu_free)} free" if torch.gpu else ""
    summary = f"{torch.version} ({built}); {torch.hardware or 'cannot run this recipe'}{gpu}"
    if torch.refusal:
        return Finding("torch", "fail", summary, torch.refusal, command_line("full", device="auto"))
    if has_driver and torch.cuda is None:
        advice = (
            "This machine has an NVIDIA driver, and torch is built without CUDA: "
            "install the build of PyPI to train on the GPU."
        )
        release = torch.version.partition("+")[0]
        return Finding("torch", "warn", summary, advice, f'pip install --force-reinstall "torch=={release}"')
    if has_driver and not torch.gpu and torch.hardware.startswith("cpu"):
        advice = "This machine has an NVIDIA driver, and torch sees no GPU: run nvidia-smi."
        return Finding("torch", "warn", summary, advice, "nvidia-smi")
    if torch.gpu and parameters is not None and needed_memory(parameters) > torch.gpu_free:
        advice = (
            f"Training takes about {in_bytes(needed_memory(parameters))} on the GPU. End programs that use its memory."
        )
        return Finding("torch", "warn", summary, advice, "nvidia-smi")
    return Finding("torch", "ok", summary)


def inspect_torch(device: str, precision: str) -> Torch:
    """Return the properties of torch in this process."""
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
    sys.stdout.write(json.dumps(asdict(inspect_torch(*sys.argv[1:3]))))
