"""Compare all variants on synthetic patients with several seeds and equal steps: classification and localisation.

    python -m benchmarks.variants_on_phantom prepare --folder DIR            synthetic patients and their tables
    python -m benchmarks.variants_on_phantom run --folder DIR --rows FILE    train and measure, one JSON row per run
    python -m benchmarks.variants_intervals --rows FILE                      paired intervals

`run` goes through the seeds, and through the variants within a seed, so rows stay paired whenever it is stopped. Runs
that already have a row are skipped. The protocol is frozen below: the difficulty was chosen on `clip` alone, on
CALIBRATION_PATIENTS, before any other variant was trained (docs/benchmarks/variants.md). All work is done by the
stages' functions: make_phantom to pair_images_reports by the workflow, training and evaluation in this process.

Users compare the same variants by `make study STUDY=variants ON=demo`, which ends with a page of results. That is the
demo's protocol, with the choice of a checkpoint, not the frozen one below.
"""

import json
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml

from stages.common.data.image_store import ImageStore
from stages.common.data.label_matrix import label_matrix
from stages.common.data.labelled_images import read_labels
from stages.common.data.paired_reports import read_pairs
from stages.common.data.prompts import read_prompts
from stages.common.encoders.dual import Checkpoint, DualEncoder, checkpoint_record, to_input
from stages.common.encoders.prompt_scores import prompt_scores
from stages.common.encoders.report_batches import SpecialTokens
from stages.common.encoders.text import load_tokenizer
from stages.common.inference.encoding import mean_patches
from stages.config import check
from stages.phrase_grounding.heatmaps import describe
from stages.phrase_grounding.located_images import locate
from stages.phrase_grounding.pointers import Pointers
from stages.phrase_grounding.prompt_sets import ground_prompts
from stages.pretrain.batches import TrainingData
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.training import Place, build, train
from stages.pretrain.weights import with_normalisation
from stages.zero_shot_classification.contract import ZeroShotSettings
from stages.zero_shot_classification.evaluation import evaluate

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "workflow/profiles/demo/settings.yaml"
CALIBRATION_PATIENTS, STUDY_PATIENTS = 100, 200  # seeds of make_phantom
SEEDS = range(5)
VARIANTS = (
    "mlip", "mlip_relaxed", "no_local", "attention_local", "no_integrity", "no_mim", "no_mask", "clip", "random"
)  # fmt: skip
DATASETS = ("rsna", "siim")
# Overrides of the demo's settings.
FROZEN: dict[str, Any] = {
    "make_phantom": {
        "mimic_patients": 3000,
        "rsna_images": 1000,
        "siim_images": 1000,
        "contrast": {"lung_opacity": 1.5, "pneumothorax": 2.0},
    },
    "dicom_to_arrow": {"size": 96},
    "pretrain": {
        "model": {
            "image": {"input_size": 96, "patch_size": 12, "width": 96, "depth": 2, "heads": 4},
            "text": {"width": 96, "depth": 2, "heads": 4},
            "embedding_width": 64,
        },
        "reconstruction": {"width": 64, "depth": 1, "heads": 4},
        "optimisation": {"epochs": 12, "warmup_epochs": 1, "batch_size": 32, "learning_rate": 1e-3, "candidates": 1},
    },
}


def prepare(arguments: Namespace) -> None:
    """Run make_phantom to pair_images_reports and label_images by the workflow, in `folder`."""
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    overlay = folder / "settings.yaml"
    overlay.write_text(yaml.safe_dump(_overlay(folder, arguments.patients)))
    targets = [
        f"{folder}/results/pair_images_reports/mimic_cxr/pairs.arrow",
        *(f"{folder}/results/label_images/{dataset}/labels.arrow" for dataset in DATASETS),
    ]
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/demo", "--cores", str(arguments.cores),
         "--configfile", str(DEMO), str(overlay), "--", *targets],
        cwd=ROOT, check=True,
    )  # fmt: skip


def _overlay(folder: Path, patients: int) -> dict:
    return {**FROZEN, "workspace": str(folder), "make_phantom": {**FROZEN["make_phantom"], "seed": patients}}


def _merged(base: dict, over: dict) -> dict:
    both = {key: _merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(base[key], dict)}
    return {**base, **over, **both}


