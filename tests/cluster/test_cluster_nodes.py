"""One training on two nodes of the cluster: the weights of one process, and what SLURM was asked for."""

import json

import pytest
from fault_runs import PAIRED, Run
from safetensors.numpy import load_file
from user_checkout import Checkout

pytestmark = pytest.mark.cluster

SPREAD = ("--set-resources", "pretrain:nodes=2", "pretrain:gpu=4")


@pytest.fixture(scope="module")
def alone(user: Checkout) -> Run:
    """A training by one process: that of the tests before, where they ran."""
    run = Run(user, "demo", keep=True)
    if not (run.place / "results" / "pretrain").exists():
        run.go("--until", "pretrain")
    return run


@pytest.fixture(scope="module")
def spread(user: Checkout, alone: Run) -> Run:
    """The same training by two processes on each of two nodes."""
    run = Run(user, "spread", "--until", "pretrain")
    for part in PAIRED:
        run.copy(alone, part)
    run.go(*SPREAD)
    return run


def test_nodes_and_ranks_change_rounding_only(alone: Run, spread: Run) -> None:
    expected, found = (run.place / "results" / "pretrain" / "mlip" / "candidates" for run in (alone, spread))
    files = sorted(path.name for path in expected.glob("*.safetensors"))
    assert files
    assert files == sorted(path.name for path in found.glob("*.safetensors"))
    for file in files:
        weights = load_file(found / file)
        for key, values in load_file(expected / file).items():
            assert abs(values - weights[key]).max() <= 1e-5, (file, key)


def test_the_job_has_its_nodes_and_gpus(spread: Run) -> None:
    journal = json.loads((spread.place / "results" / "pretrain" / "mlip" / "journal.json").read_text())
    job = spread.jobs()[journal["tags"]["slurm_job_id"]]
    assert job["NumNodes"] == "2"
    assert job["TRES"].split("gres/gpu=")[1] == "4"
    assert journal["tags"]["processes"] == "4"
    assert journal["tags"]["container"].startswith("mlip-torch")


def test_gpus_that_nodes_cannot_share_are_refused(spread: Run) -> None:
    said = spread.go("-n", "--set-resources", "pretrain:nodes=2", "pretrain:gpu=3", check=False)
    assert "pretrain: gpu=3 counts those of all nodes, and 2 nodes cannot share them evenly" in said
