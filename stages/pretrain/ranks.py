"""One training by several processes: torchrun on each node, one process per GPU; NCCL between GPUs, gloo between CPUs.

Why the number of ranks W changes rounding only. Rank k encodes rows k B/W .. (k+1) B/W of the global batch of B pairs,
gathers what the losses compare, and computes the whole objective: L_k = L on every rank. Call F = sum_k L_k = W L, one
graph over all ranks. Every collective's backward pass is its exact adjoint (all-gather: reduce-scatter with sum), so
the backward passes of all ranks together give the gradient of F. The copy of a parameter on rank k receives dF/dtheta_k
with sum_k dF/dtheta_k = W dL/dtheta. Its mean over ranks, which DistributedDataParallel takes, is dL/dtheta. This holds
for the encoders, of which each rank sees only its rows, and for what is used after the gathering (temperatures, phi),
of which every rank sees all. No loss is scaled anywhere.

DistributedDataParallel is used instead of one all-reduce after the backward pass: it sends the gradients of the last
layers while those of the first are computed. Every trained parameter takes part in every step, so it need not search
for unused ones; where masking ends, what is frozen from then on leaves with the replica before.

SIGTERM and SIGUSR1 only trigger extra saves; the periodic saves are what guarantees recovery.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..common.errors import InputError
from .rank_failure import SHUTDOWN_SECONDS, TerminatedError, one_message

# A rank that waits longer for another one gives up. This is longer than rank 0 needs to write a state to a slow disk;
# torchrun notices a dead rank within a second.
_LONGEST_WAIT = timedelta(minutes=10)
_LONGEST_PREPARATION = timedelta(hours=6)  # copies of all images onto a node's disk


@dataclass(frozen=True)
class Ranks:
    """One process among the W processes of a training; without torchrun, W = 1 and nothing is sent."""

    rank: int = 0
    world: int = 1
    store: dist.Store | None = None  # store that all ranks read and write, from the launcher

    @property
    def first(self) -> bool:
        """Return whether this is rank 0, which alone writes: state, candidates, curve, journal, messages."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Return the rows of a global batch that this rank encodes; `batch` is a multiple of W (`check_batch`)."""
        share = batch // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    def gather(self, own: Float[Tensor, "own *rest"]) -> Float[Tensor, "batch *rest"]:
        """Return the rows of all ranks in their order; differentiable. `own` has the same shape everywhere."""
        return own if self.world == 1 else _Gather.apply(own, self.world)

    def from_first(self, value: Any) -> Any:
        """Return the value that rank 0 passed."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def wait_for_all(self) -> None:
        """Wait until all ranks have come to this point."""
        if self.world > 1:
            dist.barrier()

    def wait_for_slowest(self) -> None:
        """Wait until all ranks are prepared: one node may copy its images for longer than a collective may take."""
        if self.store is not None:
            self.store.set(f"mlip/prepared/{self.rank}", "")
            self.store.wait([f"mlip/prepared/{each}" for each in range(self.world)], _LONGEST_PREPARATION)

    def replicate(self, model: nn.Module) -> nn.Module:
        """Return `model` with the weights of rank 0; its backward pass averages gradients over the ranks."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model, forward_sync_buffers=False, gradient_as_bucket_view=True)


ALONE = Ranks()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, world: int) -> Tensor:
        ctx.world = world
        whole = own.new_empty(world * own.shape[0], *own.shape[1:])
        dist.all_gather_single(whole, own.contiguous())
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        own = gradient.new_empty(gradient.shape[0] // ctx.world, *gradient.shape[1:])
        dist.reduce_scatter_single(own, gradient.contiguous())
        return own, None


@contextmanager
def connect(device: str = "auto") -> Iterator[Ranks]:
    """Connect the ranks that torchrun started, or yield `ALONE`; a failure of one ends all (rank_failure.py).

    `device` is the option of that name: `cpu` leaves GPUs unused. Raises InputError where there are fewer GPUs than
    processes.
    """
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    store, rank, world = next(iter(dist.rendezvous("env://", timeout=_LONGEST_WAIT)))
    with one_message(store, rank):
        cuda = device != "cpu" and torch.cuda.is_available()
        if cuda:
            here = int(os.environ["LOCAL_WORLD_SIZE"])
            if torch.cuda.device_count() < here:
                raise InputError(
                    f"torchrun started {here} processes on {socket.gethostname()}, but {torch.cuda.device_count()} "
                    "GPUs are visible: start one process per GPU"
                )
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if cuda else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_LONGEST_WAIT)
        yield Ranks(rank, world, store)
        dist.destroy_process_group()


@dataclass(frozen=True)
class Launch:
    """The processes of this node, among those of all `nodes`; `rendezvous` is HOST:PORT of node 0."""

    processes: int
    nodes: int = 1
    node: int = 0
    rendezvous: str = ""


def start_ranks(module: str, launch: Launch) -> None:
    """Replace this process by torchrun, with `launch.processes` processes of `module` and the same arguments.

    Does nothing for a single process, or if torchrun started this one. The processes share the available cores. Each
    of several nodes calls this. Raises InputError where they cannot meet.
    """
    if launch.processes * launch.nodes <= 1 or dist.is_torchelastic_launched():
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // launch.processes))
    launcher = ["-m", "torch.distributed.run", *_where(launch), f"--nproc-per-node={launch.processes}"]
    launcher += ["--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", f"--shutdown-timeout={SHUTDOWN_SECONDS}"]
    os.execv(sys.executable, [sys.executable, *launcher, "-m", module, *sys.argv[1:]])  # noqa: S606 (its own arguments, no shell)


def _where(launch: Launch) -> list[str]:
    """Return torchrun's options for this node."""
    if launch.nodes == 1:
        return ["--standalone"]
    host, _, port = launch.rendezvous.rpartition(":")
    if not host or not port.isdecimal() or launch.node >= launch.nodes:
        raise InputError(
            f"--nodes {launch.nodes} --node-index {launch.node} --rendezvous {launch.rendezvous or 'missing'}",
            remedy="call every node with its own number, from 0, and with HOST:PORT of node 0",
        )
    return [f"--nnodes={launch.nodes}", f"--node-rank={launch.node}", "--rdzv-backend=static", f"--master-addr={host}",
            f"--master-port={port}"]  # fmt: skip


def check_batch(batch: int, world: int) -> None:
    """Raise InputError unless every rank gets the same number of pairs."""
    if batch % world:
        raise InputError(
            f"optimisation.batch_size {batch} is not divisible by the {world} processes of this run (one per GPU): "
            f"set it to {batch // world * world or world} or {-(-batch // world) * world}, or change the number of GPUs"
        )


class Interruption:
    """Context that records signals; the loop asks for them after each step.

    SIGUSR1 (`sbatch --signal`) means save and continue. SIGTERM (preemption, time limit) means save and stop. With
    several ranks torchrun ends all after either, so both mean stop; only rank 0 decides, and the others continue until
    it has left.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._alone = ranks.world == 1
        self.save = self.stop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGUSR1)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.save = True
        self.stop = self.stop or number == signal.SIGTERM or not self._alone

    def saved(self, step: int) -> None:
        """Note that a state was saved. Raises TerminatedError where the training was told to stop."""
        self.save = False
        if self.stop:
            raise TerminatedError(f"stopped by a signal; saved at step {step}, where the next attempt resumes")
