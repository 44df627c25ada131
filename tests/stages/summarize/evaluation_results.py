"""Fabricated results of retrieval, phrase grounding, few-shot segmentation and phi, in the writers' own formats."""

import numpy as np
import polars as pl
import pyarrow as pa
from split_audit import CLEAN

from stages.common import records
from stages.common.data.label_matrix import LabelMatrix
from stages.common.data.paired_reports import Study
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_frame, write_rows, write_table
from stages.common.metrics.overlap import Overlaps
from stages.common.metrics.ranking import draw_weights, estimate, mean_of
from stages.common.records import Estimate
from stages.common.replicates import Replicate
from stages.few_shot_segmentation.contract import ALWAYS_DIFFERENT, OutlinedPart, SegmentationResult
from stages.few_shot_segmentation.evaluation import SeedOverlaps, evaluate
from stages.multi_class_classification.contract import MultiClassSettings
from stages.multi_class_classification.drawn_images import DrawnImages
from stages.multi_class_classification.evaluation import evaluate as evaluate_classes
from stages.multi_class_classification.evaluation import score_rows
from stages.phrase_grounding.contract import (
    MEANS,
    FindingResult,
    GroundingResult,
    IntegrityMap,
    LocatedPart,
    PointingGame,
    ReadingHits,
)
from stages.retrieval.by_class import figures_by_class, rank_by_class
from stages.retrieval.contract import RetrievalResult, RetrievalSettings
from stages.retrieval.embedded_pairs import EmbeddedPairs, Side
from stages.retrieval.evaluation import figures_of, rank
from stages.select_checkpoint.export import write_integrity_files
from stages.summarize.results_tree import FewShotJob, ResultsTree

SIZE, GRID = 64, 8  # pixels, patches a side


def seed_of(name: str) -> list[int]:
    """What the noise of a variant, or of one of its replicates, is drawn from."""
    variant, seed = Replicate.parse(name)
    return [len(variant), *([] if seed is None else [seed + 1])]


def is_random(name: str) -> bool:
    """Whether a name is that of the untrained variant, or of one of its replicates."""
    return Replicate.parse(name).variant == "random"


def write_segmentation(layout: ResultsTree, job: FewShotJob, variant: str, finding: str, stored: int) -> None:
    """The stage's own figures, of 40 test images and two repetitions, and one radiograph to show.

    `random` finds half of what another variant would with the same prediction.
    """
    common, noise = np.random.default_rng(ord(job.dataset[0])), np.random.default_rng(seed_of(variant))
    truth = common.integers(50, 90, 40) * (common.random(40) < 0.5)
    labels = pl.DataFrame({"image_id": [f"i{n}" for n in range(40)], "patient_id": [f"p{n // 2}" for n in range(40)]})
    runs, folder = [], layout.folder("few_shot_segmentation", job.of(variant))
    for seed in (0, 1):
        predicted = noise.integers(0, 99, (40, 1))
        both = np.minimum(truth[:, None], predicted) // (2 if is_random(variant) else 1)
        runs.append(SeedOverlaps(seed, 9, 0.5, 0.35, Overlaps(truth, predicted, both)))
        counts = {"truth": truth, "predicted": predicted[:, 0], "both": both[:, 0]}
        rows = labels.with_columns(**{name: pl.Series(each) for name, each in counts.items()}).to_dicts()
        pixels = pa.Table.from_pylist(rows, schema=schemas.OVERLAPS)
        write_table(folder / f"overlaps/seed_{seed}.arrow", schemas.OVERLAPS, pixels)
    size = OutlinedPart(images=40, positives=int((truth > 0).sum()), positives_without_outline=1,
                        outlines_too_small_to_show=0)  # fmt: skip
    result = SegmentationResult(
        finding=finding,
        protocol=job.protocol,
        fraction=job.fraction,
        input_size=32,
        stored_size=stored,
        skipped=None,
        images=dict.fromkeys(("train", "validation", "test"), size),
        overlap=CLEAN,
        departures={"input_size": [32, 224]},
        always_different=ALWAYS_DIFFERENT[job.protocol],
        **vars(evaluate(labels, runs, draws=50, seed=0)),
    )
    records.write_record(folder / "result.json", result)
    shown = {"image_id": "i1", "pixels": bytes(stored * stored), "truth": [70, 9, 134, 9], "predicted": [72, 9],
             "dice": 0.5}  # fmt: skip
    write_rows(folder / "samples.arrow", schemas.outlines(stored), [shown])


