"""Compare transport over all pairs of a batch with POT's batch solver, forward and backward, at equal marginal error.

    python -m benchmarks.transport [--batches 32 64] [--rounds 5] [--output FILE]

Both sides start from the same unit vectors (98 visible patches, 8 sentences; patches cluster around the sentences).
They compute all B x B scores and the gradient of their weighted sum, in one process on one thread, in interleaved
rounds; results are medians of processor time. POT (`ot.batch.solve_batch`, log domain, envelope gradient, KL to the
product) runs exactly the iterations that it needs for the tolerance, found beforehand, without its own check. Errors
are relative to `ot.solve` in double precision. Peak memory is measured in a separate process, above the inputs, in
units of M = 4 B B P S bytes. Also timed: the comparison of one pair with POT, which training does at every logged step.
"""

import json
import math
import multiprocessing
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ot
import ot.batch
import torch
from torch.nn import functional as F

from stages.common.files.atomic_files import write_json
from stages.pretrain.pot import difference_from_pot
from stages.pretrain.sinkhorn import SinkhornSettings, solve
from stages.pretrain.transport import attention_scores, transport_scores

PATCHES, SENTENCES, WIDTH, EPSILON, TOLERANCE = 98, 8, 512, 0.1, 1e-2
Scores = Callable[..., torch.Tensor]


