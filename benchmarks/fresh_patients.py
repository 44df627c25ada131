"""Measure chosen checkpoints on synthetic patients of another seed: readings of heatmaps, rivals, zero-shot scores.

    snakemake --profile workflow/profiles/demo --config workspace=DIR make_phantom='{seed: 777}' -- TABLES
    python -m benchmarks.fresh_patients --folder DIR --rows FILE --checkpoints NAME=CHECKPOINT ...

TABLES are the pairs.arrow and both labels.arrow below DIR/results. NAME is one setting; its checkpoints are its seeds,
in their order, and `--pairs NAME-OTHER` compares two settings seed by seed. Validation of the fresh patients chooses
prompt sets and the probe, test is measured, and intervals draw seeds and patients together. Checkpoints that have a row
are skipped.
"""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from benchmarks.variants_intervals import DATASETS, DRAWS, Draws, interval, over_seeds, shown
from benchmarks.variants_on_phantom import ROOT, Study
from stages.common.data.label_matrix import read_label_matrix
from stages.common.data.labelled_images import read_labels
from stages.common.data.prompts import read_prompts
from stages.common.encoders.dual import Checkpoint, load_checkpoint
from stages.common.encoders.prompt_scores import prompt_scores
from stages.common.encoders.settings import READINGS
from stages.common.inference.encoding import in_batches, joined, token_batches
from stages.common.metrics.ranking import auc, draw_weights
from stages.phrase_grounding.heatmaps import GridMaps, grid_hits
from stages.phrase_grounding.located_images import locate
from stages.phrase_grounding.pointers import Pointers
from stages.phrase_grounding.pointing import baselines
from stages.phrase_grounding.prompt_sets import best_of
from stages.zero_shot_classification.contract import ZeroShotSettings
from stages.zero_shot_classification.scores import local_scores, standardised

SETS = ("all_places", "no_place")
HITS = (*SETS, *(f"{name}, {reading}" for name in SETS for reading in READINGS), "brightness", "random_encoders",
        "supervised_probe", "random_in_lung", "fixed_peak_of_training")  # fmt: skip
SCORES = ("global", "local", "global_and_local", "local, stitched", "global_and_local, stitched")
RIVALS = [("all_places", "brightness"), ("no_place", "brightness"), ("all_places", "no_place, centred")]


def pointing(study: Study, dataset: str, checkpoint: Checkpoint) -> dict[str, list]:
    """Return the hits on every test image, by what points, with the patients."""
    path, store = study.results / f"label_images/{dataset}/labels.arrow", study.stores[dataset]
    settings = study.config.settings("phrase_grounding", dataset)
    [(finding, prompts)] = read_prompts(ROOT / settings.prompts).items()
    labels = read_labels(path, finding)
    parts = {part: locate(labels, store, part, path) for part in ("train", "validation", "test")}
    sets = {name: {part: [prompts.expanded()[name]] * len(own.labels) for part, own in parts.items() if part != "train"}
            for name in SETS}  # fmt: skip
    pointed = Pointers(checkpoint, store, path, settings).at(finding, parts, sets)
    validation, test = parts["validation"], parts["test"]
    maps: dict[str, GridMaps] = {}
    first = pointed[SETS[0]]
    for name, each in pointed.items():
        maps |= {f"{name}, {reading}": own["test"] for reading, own in each.heatmap.items()}
        maps[name] = best_of(each.heatmap, validation)["test"]
    maps["supervised_probe"] = best_of(first.supervised_probe, validation)["test"]
    if first.brightness:
        maps["brightness"] = first.brightness["test"]
    found = {name: grid_hits(own, test) for name, own in maps.items()}
    random = [grid_hits(best_of(own, validation)["test"], test) for own in first.random_encoders]
    found["random_encoders"] = np.mean(random, axis=0)
    rivals = baselines(test, parts["train"], ())
    found |= {name: own.hit for name in ("random_in_lung", "fixed_peak_of_training") if (own := rivals[name])}
    return {"patients": [str(each) for each in test.resampled[1]],
            **{name: np.round(each, 3).tolist() for name, each in found.items()}}  # fmt: skip


