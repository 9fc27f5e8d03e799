"""Which precision a device is trained in, and what a record says of it."""

import os
import platform

import pytest
import torch

from lib import device
from lib.device import environment, peak_memory, use_bf16

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("avx512_bf16 avx512f", True),
        ("amx_bf16 amx_tile", True),
        ("neon arm_bf16", True),
        ("avx512f avx512bw avx512vl avx512dq", False),  # which PyTorch itself would emulate it on
        ("avx2", False),
    ],
)
def test_a_cpu_trains_in_bf16_where_it_has_instructions_for_it(flags, native, monkeypatch):
    known = dict.fromkeys(flags.split(), True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):  # as older versions ask
        monkeypatch.setattr(torch.cpu, name, lambda: native, raising=False)
    assert use_bf16("auto", CPU) is native
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert use_bf16("auto", CPU) is native
    assert use_bf16("bf16", CPU) and not use_bf16("fp32", CPU)


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/cpuinfo")
def test_what_pytorch_says_of_this_cpu_is_what_the_kernel_says():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(file.read().split())
    assert use_bf16("auto", CPU) == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize(
    ("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_a_gpu_trains_in_bf16_from_ampere_on(capability, native, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert use_bf16("auto", GPU) is native
    assert use_bf16("bf16", GPU) and not use_bf16("fp32", GPU)


def test_a_record_says_where_and_how(monkeypatch):
    monkeypatch.setattr(device, "commit", lambda: "abc1234")
    told = environment(CPU, bf16=True)
    assert told["precision"] == "bf16" and environment(CPU, bf16=False)["precision"] == "fp32"
    assert told["threads"] == torch.get_num_threads()
    assert told["device"].endswith(f"CPU, {os.cpu_count()} cores")
    assert told["commit"] == "abc1234" and type(told["torch"]) is str
    assert peak_memory() > 50e6  # PyTorch alone takes more
