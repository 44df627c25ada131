"""Classify with few labels: one variant, data set, protocol and fraction of the training images; seeds inside.

Settings: those of one job (contract.py).
linear    --features. A linear classifier on the cached features of extract_features.
finetune  --checkpoint and --images. All weights of the image encoder trained; a killed job goes on from --state.
Inputs of both: labels.arrow and its audit.json. Outputs: result.json and scores/seed_<n>.arrow of validation and test
images.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ..audit_splits.contract import read_overlap
from ..common.command_line import run_stage
from ..common.few_shot.parts import Parts, read_finding, split_parts, targets_of
from ..common.journal.tracking import Run, track
from ..common.training.served_states import state_in_use
from ..common.training.state_files import ResumableState
from .contract import ALWAYS_DIFFERENT, departures_of
from .evaluation import SeedScores, evaluate, write_result
from .linear_probe import CachedFeatures, Features, probe
from .options import command_parser

Fit = Callable[[int], SeedScores]


def linear(arguments: Namespace) -> None:
    def prepare(parts: Parts, _run: Run) -> Fit:
        cached = CachedFeatures(arguments.features)
        features = Features(cached.of(parts.train), targets_of(parts.train), cached.of(parts.validation),
                            targets_of(parts.validation), cached.of(parts.test))  # fmt: skip
        return lambda seed: probe(features, arguments.settings, seed)

    _classify(arguments, {"features": arguments.features}, prepare)


def finetune(arguments: Namespace) -> None:
    from .finetuning import Finetuning  # encoders: many linear jobs are spared the import

    def prepare(parts: Parts, run: Run) -> Fit:
        state = held.enter_context(state_in_use(arguments.state / run.digest[:16]))
        finetuning = Finetuning.load(
            arguments.checkpoint, arguments.images, parts, arguments.settings, arguments.device
        )
        return lambda seed: finetuning.repeat(
            seed, run.log_metrics, ResumableState(state / f"seed_{seed}", arguments.save_minutes * 60)
        )

    inputs = {"checkpoint": arguments.checkpoint / "model.safetensors", "images": arguments.images}
    with ExitStack() as held:
        _classify(arguments, inputs, prepare)


def _classify(arguments: Namespace, inputs: dict[str, Path], prepare: Callable[[Parts, Run], Fit]) -> None:
    settings = arguments.settings
    inputs |= {"labels": arguments.labels, "audit": arguments.audit}
    with track("few_shot_classification", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        labels = read_finding(arguments.labels, settings.finding)
        overlap = read_overlap(arguments.audit, arguments.labels)
        parts = split_parts(labels, settings.fraction, arguments.labels)
        fit = prepare(parts, run)
        runs = [] if parts.skipped else [fit(settings.seed + number) for number in range(settings.seeds)]
        result = {"finding": parts.finding, "protocol": arguments.protocol, "fraction": settings.fraction,
                  "departures": departures_of(settings, arguments.protocol),
                  "always_different": ALWAYS_DIFFERENT[arguments.protocol]}  # fmt: skip
        result |= evaluate(parts, runs, settings.draws, settings.seed) | {"overlap": overlap}
        write_result(arguments.result, arguments.scores, result, parts, runs, run)


def parser() -> ArgumentParser:
    return command_parser(__doc__, linear, finetune)


if __name__ == "__main__":
    run_stage(lambda arguments: arguments.main(arguments), parser())
