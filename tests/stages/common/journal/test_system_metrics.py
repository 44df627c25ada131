"""Cores, memory and GPUs of a process and its children, against loads that are known."""

import multiprocessing
import sys
import time
import types

import numpy as np
import pytest

from stages.common.journal import system_metrics
from stages.common.journal.system_metrics import SystemSampler

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def spin(stop, megabytes):
    held = np.ones(megabytes * 125_000)  # 8 bytes each
    while not stop.is_set():
        held[0] += 1


@linux
def test_the_cpu_time_of_this_process_is_what_its_own_clock_says():
    """Bounded by the shortest and the longest time between its two readings: a busy machine stretches them."""
    outer, sampler, inner, cpu = time.monotonic(), SystemSampler(), time.monotonic(), time.process_time()
    while time.process_time() - cpu < 0.5:
        pass
    inner = time.monotonic() - inner
    cores = sampler.sample()["system/cpu_cores"]
    outer = time.monotonic() - outer
    used = time.process_time() - cpu
    assert cores * inner - 0.1 <= used <= cores * outer + 0.1  # the kernel counts in hundredths


@linux
def test_children_count_and_their_memory_too():
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    before = SystemSampler().sample()["system/memory_megabytes"]
    child = context.Process(target=spin, args=(stop, 200))
    child.start()
    try:
        deadline = time.monotonic() + 120
        while SystemSampler().sample()["system/memory_megabytes"] < before + 200:
            assert time.monotonic() < deadline, "the child's memory is not seen"
            time.sleep(0.05)
    finally:
        stop.set()
        child.join()


def test_without_proc_there_is_nothing_and_no_error(tmp_path):
    assert SystemSampler(tmp_path).sample() == {}


def nvidia_smi(folder, text):
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho \"$@\" > {folder}/asked\ncat <<'END'\n{text}\nEND\n")
    tool.chmod(0o755)


def test_gpus_in_use_are_told_by_nvidia_smi(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, "0, 87, 20480, 312.50\n2, 3, 512, [N/A]")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    found = {key: value for key, value in SystemSampler().sample().items() if "gpu" in key}
    assert found == {
        "system/gpu_0_utilization_percentage": 87.0,
        "system/gpu_0_memory_usage_megabytes": 20480.0,
        "system/gpu_0_power_usage_watts": 312.5,
        "system/gpu_2_utilization_percentage": 3.0,
        "system/gpu_2_memory_usage_megabytes": 512.0,
    }
    assert "--id=0,2" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("visible", "opened", "asked"), [(None, False, False), ("-1", True, False), (None, True, True)]
)
def test_gpus_that_are_not_this_stage_s_are_not_asked_for(tmp_path, monkeypatch, visible, opened, asked):
    nvidia_smi(tmp_path, "0, 1, 2, 3")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: opened))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert any("gpu" in key for key in SystemSampler().sample()) == asked


def test_a_tool_that_fails_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert system_metrics._gpus() == {}
