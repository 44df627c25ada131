"""A job of several nodes: what is asked for, and a command that reaches every node as it was written."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stages.common.errors import InputError
from workflow.rule_requests import rule_requests, with_profile
from workflow.several_nodes import Spread, spread_of

ROOT = Path(__file__).parents[2]
SRUN = """#!/bin/bash
# srun of two nodes: its options, then a program that is started once for each.
while [[ $1 == --* ]]; do shift; done
for SLURM_NODEID in 0 1; do export SLURM_NODEID CUDA_VISIBLE_DEVICES=$SLURM_NODEID; "$@" || exit; done
"""
APPTAINER = """#!/bin/bash
# apptainer exec OPTION... IMAGE bash -c COMMAND, with nothing of the environment but what is passed by APPTAINERENV_X.
echo "apptainer ${@:1:6}"
exec env -i PATH="$PATH" SLURM_NODEID="$APPTAINERENV_SLURM_NODEID" GPUS="$APPTAINERENV_CUDA_VISIBLE_DEVICES" "${@:7}"
"""


def run(folder: Path, command: str, program: str = "apptainer") -> list[str]:
    """Lines that a shell command writes, where srun and apptainer are the scripts above, and nothing else is there."""
    apptainer = APPTAINER.replace("apptainer", program).replace("APPTAINER", program.upper())
    for name, text in {"srun": SRUN, program: apptainer}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for tool in ("bash", "basename", "cat", "env"):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    environment = os.environ | {"PATH": str(folder), "SLURM_LAUNCH_NODE_IPADDR": "first"}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_a_command_reaches_every_node_with_its_quotes(tmp_path: Path) -> None:
    written = (
        """printf '%s|' "$SLURM_NODEID" 'a b' '{"c": "it'"'"'s"}' "$WORD"; echo error >&2; echo 2> "$(echo log)\""""
    )
    command = Spread(2, 2).command(written, None, "", {"WORD": "x y"})
    assert run(tmp_path, command.replace("{threads}", "1")) == [
        """0|a b|{"c": "it's"}|x y|""", """1|a b|{"c": "it's"}|x y|"""
    ]  # fmt: skip
    assert (tmp_path / "log").read_text() == "error\nerror\n"


@pytest.mark.parametrize("program", ["apptainer", "singularity"])
def test_the_container_of_a_node_sees_its_own_variables(tmp_path: Path, program: str) -> None:
    written = 'echo "$SLURM_NODEID $GPUS ${HOME-none}" 2> /dev/null'
    command = Spread(2, 4).command(written, "/images/a b.sif", "--nv --cleanenv", {"A": "b"}).replace("{threads}", "1")
    start = f"{program} exec --home {tmp_path} --nv --cleanenv /images/a b.sif"
    assert run(tmp_path, command, program) == [start, "0 0 none", start, "1 1 none"]


def test_one_node_changes_nothing() -> None:
    assert Spread(1, 4).command("python -m x 2> log", "image", "", {}) == "python -m x 2> log"
    assert Spread(1, 4).options == ""
    assert Spread(1, 4).resources == {"nodes": 1}


def test_a_site_without_gpus_is_asked_for_none() -> None:
    assert Spread(1, 0).per_node == 1
    assert "slurm_extra" not in Spread(2, 0).resources
    assert Spread(2, 4).resources["slurm_extra"] == "--gpus-per-node=2"


def test_what_the_profile_asks_for() -> None:
    assert spread_of("pretrain", {}) == Spread(1, 1)
    assert spread_of("pretrain", {"pretrain": {"nodes": 2, "gpu": "8"}}).per_node == 4
    with pytest.raises(
        InputError, match=r"gpu=7 counts those of all nodes, and 2 nodes cannot share them evenly.*2 times"
    ):
        spread_of("pretrain", {"pretrain": {"nodes": 2, "gpu": 7}})
    for value in ("two", 0, "-1", "1.5"):
        with pytest.raises(InputError, match=f"set-resources: pretrain: nodes={value} is no whole number"):
            spread_of("pretrain", {"pretrain": {"nodes": value}})


def test_the_doctor_counts_what_is_asked_of_each_node() -> None:
    request = rule_requests(ROOT / "workflow" / "rules")["pretrain"]
    asked = with_profile(request, {"nodes": 2, "gpu": 8})
    assert (asked.gpus, asked.threads) == (4, 4 * request.threads)
    assert with_profile(request, {}).threads == request.threads