def features(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return unit vectors around 20 themes; every patch and every sentence is near one of them."""
    generator = torch.Generator().manual_seed(0)
    themes = torch.randn(20, WIDTH, generator=generator)

    def near(count: int) -> torch.Tensor:
        chosen = themes[torch.randint(0, 20, (batch, count), generator=generator)]
        return F.normalize(chosen + 0.6 * torch.randn(chosen.shape, generator=generator), dim=-1)

    return near(PATCHES), near(SENTENCES)


def ours(patches: torch.Tensor, sentences: torch.Tensor, rho: float = math.inf) -> torch.Tensor:
    mu, nu = (torch.full(each.shape[:2], 1 / each.shape[1]) for each in (patches, sentences))
    return transport_scores(patches, sentences, mu, nu, settings=SinkhornSettings(EPSILON, rho, TOLERANCE, 500)).scores


def attention(patches: torch.Tensor, sentences: torch.Tensor) -> torch.Tensor:
    mu, nu = (torch.full(each.shape[:2], 1 / each.shape[1]) for each in (patches, sentences))
    return attention_scores(patches, sentences, mu, nu, attention_temperature=0.25, sentence_temperature=0.2).scores


def _pot(patches: torch.Tensor, sentences: torch.Tensor, iterations: int) -> Any:
    cost = 1 - torch.einsum("iae,jbe->ijab", patches, sentences).flatten(0, 1)
    return ot.batch.solve_batch(
        cost, reg=EPSILON, max_iter=iterations, tol=0, method="log_sinkhorn", reg_type="kl", grad="envelope"
    )


def pot(patches: torch.Tensor, sentences: torch.Tensor, iterations: int) -> torch.Tensor:
    return 1 - _pot(patches, sentences, iterations).value.view(len(patches), len(sentences))


def iterations_of_pot(patches: torch.Tensor, sentences: torch.Tensor) -> int:
    """Return the fewest iterations that bring the worst pair's patch marginal within the tolerance (L1)."""
    for count in range(1, 500):
        plan = _pot(patches, sentences, count).plan
        if float((plan.sum(dim=2) - 1 / PATCHES).abs().sum(dim=1).max()) <= TOLERANCE:
            return count
    raise AssertionError("no convergence")


def step(scores: Scores, patches: torch.Tensor, sentences: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Compute scores, and the gradient of their sum with fixed weights with respect to both inputs."""
    inputs = patches.clone().requires_grad_(), sentences.clone().requires_grad_()
    values = scores(*inputs)
    pattern = torch.cos(torch.arange(values.numel(), dtype=values.dtype)).view_as(values)
    return values.detach(), *torch.autograd.grad((values * pattern).sum(), inputs)


def solver_alone(cost: torch.Tensor) -> None:
    """Run our solver from costs to value and plan (the gradient), in the chunks of training."""
    for chunk in cost.split(512):
        mu, nu = (torch.full((len(chunk), count), 1 / count) for count in (PATCHES, SENTENCES))
        solve(chunk, mu, nu, SinkhornSettings(EPSILON, math.inf, TOLERANCE, 500))


def pot_alone(cost: torch.Tensor, iterations: int) -> None:
    ot.batch.solve_batch(cost, reg=EPSILON, max_iter=iterations, tol=0, method="log_sinkhorn", reg_type="kl")


def milliseconds(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return medians of processor time over interleaved rounds; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            began = time.process_time()
            side()
            times[name].append(1e3 * (time.process_time() - began))
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def _peak(side: str, batch: int, iterations: int, result: "multiprocessing.Queue[int]") -> None:
    torch.set_num_threads(1)
    ways: dict[str, Callable[..., torch.Tensor]] = {"ours": ours, "POT": partial(pot, iterations=iterations)}
    scores = ways[side]
    step(scores, *(each[:2] for each in features(batch)))  # loads the libraries
    inputs = features(batch)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    step(scores, *inputs)
    result.put(_status("VmHWM") - before)


def _status(field: str) -> int:
    """Return a memory size of this process in bytes, from /proc."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def peak_memory(side: str, batch: int, iterations: int) -> float:
    """Return the peak above the inputs, in units of M."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_peak, args=(side, batch, iterations, result))
    process.start()
    held = result.get()
    process.join()
    return held / (4 * batch * batch * PATCHES * SENTENCES)


def exactness() -> dict[str, float]:
    """Return the largest differences of plan and gradient from POT in double precision (to 1e-10), over 16 pairs."""
    patches, sentences = (each[:4].double() for each in features(4))
    mu, nu = (torch.full((4, each.shape[1]), 1 / each.shape[1]) for each in (patches, sentences))
    truth = partial(ot.solve, reg=EPSILON, reg_type="KL", tol=1e-12, max_iter=10**5)
    plans = torch.from_numpy(np.stack([truth((1 - t @ p.T).numpy()).plan for p in patches for t in sentences]))
    pattern = torch.cos(torch.arange(16, dtype=torch.float64))
    exact = torch.einsum("ij,ijba,jbe->iae", pattern.view(4, 4), plans.view(4, 4, *plans.shape[1:]), sentences)
    tight = SinkhornSettings(EPSILON, math.inf, 1e-6, 5000)
    own, other = (each.float().requires_grad_() for each in (patches, sentences))
    values = transport_scores(own, other, mu, nu, settings=tight).scores
    gradient = torch.autograd.grad((values.flatten() * pattern.float()).sum(), own)[0]
    cosine = torch.einsum("iae,jbe->ijba", own.detach(), other.detach()).flatten(0, 1)
    solved = solve(1 - cosine, mu.repeat_interleave(4, 0), nu.repeat(4, 1), tight)
    return {
        "plan": float((solved.plan.double() - plans).abs().max()),
        "gradient": float((gradient.double() - exact).abs().max()),
    }


def comparison(rho: float, pairs: int = 32) -> dict[str, float]:
    """Return milliseconds per comparison of a pair with POT (median), and the largest shares of its bounds."""
    patches, sentences = features(pairs)
    mu, nu = torch.full((PATCHES,), 1 / PATCHES), torch.full((SENTENCES,), 1 / SENTENCES)
    settings = SinkhornSettings(EPSILON, rho, TOLERANCE, 500)
    times, found = [], []
    for p, t in zip(patches, sentences, strict=True):
        solved = solve((1 - t @ p.T).unsqueeze(0), mu.unsqueeze(0), nu.unsqueeze(0), settings)
        began = time.process_time()
        found.append(difference_from_pot(p, t, mu, nu, solved.plan[0], solved.value[0], settings))
        times.append(1e3 * (time.process_time() - began))
    return {
        "ms": statistics.median(times[1:]),  # the first call imports POT
        "minimum": max(each.minimum for each in found),
        "plan": max(each.plan for each in found),
        "in_bounds": max(each.in_bounds for each in found),
    }


def main() -> None:
    options = ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--batches", type=int, nargs="+", default=[32, 64])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--output", type=Path)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    record: dict = {"exactness": exactness(), "batches": {}}
    print(f"largest difference from POT in double precision: {json.dumps(record['exactness'])}", flush=True)
    record["comparison"] = {str(rho): comparison(rho) for rho in (math.inf, 0.1, 0.0)}
    print(f"comparison of a pair with POT, by rho: {json.dumps(record['comparison'])}", flush=True)
    heads = "B | ours, ms | relaxed | attention | POT | solver | POT's solver | POT / ours | solvers | peak, M | POT's"
    print(f"| {heads} |\n{'|---' * 11}|")
    for batch in arguments.batches:
        inputs = features(batch)
        iterations = iterations_of_pot(*(each[:32] for each in inputs))
        sides: dict[str, Callable[[], object]] = {
            "ours": partial(step, ours, *inputs),
            "relaxed": partial(step, partial(ours, rho=0.1), *inputs),
            "attention": partial(step, attention, *inputs),
            "POT": partial(step, partial(pot, iterations=iterations), *inputs),
        }
        cost = 1 - torch.einsum("iae,jbe->ijba", *inputs).flatten(0, 1)
        sides |= {
            "solver": partial(solver_alone, cost),
            "solver_POT": partial(pot_alone, cost.transpose(1, 2).contiguous(), iterations),
        }
        row: dict = milliseconds(sides, arguments.rounds)
        row |= {f"peak_{side}": peak_memory(side, batch, iterations) for side in ("ours", "POT")}
        record["batches"][batch] = row | {"iterations_POT": iterations}
        times = " | ".join(f"{row[side]:.0f}" for side in sides)
        ratios = f"{row['POT'] / row['ours']:.1f} | {row['solver_POT'] / row['solver']:.1f}"
        peaks = f"{row['peak_ours']:.1f} | {row['peak_POT']:.1f}"
        print(f"| {batch} | {times} | {ratios} | {peaks} |", flush=True)
    if arguments.output:
        write_json(arguments.output, record)


if __name__ == "__main__":
    main()
