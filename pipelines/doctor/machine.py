"""The cores that this process may use, and how many threads wait for them."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.doctor.findings import Finding
from sbert_prune.system.limits import Limits, affine_cores

_FAST = {"avx512_bf16": "AVX512_BF16", "amx_bf16": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}


def check_cores(limits: Limits, *, load: float | None = None) -> Finding:
    """What there is to compute with. load: the number of processes that wanted a core in the last minute; this machine's when left out."""
    cores, given = limits.num_cores(), os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() else affine_cores()  # what torch takes
    load = load if load is not None else os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    told = f"{cores:g} core{'s' * (cores != 1)}{_instructions()}, load {load:.1f}, OMP_NUM_THREADS {given or 'not set'}"
    if threads > max(1.0, cores):
        advice = f"{threads} threads would share {cores:g} cores, and wait for each other: say how many there are."
        return Finding("cores", "warn", told, advice, f"export OMP_NUM_THREADS={max(1, int(cores))}")
    if load > cores and not given:
        advice = "Other programs keep the cores busy: one thread can then be many times faster than several that wait for each other."
        return Finding("cores", "warn", told, advice, "export OMP_NUM_THREADS=1")
    return Finding("cores", "ok", told)


def _instructions() -> str:
    """What makes matrix products fast, as Linux lists it; nothing elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith(("flags", "Features"))), [])
    except OSError:
        return ""
    there = [name for flag, name in _FAST.items() if flag in flags]
    return f" ({', '.join(there)})" if there else ""