class Study:
    """Hold the prepared patients, and what all runs share."""

    def __init__(self, folder: Path, overlay: dict) -> None:
        """Read the tables in the workspace `folder`; `overlay` changes the demo's settings."""
        configuration: dict = {}
        for text in ((ROOT / "config.yaml").read_text(), DEMO.read_text()):
            configuration = _merged(configuration, yaml.safe_load(text))
        self.config = check(_merged(configuration, overlay))
        self.results = folder / "results"
        self.tokenizer = load_tokenizer(self.results / "split_reports/mimic_cxr/tokenizer")
        self.images = ImageStore(self.results / "dicom_to_arrow/mimic_cxr/manifest.json")
        self.stores = {name: ImageStore(self.results / f"dicom_to_arrow/{name}/manifest.json") for name in DATASETS}

    def settings(self, variant: str, seed: int) -> PretrainSettings:
        settings = self.config.settings("pretrain", variant=variant).model_copy(update={"seed": seed})
        return with_normalisation(settings, self.results / "pair_images_reports/mimic_cxr/fingerprint.json")

    def train(self, settings: PretrainSettings) -> tuple[Checkpoint, dict]:
        """Train and return the last weights; no candidate is selected."""
        text = settings.model.text
        pairs = self.results / "pair_images_reports/mimic_cxr/pairs.arrow"
        sentences = self.results / "split_reports/mimic_cxr/sentences.arrow"
        reports = read_pairs(pairs, sentences, "train", text.max_tokens, text.max_sentences)
        data = TrainingData(settings, self.images, reports, SpecialTokens.of(self.tokenizer))
        model = build(settings, self.tokenizer.get_vocab_size())
        with TemporaryDirectory() as state:
            trained = train(model, data, settings, Place(Path(state), 1e9), lambda *_: None)
        phi = None if settings.contrastive.integrity == "none" else model.integrity.centred_map()
        encoder = model.encoder.eval().requires_grad_(False)
        last = trained.history[-1] if trained.history else {}
        rows = self.images.draw_rows((study.image_ids[0] for study in reports), 1000, 0)
        mean = mean_patches(encoder, self.images.gather, rows)
        checkpoint = Checkpoint(encoder, self.tokenizer, phi, checkpoint_record(encoder), mean)
        return checkpoint, {"steps": trained.step, **last}

    def measure(self, checkpoint: Checkpoint, dataset: str) -> dict:
        """Return zero-shot scores and hits of every test image, for intervals computed later."""
        store = self.stores[dataset]
        labels_file = self.results / f"label_images/{dataset}/labels.arrow"
        zero_shot = self.config.settings("zero_shot_classification", dataset)
        grounding = self.config.settings("phrase_grounding", dataset)
        [(finding, prompts)] = read_prompts(ROOT / zero_shot.prompts).items()
        labels = read_labels(labels_file, finding)
        embeddings = _embed(checkpoint.model, store, labels["image_id"].to_list())
        scores = prompt_scores(checkpoint, prompts.expanded(), embeddings)
        result = evaluate(label_matrix(labels), {finding: scores}, ZeroShotSettings(draws=50)).findings[finding]
        test = (labels["split"] == "test").to_numpy()
        [pointed] = read_prompts(ROOT / grounding.prompts).values()
        pointed = pointed.model_copy(update={"sets": {"no_place": pointed.sets["no_place"]}})
        parts = {part: locate(labels, store, part, labels_file) for part in ("train", "validation", "test")}
        pointers = Pointers(checkpoint, store, labels_file, grounding.model_copy(update={"random_encoders": 0}))
        grounded = ground_prompts(pointers, finding, pointed, parts, 50, 0)["no_place"]
        return {
            "auc": result.metrics["auc"].value,
            "prompt_set": result.prompt_set,
            "scores": np.round(scores[result.prompt_set][test].astype(float), 6).tolist(),
            "targets": labels["target"].to_numpy()[test].tolist(),
            "patients": labels["patient_id"].to_numpy()[test].tolist(),
            "pointing": {
                "patients": [str(group) for group in grounded.test.resampled[1]],
                **{name: hit.round(4).tolist() for name, hit in grounded.values["pointing"].items()},
            },
            "phi": _phi(checkpoint, parts["train"].lungs),
        }


def _phi(checkpoint: Checkpoint, lungs: np.ndarray | None) -> dict | None:
    if checkpoint.integrity_map is None or lungs is None:
        return None
    described = describe(checkpoint.integrity_map, lungs)
    return {"lung_auc": described.lung_auc, "standard_deviation": described.standard_deviation}


@torch.inference_mode()
def _embed(model: DualEncoder, store: ImageStore, image_ids: list[str]) -> np.ndarray:
    rows = np.array([store.row_of(image) for image in image_ids])
    parts = [rows[first : first + 64] for first in range(0, len(rows), 64)]
    size = model.settings.image.input_size
    images = (to_input(torch.from_numpy(store.gather(part)), size) for part in parts)
    return torch.cat([model.embed_global(model.patch_tokens(each)) for each in images]).numpy()


def run(arguments: Namespace) -> None:
    torch.set_num_threads(1)
    folder = arguments.folder.resolve()
    study = Study(folder, _overlay(folder, arguments.patients))
    rows = arguments.rows
    done = {(row["variant"], row["seed"]) for row in map(json.loads, rows.read_text().splitlines())} if (
        rows.exists()) else set()  # fmt: skip
    for seed in arguments.seeds:
        for variant in arguments.variants:
            if (variant, seed) in done:
                continue
            began, processor = time.time(), time.process_time()
            checkpoint, training = study.train(study.settings(variant, seed))
            row = {"variant": variant, "seed": seed, "patients": arguments.patients, "training": training}
            row |= {dataset: study.measure(checkpoint, dataset) for dataset in DATASETS}
            row |= {"seconds": time.time() - began, "processor_seconds": time.process_time() - processor}
            with rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(variant, seed, *(f"{row[each]['auc']:.3f}" for each in DATASETS), f"{row['seconds']:.0f} s",
                  f"{row['processor_seconds']:.0f} s of processor", flush=True)  # fmt: skip


def main() -> None:
    options = ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("what", choices=["prepare", "run"])
    options.add_argument("--folder", type=Path, required=True, help="folder of the prepared patients")
    options.add_argument("--patients", type=int, default=STUDY_PATIENTS, help="seed of make_phantom")
    options.add_argument("--rows", type=Path, help="JSON lines file to append to, one line per run")
    options.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options.add_argument("--cores", type=int, default=1)
    arguments = options.parse_args()
    {"prepare": prepare, "run": run}[arguments.what](arguments)


if __name__ == "__main__":
    main()
