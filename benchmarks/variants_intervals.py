"""Compute paired intervals of the study of variants: the same draws of seeds and patients for all variants.

    python -m benchmarks.variants_intervals --rows FILE [--output FILE]

One draw takes as many training seeds as there are, with replacement, and as many patients of each data set. A variant's
score is its mean over the drawn seeds; a difference takes both variants from the same draw. Only seeds that every
compared variant finished are used.
"""

import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from jaxtyping import Float

from stages.common.files.atomic_files import write_json
from stages.common.metrics.ranking import auc, draw_weights

DRAWS = 2000
DATASETS = ("rsna", "siim")
# The questions: is the first variant better than the second?
QUESTIONS = tuple(pair.split(" - ") for pair in (
    "mlip - no_local", "mlip - attention_local", "mlip_relaxed - no_local", "mlip_relaxed - attention_local",
    "mlip_relaxed - mlip", "mlip - no_integrity", "mlip - no_mim", "no_mask - mlip", "mlip - clip", "mlip - random",
))  # fmt: skip
Draws = Float[np.ndarray, "draws"]  # entry 0 is not a draw: every seed and patient once
Runs = dict[str, dict[int, dict]]  # variant -> seed -> row


def read_runs(path: Path) -> Runs:
    runs: Runs = {}
    for row in map(json.loads, path.read_text().splitlines()):
        runs.setdefault(row["variant"], {})[row["seed"]] = row
    return runs


def of_one_run(row: dict, dataset: str, measure: str) -> Draws:
    """Return a score of one run under every draw of patients; all runs use the same draws."""
    part = row[dataset]
    patients = part["patients"] if measure == "auc" else part["pointing"]["patients"]
    drawn = draw_weights(np.array(patients), DRAWS, seed=0)
    weights = np.concatenate([np.ones((1, len(patients))), drawn])
    if measure == "auc":
        return auc(np.array(part["scores"]), np.array(part["targets"]), weights)
    return weights @ np.array(part["pointing"][measure]) / weights.sum(axis=1)


def over_seeds(by_seed: Float[np.ndarray, "seeds draws"]) -> Draws:
    """Return the mean over the seeds of each draw."""
    count = len(by_seed)
    times = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return (np.concatenate([np.ones((1, count)), times]).T * by_seed).sum(axis=0) / count


def interval(draws: Draws) -> list[float]:
    """Return a value and its 95 % percentile interval."""
    return [float(draws[0]), *(float(each) for each in np.nanpercentile(draws[1:], [2.5, 97.5]))]


def shown(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def table(runs: Runs, measure: str) -> dict[str, dict]:
    """Return scores per variant and differences per question, by data set; None without a common seed."""
    found: dict[str, dict] = {}
    for dataset in DATASETS:
        figures = {
            variant: {seed: of_one_run(row, dataset, measure) for seed, row in rows.items()}
            for variant, rows in runs.items()
        }
        alone = {
            variant: {"seeds": len(rows), "value": interval(over_seeds(np.stack(list(rows.values()))))}
            for variant, rows in figures.items()
        }
        answers = {}
        for one, other in QUESTIONS:
            common = sorted(figures.get(one, {}).keys() & figures.get(other, {}).keys())
            if common:
                each = np.stack([figures[one][seed] - figures[other][seed] for seed in common])
                answers[f"{one} - {other}"] = {"seeds": len(common), "value": interval(over_seeds(each))}
        found[dataset] = {"variants": alone, "differences": answers}
    return found


def main() -> None:
    options = ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=Path, required=True)
    options.add_argument("--output", type=Path)
    arguments = options.parse_args()
    runs = read_runs(arguments.rows)
    measures = ("auc", "heatmap", "heatmap_in_lung", "random_in_lung", "fixed_peak_of_training")
    record = {measure: table(runs, measure) for measure in measures}
    for measure, found in record.items():
        print(f"\n{measure}\n\n| | seeds | {' | '.join(DATASETS)} |\n|---|---|---|---|")
        for part in ("variants", "differences"):
            for name in found[DATASETS[0]][part]:
                both = [found[dataset][part][name] for dataset in DATASETS]
                print(f"| {name} | {both[0]['seeds']} | {' | '.join(shown(each['value']) for each in both)} |")
    if arguments.output:
        write_json(arguments.output, record)


if __name__ == "__main__":
    main()
