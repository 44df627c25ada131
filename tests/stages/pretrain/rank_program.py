"""What test_ranks.py runs in several processes, under torchrun or not; rank 0 writes FOLDER/TASK.pt."""

import os
import signal
import sys
from pathlib import Path

import torch
from planted_pairs import VOCABULARY, data, small

from stages.common.journal.tracking import track
from stages.pretrain import training, transport
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.rank_failure import failures_recorded
from stages.pretrain.ranks import Ranks, connect
from stages.pretrain.training import Place, build, train

STUDIES = 40
NEITHER = {"local": {"weight": 0}, "reconstruction": {"weight": 0}}
TEXT = {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0.1}


def sixteen(epochs: int = 1, sentences: bool = False, **changes) -> PretrainSettings:
    """Batches of 16: 4 pairs for each of 4 ranks."""
    context = "sentences" if sentences else "report"
    model = {**small().model.model_dump(), "text": {**TEXT, "context": context}}
    block = {"epochs": epochs, "warmup_epochs": 1, "batch_size": 16, "learning_rate": 2.5e-4}
    return small(**{"model": model, "optimisation": {**block, "candidates": 2}, **changes})


# Name: settings, and how many pairs a chunk of the solver holds (16: chunks of few images, which ranks divide).
CASES = {
    "contrastive": (sixteen(**NEITHER), 512),
    "share of integrity": (sixteen(sentences=True, contrastive={"integrity": "share"}, **NEITHER), 512),
    "reconstruction": (sixteen(local={"weight": 0}), 512),
    "local": (sixteen(reconstruction={"weight": 0}), 512),
    "local, divided": (sixteen(local={"group": 8}, reconstruction={"weight": 0}), 16),
    "local, divided within a group": (sixteen(local={"patches": "integrity", "rho": 0.1}), 32),
    "local, the last group smaller": (sixteen(local={"group": 6, "score": "transport"}), 512),
    "all, in micro-batches": (
        sixteen(optimisation={**sixteen().optimisation.model_dump(), "micro_batch": 3}),
        512,
    ),
}  # fmt: skip


def gradients(ranks: Ranks) -> dict[str, tuple[dict[str, torch.Tensor], dict[str, float]]]:
    """For each case the gradient of one step and what would be logged."""
    results = {}
    for name, (settings, transport._PAIRS_AT_ONCE) in CASES.items():
        model = build(settings, VOCABULARY)
        replica = ranks.replicate(model)  # lives until its backward pass is over
        losses = replica(data(settings, STUDIES, ranks).draw(1), ranks)
        losses.total.backward()
        found = {key: weight.grad.clone() for key, weight in model.named_parameters() if weight.requires_grad}
        results[name] = found, {key: float(value) for key, value in losses.diagnostics.items()}
    return results


def trained(folder: Path, epochs: int, ranks: Ranks, unmasked: int = 0, accumulate: int = 1) -> dict[str, torch.Tensor]:
    """Weights after `epochs` of 2 batches, all terms of the objective, dropout, groups of 8 divided among the ranks."""
    transport._PAIRS_AT_ONCE = 16
    settings = sixteen(epochs, local={"group": 8}, unmasked_epochs=unmasked)
    optimisation = settings.optimisation.model_copy(update={"accumulate": accumulate})
    settings = settings.model_copy(update={"optimisation": optimisation})
    state = train(
        build(settings, VOCABULARY),
        data(settings, STUDIES, ranks),
        settings,
        Place(folder, 0.0 if epochs < 10 else 1e9),
        lambda *_: None,
        ranks,
    )
    return {"step": torch.tensor(state.step), **state.model.state_dict()}


def plant_trouble(how: str, ranks: Ranks) -> None:
    """In the third step, on rank 1 alone."""
    original = training._step

    def step(state, *rest):
        if state.step == 2 and ranks.rank == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "told_to_stop":
                os.kill(os.getppid(), signal.SIGTERM)  # torchrun, which sends it on to both
                return original(state, *rest)
            if how == "raises":
                raise ValueError("planted trouble")
            state.model.log_scale.data.fill_(float("nan"))
        return original(state, *rest)

    training._step = step


def failing(how: str, folder: Path, ranks: Ranks) -> None:
    """As `stages.pretrain.__main__`: rank 0 keeps the journal."""
    plant_trouble(how, ranks)
    if not ranks.first:
        trained(folder / "state", 100, ranks)
        return
    with track("pretrain", "failing", journal=folder / "journal.json", settings=sixteen(), inputs={}) as run, \
            failures_recorded(ranks.store, run):  # fmt: skip
        trained(folder / "state", 100, ranks)


def run(task: str, folder: Path) -> None:
    torch.set_num_threads(1)
    with connect() as ranks:
        if task in ("killed", "raises", "not_finite", "told_to_stop"):
            failing(task, folder, ranks)
            return
        if task == "gradients":
            result = gradients(ranks)
        elif task == "accumulate":
            result = trained(folder / "state", 4, ranks, accumulate=2)
        else:
            epochs, unmasked = {"train": (100, 0), "resume": (4, 0), "unmasked": (4, 2)}[task]
            result = trained(folder / "state", epochs, ranks, unmasked)
        if ranks.first:
            torch.save(result, folder / f"{task}.pt")


def run_as_rank(rank: int, world: int, port: int, task: str, folder: Path) -> None:
    """In a process that torchrun did not start: with the environment that it would give."""
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world)}
    run(task, folder)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
