"""A job of several nodes: what it asks of SLURM, and the command that starts its processes on all of them.

Snakemake starts the shell of a rule on the first node alone, in a container that has no `srun`. So a rule of several
nodes has no container of its own: its shell is `srun`, which starts each_node.sh once per node; that starts the
container.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from workflow.gpu_requests import asked, asked_gpus, gpus_of_gres, whole_number

_EACH_NODE = Path(__file__).with_name("each_node.sh")
# One port per job: the same on every node, another one for a job that shares its first node, below those of clients.
_PORT = "$((10000 + SLURM_JOB_ID % 20000))"


@dataclass(frozen=True)
class Spread:
    """How a job's GPUs, one process each, are spread over nodes."""

    nodes: int = 1
    gpus: int = 1  # of all nodes together
    by_gres: bool = False  # asked for by `gres`, which is per node

    @property
    def per_node(self) -> int:
        """Return the number of processes on a node."""
        return max(1, self.gpus // self.nodes)

    @property
    def resources(self) -> dict[str, Any]:
        """Return the resources that the executor plugin wants of a job of several nodes."""
        if self.nodes == 1:
            return {"nodes": 1}
        # `mpi`: the plugin leaves `srun` to the rule. Tasks are per node, and not per GPU.
        several = {"nodes": self.nodes, "mpi": "srun", "tasks": self.nodes, "tasks_per_gpu": 0}
        return several | ({"slurm_extra": f"--gpus-per-node={self.per_node}"} if self.gpus and not self.by_gres else {})

    @property
    def options(self) -> str:
        """Return the options by which processes find each other, for the shell of each node to fill in."""
        if self.nodes == 1:
            return ""
        return f'--nodes {self.nodes} --node-index "$SLURM_NODEID" --rendezvous "$SLURM_LAUNCH_NODE_IPADDR:{_PORT}"'

    def command(self, command: str, image: str | None, arguments: str, environment: Mapping[str, str]) -> str:
        """Return a rule's shell command that runs `command` on every node.

        Args:
            command: shell command of a rule; it ends with ` 2> LOG`, which the first node writes.
            image: the SIF that it runs in, or None.
            arguments: Apptainer's, as the profile gives them.
            environment: variables of the command.
        """
        if self.nodes == 1:
            return command
        text, redirected, log = command.rpartition(" 2> ")
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        container = f" {arguments} {shlex.quote(image)}" if image else ""
        start = (
            f"srun --nodes={self.nodes} --ntasks={self.nodes} --ntasks-per-node=1 --cpus-per-task={{threads}}"
            f" --kill-on-bad-exit=1 {shlex.quote(str(_EACH_NODE))}{container}{redirected}{log}"
        )
        # a here-document leaves the quotes of the command as they are
        lines = ("export EACH_NODE=$(cat <<'END_OF_COMMAND'", f"set -euo pipefail; export {exports};", text,
                 "END_OF_COMMAND", ")", start)  # fmt: skip
        return "\n".join(lines)


def spread_of(rule: str, resources: Mapping[str, Mapping[str, Any]]) -> Spread:
    """Return how the profile's `set-resources` spreads a rule's job.

    Raises:
        InputError: nodes or GPUs are not a whole number, or the GPUs cannot be shared evenly.
    """
    own = resources.get(rule, {})
    nodes, gpus = whole_number(rule, "nodes", asked(own, "nodes", 1)), asked_gpus(rule, own, 1)
    if nodes > 1 and gpus % nodes:
        raise InputError(
            f"set-resources: {rule}: gpu={gpus} counts those of all nodes, and {nodes} nodes cannot share them evenly",
            remedy=f"set gpu to {nodes} times the GPUs of a node",
        )
    return Spread(nodes, gpus, by_gres=gpus_of_gres(asked(own, "gres")) is not None)
