"""Fabricated results of retrieval and few-shot segmentation, in the writers' own formats."""

from dataclasses import asdict

import numpy as np
import polars as pl
import pyarrow as pa

from stages.common import schemas
from stages.common.arrow_tables import write_rows, write_table
from stages.common.atomic_files import write_record
from stages.common.mask_overlaps import Overlaps
from stages.common.split_audit import Overlap
from stages.few_shot_segmentation.evaluation import SeedOverlaps, evaluate
from stages.retrieval.embedded_pairs import EmbeddedPairs, Side
from stages.retrieval.evaluation import evaluate as evaluate_retrieval
from stages.retrieval.settings import RetrievalSettings
from stages.summarize.results_tree import FewShotJob, ResultsTree


def write_segmentation(layout: ResultsTree, job: FewShotJob, variant: str, finding: str, stored: int) -> None:
    """The stage's own figures, of 40 test images and two repetitions, and one radiograph to show.

    `random` finds half of what another variant would with the same prediction.
    """
    common, noise = np.random.default_rng(ord(job.dataset[0])), np.random.default_rng(len(variant))
    truth = common.integers(50, 90, 40) * (common.random(40) < 0.5)
    labels = pl.DataFrame({"image_id": [f"i{n}" for n in range(40)], "patient_id": [f"p{n // 2}" for n in range(40)]})
    runs, folder = [], layout.folder("few_shot_segmentation", job.of(variant))
    for seed in (0, 1):
        predicted = noise.integers(0, 99, (40, 1))
        both = np.minimum(truth[:, None], predicted) // (2 if variant == "random" else 1)
        runs.append(SeedOverlaps(seed, 9, 0.5, 0.35, Overlaps(truth, predicted, both)))
        counts = {"truth": truth, "predicted": predicted[:, 0], "both": both[:, 0]}
        rows = labels.with_columns(**{name: pl.Series(each) for name, each in counts.items()}).to_dicts()
        pixels = pa.Table.from_pylist(rows, schema=schemas.OVERLAPS)
        write_table(folder / f"overlaps/seed_{seed}.arrow", schemas.OVERLAPS, pixels)
    size = {"images": 40, "positives": int((truth > 0).sum()), "positives_without_outline": 1,
            "outlines_too_small_to_show": 0}  # fmt: skip
    result = {"finding": finding, "protocol": job.protocol, "fraction": job.fraction, "input_size": 32,
              "stored_size": stored, "skipped": None, "images": dict.fromkeys(("train", "validation", "test"), size),
              "overlap": asdict(Overlap(0, 0, 0, 0, 0))}  # fmt: skip
    result |= evaluate(labels, runs, draws=50, seed=0)
    write_record(folder / "result.json", result)
    shown = {"image_id": "i1", "pixels": bytes(stored * stored), "truth": [70, 9, 134, 9], "predicted": [72, 9],
             "dice": 0.5}  # fmt: skip
    write_rows(folder / "samples.arrow", schemas.outlines(stored), [shown])


def write_retrieval(layout: ResultsTree, variant: str) -> None:
    """The stage's own figures, of 12 studies with 2 images each; the first two have one text."""
    noise = np.random.default_rng(len(variant))
    study, texts = np.repeat(np.arange(12), 2), np.maximum(np.arange(12) - 1, 0)
    patients = np.array([f"p{n // 2}" for n in range(12)])
    reports = np.eye(12) * (0 if variant == "random" else 2)
    embeddings = (each + noise.normal(size=each.shape) for each in (reports[study], reports))
    images, reports = (each.astype(np.float32) for each in embeddings)
    pairs = EmbeddedPairs(Side(images, texts[study], patients[study]), Side(reports, texts, patients), 0)
    result = {"split": "test", "skipped": None}
    result |= evaluate_retrieval(pairs, RetrievalSettings(draws=50))
    write_record(layout.folder("retrieval", variant) / "result.json", result)