def zero_shot(study: Study, dataset: str, checkpoint: Checkpoint) -> dict[str, list]:
    """Return the scores of every test image, by kind, with targets and patients; validation chooses the prompt set."""
    path, store = study.results / f"label_images/{dataset}/labels.arrow", study.stores[dataset]
    named = study.config.settings("zero_shot_classification", dataset).prompts
    [(finding, prompts)] = read_prompts(ROOT / named).items()
    labels = read_label_matrix(path, [finding]).among([finding]).labelled()
    ids, split, targets = labels.images["image_id"].to_list(), labels.images["split"].to_numpy(), labels.of(finding)
    batches = in_batches([store.row_of(image) for image in ids], 64)
    tokens = token_batches(checkpoint.model, store.gather, batches)
    embedded = joined(map(checkpoint.model.embed_global, tokens)).numpy()
    sets, training = prompts.expanded(), split == "train"
    whole = prompt_scores(checkpoint, sets, embedded)
    kinds, seen = {"global": whole}, [image for image, own in zip(ids, training, strict=True) if own]
    for reading, said in (("centred", ""), ("stitched", ", stitched")):
        settings = ZeroShotSettings(score="local", reading=reading)
        local = local_scores(checkpoint, sets, store, ids, settings, training=seen)
        kinds[f"local{said}"] = local
        kinds[f"global_and_local{said}"] = {
            name: standardised(whole[name], training) + standardised(local[name], training) for name in sets
        }
    found = {}
    for kind, by_set in kinds.items():
        used, once = split == "validation", np.ones((1, int((split == "validation").sum())))
        own = {name: float(auc(each[used].astype(float), targets[used].astype(np.int64), once)[0])
               for name, each in by_set.items()}  # fmt: skip
        found[kind] = np.round(by_set[max(own, key=lambda name: own[name])][split == "test"].astype(float), 5).tolist()
    tested = split == "test"
    return found | {
        "targets": targets[tested].tolist(),
        "patients": labels.images["patient_id"].to_numpy()[tested].tolist(),
    }


def draws_of(row: dict, dataset: str, name: str) -> Draws:
    """Return hits or an AUC of one checkpoint with every patient once, then under every draw of patients."""
    own = row[dataset]["zero_shot" if name in SCORES else "pointing"]
    weights = draw_weights(np.array(own["patients"]), DRAWS, seed=0)
    weights = np.concatenate([np.ones((1, weights.shape[1])), weights])
    if name in SCORES:
        return auc(np.array(own[name]), np.array(own["targets"]), weights)
    return weights @ np.array(own[name]) / weights.sum(axis=1)


def print_table(rows: list[dict], pairs: Iterable[tuple[str, str]]) -> None:
    """Print every figure of each setting, differences from rivals, and paired differences between settings."""
    names = list(dict.fromkeys(row["name"] for row in rows))

    def line(label: str, value: Callable[[dict, str], Draws], name: str) -> None:
        own = [row for row in rows if row["name"] == name]
        cells = [shown(interval(over_seeds(np.stack([value(row, each) for row in own])))) for each in DATASETS]
        print(f"| {name} ({len(own)}) | {label} | {' | '.join(cells)} |")

    print(f"| setting (seeds) | figure | {' | '.join(DATASETS)} |\n|---|---|---|---|")
    for name in names:
        for figure in (*HITS, *SCORES):
            line(figure, lambda row, dataset, own=figure: draws_of(row, dataset, own), name)  # type: ignore[misc]
        for one, other in [*RIVALS, *((each, "global") for each in SCORES[1:])]:
            line(f"{one} - {other}", lambda row, dataset, a=one, b=other:  # type: ignore[misc]
                 draws_of(row, dataset, a) - draws_of(row, dataset, b), name)  # fmt: skip
    for one, other in pairs:
        twins = [[row for row in rows if row["name"] == name] for name in (one, other)]
        for figure in (*SETS, *SCORES):
            cells = [shown(interval(over_seeds(np.stack([draws_of(a, dataset, figure) - draws_of(b, dataset, figure)
                                                        for a, b in zip(*twins, strict=False)]))))
                     for dataset in DATASETS]  # fmt: skip
            print(f"| {one} - {other} | {figure} | {' | '.join(cells)} |")


def main() -> None:
    """Measure what has no row yet, and print."""
    options = ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--folder", type=Path, required=True, help="workspace of the fresh patients")
    options.add_argument("--rows", type=Path, required=True, help="JSON lines file to append to")
    options.add_argument("--checkpoints", nargs="*", default=[], help="NAME=FOLDER, the seeds of a name in their order")
    options.add_argument("--pairs", nargs="*", default=[], help="NAME-OTHER, compared seed by seed")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder.resolve()
    study = Study(folder, {"workspace": str(folder)})
    rows = [json.loads(line) for line in arguments.rows.read_text().splitlines()] if arguments.rows.exists() else []
    done = {row["checkpoint"] for row in rows}
    for name, _, path in (each.partition("=") for each in arguments.checkpoints):
        if path in done:
            continue
        checkpoint = load_checkpoint(Path(path), torch.device("cpu"))
        row: dict = {"name": name, "checkpoint": path}
        for dataset in DATASETS:
            measures = {"pointing": pointing, "zero_shot": zero_shot}
            row[dataset] = {name: measure(study, dataset, checkpoint) for name, measure in measures.items()}
        rows.append(row)
        with arguments.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
    print_table(rows, [tuple(each.split("-")) for each in arguments.pairs])


if __name__ == "__main__":
    main()
