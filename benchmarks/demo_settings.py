"""Compare settings of the demo's training with those that it has, over paired seeds: is a cheaper setting as good?

    snakemake --profile workflow/profiles/demo                               its patients and tables are read
    python -m benchmarks.demo_settings --rows FILE --overlays A.yaml B.yaml  train and measure, one JSON row per run

An overlay holds keys of `pretrain`. A seed is the same initial weights (as far as layers agree), order of batches and
masks for all settings. Runs that have a row are skipped, so several processes can share the work by their `--seeds`.
The table at the end has the seeds that all settings finished: the test AUC by the best prompts of validation, its
difference from the demo's setting with a 95 % interval over seeds and patients, and processor time of the training.
The last weights are measured; no candidate is selected.
"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.variants_intervals import Runs, interval, of_one_run, over_seeds, read_runs, shown
from benchmarks.variants_on_phantom import DATASETS, SEEDS, Study

TODAY = "demo"


def run(studies: dict[str, Study], seeds: list[int], rows: Path) -> None:
    """Train and measure what has no row yet, seed by seed, so that rows stay paired whenever it is stopped."""
    for seed in seeds:
        for name, study in studies.items():
            if rows.exists() and seed in read_runs(rows).get(name, {}):
                continue
            began = time.process_time()
            checkpoint, training = study.train(study.settings("mlip", seed))
            row: dict[str, Any] = {"variant": name, "seed": seed, "training": training}
            row["seconds"] = time.process_time() - began
            row |= {dataset: study.measure(checkpoint, dataset) for dataset in DATASETS}
            with rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            scores = " ".join(f"{row[each]['auc']:.3f}" for each in DATASETS)
            print(f"seed {seed} {name}: {scores}, {row['seconds']:.0f} s of processor", flush=True)


def print_table(runs: Runs) -> None:
    """Print scores and paired differences of the seeds that every setting finished."""
    common = sorted(set.intersection(*(set(by_seed) for by_seed in runs.values())))
    print(f"\nseeds {common}\n\n| setting | AUC {' | '.join(DATASETS)} | less {TODAY} {' | '.join(DATASETS)} | s |")
    draws = {(name, seed, dataset): of_one_run(row, dataset, "auc")
             for name, by_seed in runs.items() for seed, row in by_seed.items() for dataset in DATASETS}  # fmt: skip
    for name, by_seed in runs.items():
        alone = [np.stack([draws[name, seed, dataset] for seed in common]) for dataset in DATASETS]
        other = [np.stack([draws[TODAY, seed, dataset] for seed in common]) for dataset in DATASETS]
        less = [ours - theirs for ours, theirs in zip(alone, other, strict=True)]
        cells = [shown(interval(over_seeds(each))) for each in [*alone, *less]]
        seconds = np.median([by_seed[seed]["seconds"] for seed in common])
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")


def main() -> None:
    """Run and print."""
    options = ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--folder", type=Path, default=Path("runs/demo"), help="workspace of the demo's run")
    options.add_argument("--overlays", type=Path, nargs="*", default=[], help="YAML files with keys of `pretrain`")
    options.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options.add_argument("--rows", type=Path, required=True, help="JSON lines file to append to")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    overlays = {TODAY: {}} | {each.stem: yaml.safe_load(each.read_text()) for each in arguments.overlays}
    folder = arguments.folder.resolve()
    run({name: Study(folder, {"workspace": str(folder), "pretrain": each}) for name, each in overlays.items()},
        arguments.seeds, arguments.rows)  # fmt: skip
    print_table(read_runs(arguments.rows))


if __name__ == "__main__":
    main()