CLASSES = ("edema", "effusion", "mass")


def write_multi_class(layout: ResultsTree, dataset: str, variant: str) -> None:
    """The stage's own figures, of 90 images with one of three findings."""
    truth, noise = np.arange(90) % 3, np.random.default_rng(seed_of(variant)).normal(size=(90, 3))
    images = pl.DataFrame({"image_id": [f"i{n}" for n in range(90)], "patient_id": [f"p{n // 2}" for n in range(90)]})
    drawn = DrawnImages(CLASSES, images, truth, dict.fromkeys(CLASSES, 40),
                        {"none_present": 8, "several_present": 0, "others_unknown": 3})  # fmt: skip
    scores = (noise + (0 if is_random(variant) else 2) * np.eye(3)[truth]).astype(np.float32)
    result = evaluate_classes(drawn, scores, dict.fromkeys(CLASSES, "there_is"), MultiClassSettings(draws=50), CLEAN)
    folder = layout.folder("multi_class_classification", f"{variant}/{dataset}")
    write_frame(folder / "scores.arrow", schemas.CLASS_SCORES, score_rows(drawn, scores))
    records.write_record(folder / "result.json", result)


def write_retrieval(layout: ResultsTree, variant: str) -> None:
    """The stage's own figures, of 12 studies with 2 images each; the first two have one text."""
    noise = np.random.default_rng(seed_of(variant))
    study, texts = np.repeat(np.arange(12), 2), np.maximum(np.arange(12) - 1, 0)
    patients = np.array([f"p{n // 2}" for n in range(12)])
    reports = np.eye(12) * (0 if is_random(variant) else 6)
    embeddings = (each + noise.normal(size=each.shape) for each in (reports[study], reports))
    images, reports = (each.astype(np.float32) for each in embeddings)
    ids = {"image": np.array([f"i{n}" for n in range(24)]), "report": np.array([f"s{n}" for n in range(12)])}
    pairs = EmbeddedPairs(
        Side(ids["image"], images, texts[study], patients[study]), Side(ids["report"], reports, texts, patients), 0
    )
    settings = RetrievalSettings(draws=50)
    directions, folder = rank(pairs, settings), layout.folder("retrieval", variant)
    studies = [Study(f"s{n}", f"p{n // 2}", [f"i{2 * n}", f"i{2 * n + 1}"], [], []) for n in range(12)]
    classes = np.repeat(np.arange(12) % 2, 2)
    labelled = pl.DataFrame({"image_id": [f"i{n}" for n in range(24)]})
    labels = LabelMatrix(("edema", "mass"), labelled, np.stack([1 - classes, classes], axis=1).astype(np.int8))
    by_class = rank_by_class(pairs, studies, labels, settings)
    write_rows(folder / "class_precision.arrow", schemas.CLASS_PRECISION,
               [row for name, each in by_class.items() for row in each.rows(name)])  # fmt: skip
    ranks = [row for name, each in directions.items() for row in each.rows(name)]
    write_rows(folder / "ranks.arrow", schemas.RANKS, ranks)
    result = RetrievalResult(split="test", skipped=None, figures=figures_of(pairs, directions, settings),
                             by_class=figures_by_class(by_class, studies, settings))  # fmt: skip
    records.write_record(folder / "result.json", result)


