"""A step of the default setting on a GPU, counted on fake CUDA tensors: no mismatch, few kernels and waits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(torch.version.cuda is not None, reason="a PyTorch for the CPU pretends to have a GPU")


def counted(folder: Path, batch: int, *options: str) -> dict:
    """Count in a process of its own, since PyTorch cannot be undeceived."""
    output = folder / "found.json"
    command = [sys.executable, "-m", "benchmarks.gpu_step", "--batches", str(batch), "--output", str(output), *options]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    (found,) = json.loads(output.read_text())
    return found


@pytest.mark.parametrize("context", ["report", "sentences"])
def test_a_step_of_256_pairs_is_few_kernels_and_hardly_waits(tmp_path, context: str) -> None:
    found = counted(tmp_path, 256, "--context", context)
    total = found["all"]
    assert total["kernels"] <= 3000
    assert total["waits"] <= 2
    assert total["to_device"] <= 5
    assert total["to_host"] == 1  # the norm, which nobody waits for
    assert set(found["read at"]) == {next(key for key in found["read at"] if key.startswith("sinkhorn.py"))}
    useful = {"text": (8, 12), "image": (12, 15), "reconstruction": (3.5, 5)}  # TFLOP, by hand from the sizes
    for part, (low, high) in useful.items():
        assert low < found["parts"][part]["TFLOP"] < high, part


# A pair is done after 14 iterations here, and the solver looks after every eighth.
@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({"local": {"rho": 0}}, 0),
        ({"local": {"rho": 0.5, "patches": "integrity"}}, 2),
        ({"local": {"epsilon": 0.02}}, 3),  # in the log domain, which it looks for
        ({"local": {"score": "attention"}}, 0),
        ({"optimisation": {"micro_batch": 16}}, 2),
        ({"optimisation": {"recompute": True}}, 2),
        ({"optimisation": {"recompute": True, "micro_batch": 16}}, 2),
        ({"optimisation": {"precision": "fp32"}}, 2),  # no kernel for sequences of different length
    ],
    ids=json.dumps,
)
def test_no_setting_mixes_devices_or_looks_at_values(tmp_path, settings: dict, waits: int) -> None:
    found = counted(tmp_path, 32, "--settings", json.dumps(settings))
    assert (found["all"]["waits"], found["all"]["to_device"], found["all"]["to_host"]) == (waits, 1, 1)
    if settings.get("optimisation", {}).get("recompute"):
        assert found["peak GiB"] < 4.5  # 5.8 with all activations
