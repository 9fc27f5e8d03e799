"""Which device a run is trained on, what it can do, and what the run's record says about it."""

import os
import platform
import sys

import torch

from .identity import commit


def best_device() -> torch.device:
    """Return the fastest device there is: an NVIDIA GPU, Apple's, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to train in bf16: where asked, or on `auto` where the device has it natively.

    A device that only emulates it, as older GPUs and CPUs do, is slower with it than without.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_has_bf16()


def _cpu_has_bf16():
    known = getattr(torch.cpu, "get_capabilities", dict)()  # not there before PyTorch 2.12
    if any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16")):
        return True
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def peak_memory() -> int | None:
    """Return the most bytes in use: an NVIDIA GPU's, else this process's (None on Windows)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def environment(device: torch.device, bf16: bool) -> dict:
    """Return where a run is trained: device, versions, precision, threads of a CPU, and commit."""
    name = f"{platform.machine()} {device.type.upper()}, {os.cpu_count()} cores"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else name,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "precision": "bf16" if bf16 else "fp32",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "commit": commit(),
    }