def write_grounding(layout: ResultsTree, dataset: str, variant: str, finding: str, integrity: IntegrityMap) -> None:
    """Figures of 96 images: those of the heatmaps are drawn for each variant, those of their rivals are not."""
    own, common = np.random.default_rng(seed_of(variant)), np.random.default_rng(0)
    trained = not is_random(variant)
    hits = {"heatmap": own.random(96) < (0.42 if trained else 0.08),
            "heatmap_in_lung": own.random(96) < (0.51 if trained else 0.13),
            "supervised_probe": own.random(96) < 0.8, "random_in_lung": np.full(96, 0.11),
            "fixed_peak_of_training": common.random(96) < 0.27, "brightness": common.random(96) < 0.2,
            "random_encoders": common.integers(0, 2, 96) / 5, "random_encoders_in_lung": common.integers(0, 2, 96) / 5,
            "brightness_in_lung": common.random(96) < 0.12}  # fmt: skip
    values = {"pointing": hits, "contrast_to_noise": {}, "iou": {}, "mean_iou": {}}
    for name in [name for name in hits if name == "random_in_lung" or not name.endswith("_in_lung")]:
        noise = own if name in ("heatmap", "supervised_probe") else common
        values["contrast_to_noise"][name] = noise.normal(size=96) + (trained and name == "heatmap")
        values["iou"][name] = noise.random(96)
        values["mean_iou"][name] = values["iou"][name] / 2
    weights = draw_weights(np.arange(96), 200, 0)
    figures = {
        measure: {"no_place": {name: estimate(mean_of(each.astype(float)), weights)
                               for name, each in pointers.items()} | {"word_prior": None, "random_in_content": None}}
        for measure, pointers in values.items()
    }  # fmt: skip
    rows = [
        {"image_id": f"i{n}", "patient_id": f"p{n}", "finding": finding, "prompt_set": "no_place", "pointer": pointer}
        | {measure: float(each[pointer][n]) if pointer in each else None for measure, each in values.items()}
        for pointer in hits
        for n in range(96)
    ]
    folder = layout.folder("phrase_grounding", f"{variant}/{dataset}")
    write_rows(folder / "values.arrow", schemas.GROUNDING_VALUES, rows)
    part = LocatedPart(positives=96, positives_without_region=0, regions_too_small=0)
    result = FindingResult(
        finding=finding,
        images=96,
        located=dict.fromkeys(("train", "validation", "test"), part),
        resampled_by="patient",
        integrity_map=integrity,
        place_words={"no_place": []},
        reading={"no_place": "centred"},
        readings={
            "no_place": {
                "centred": ReadingHits(validation=0.4, test=figures["pointing"]["no_place"]["heatmap"]),
                "raw": ReadingHits(validation=0.01, test=Estimate(value=0.02, low=0, high=0.05)),
            }
        },
        random_encoders={"no_place": [0.1, 0.3]},
        iou_threshold={},
        overlap=CLEAN,
        pointing={name: PointingGame(**game) for name, game in figures["pointing"].items()},
        contrast_to_noise=figures["contrast_to_noise"],
        absolute_contrast_to_noise=figures["contrast_to_noise"],
        iou=figures["iou"],
        mean_iou=figures["mean_iou"],
    )
    means = {"no_place": dict.fromkeys(MEANS, result.pointing["no_place"].heatmap)}
    whole = GroundingResult(findings=[result], mean_hits=result.pointing["no_place"].heatmap, means=means)
    records.write_record(folder / "result.json", whole)


def phi_of(trained):
    rows, columns = np.mgrid[0:GRID, 0:GRID] - (GRID - 1) / 2
    phi = np.exp(-((np.abs(columns) - 2) ** 2 + rows**2 / 3) / 3) * (0.02 if trained else 0.0)
    return phi - phi.mean()


def write_integrity(folder, trained):
    """As select_checkpoint writes it, with the mean of the variant that was trained."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    lungs = sum(np.exp(-((((columns - x) / 0.13) ** 2 + ((rows - 0.5) / 0.3) ** 2) ** 2)) for x in (0.3, 0.7))
    write_integrity_files(folder, phi_of(trained).ravel(), 0.75 - 0.5 * lungs, images=148 if trained else 0, step=675)
