"""The device and precision of a phase."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from sbert_prune.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device and the type of matrix products. Weights and optimizer state are always float32."""

    device: torch.device
    bfloat16: bool

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Run forward passes in this precision inside the context."""
        if not self.bfloat16:
            yield
            return
        with ExitStack() as stack:
            stack.enter_context(torch.autocast(self.device.type, dtype=torch.bfloat16))
            if self.device.type == "cpu":
                # With narrow heads, the backward pass of torch 2.13's fused attention is 7 times slower in bfloat16
                # than in float32.
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield

    def for_worker(self) -> Hardware:
        """Return the hardware of a worker process: if the main one uses a GPU, the GPU of torchrun's LOCAL_RANK."""
        if self.device.type != "cuda":
            return self
        return Hardware(torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))), self.bfloat16)

    @property
    def precision(self) -> str:
        """The precision as it is recorded: "bfloat16" or "float32"."""
        return "bfloat16" if self.bfloat16 else "float32"

    def __str__(self) -> str:
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        return f"{self.device}{threads}, {self.precision}"


def choose_hardware(device: str, precision: str) -> Hardware:
    """Resolve a recipe's `device` and `precision`; "auto" takes the best one available.

    Raises:
        RecipeError: This machine does not have the device.
    """
    chosen = _best_device() if device == "auto" else torch.device(device)
    if chosen.type == "cuda" and (not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()):
        raise RecipeError(
            f"device={device}: torch sees {torch.cuda.device_count()} CUDA devices here. Use device=auto or device=cpu."
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise RecipeError("device=mps: torch sees no Apple GPU here. Use device=auto or device=cpu.")
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    return Hardware(chosen, _has_bfloat16(chosen) if precision == "auto" else precision == "bfloat16")


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Emulated bfloat16 is slower than float32: on a CPU it pays only with native instructions.
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
