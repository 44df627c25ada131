"""Everything that the summary reads, as typed records: each file verified, counts that must agree compared."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int, UInt8

from stages.common.arrow_tables import map_table, read_table
from stages.common.atomic_files import verify
from stages.common.errors import InputError
from stages.common.run_lengths import decode
from stages.common.schemas import SCORES, samples
from stages.summarize.records import (
    Card,
    FewShotResult,
    GroundingResult,
    Manifest,
    RetrievalResult,
    Selection,
    ZeroShotResult,
    read_record,
)
from stages.summarize.results_tree import FewShotJob, ResultsTree


@dataclass(frozen=True)
class ZeroShot:
    """One row of Table 1, with the scores of the test part."""

    dataset: str
    variant: str
    result: ZeroShotResult
    scores: Float[np.ndarray, "images"]
    targets: Int[np.ndarray, "images"]


@dataclass(frozen=True)
class FewShot:
    """One cell of Table 2."""

    job: FewShotJob
    variant: str
    result: FewShotResult


@dataclass(frozen=True)
class Retrieval:
    variant: str
    result: RetrievalResult


@dataclass(frozen=True)
class Sample:
    """A radiograph that may be shown, with the heatmap of one variant."""

    image_id: str
    pixels: UInt8[np.ndarray, "size size"]
    heatmap: Float[np.ndarray, "size size"]
    region: Bool[np.ndarray, "size size"]
    peak: tuple[int, int]  # row, column
    hit: bool


@dataclass(frozen=True)
class Grounding:
    dataset: str
    variant: str
    result: GroundingResult
    samples: list[Sample]


@dataclass(frozen=True)
class Training:
    """How one variant was trained and which candidate was kept."""

    variant: str
    curve: dict[str, np.ndarray]  # column -> values at the logged steps; NaN where a column has none
    selection: Selection

    @property
    def trained(self) -> bool:
        """False for a variant of 0 epochs, the `random` encoder."""
        return len(self.curve["step"]) > 0


@dataclass(frozen=True)
class Inputs:
    tree: ResultsTree
    zero_shot: list[ZeroShot]
    few_shot: list[FewShot]
    retrieval: list[Retrieval]
    grounding: list[Grounding]
    training: list[Training]
    manifests: list[Manifest]
    cards: list[Card]

    def trained(self, variant: str) -> bool:
        return next(each.trained for each in self.training if each.variant == variant)


def read_inputs(tree: ResultsTree) -> Inputs:
    """Read the tree; the first file that is missing, damaged or at odds with another is an InputError."""
    zero_shot = [read_zero_shot(tree, *place) for place in tree.evaluations]
    few_shot = [
        FewShot(job, variant, read_record(tree.few_shot(job, variant), FewShotResult))
        for job, variant in tree.few_shot_evaluations
    ]
    retrieval = [Retrieval(variant, read_record(tree.retrieval(variant), RetrievalResult)) for variant in tree.variants]
    grounding = [read_grounding(tree, *place) for place in tree.evaluations]
    refuse_different_images(tree, zero_shot, few_shot, retrieval, grounding)
    return Inputs(
        tree,
        zero_shot,
        few_shot,
        retrieval,
        grounding,
        [read_training(tree, variant) for variant in tree.variants],
        [read_record(tree.manifest(dataset), Manifest) for dataset in tree.datasets],
        [read_record(tree.card(dataset), Card) for dataset in tree.evaluate_on],
    )


def refuse_different_images(
    tree: ResultsTree,
    zero_shot: list[ZeroShot],
    few_shot: list[FewShot],
    retrieval: list[Retrieval],
    grounding: list[Grounding],
) -> None:
    """Variants are compared on the same images, or not at all: what does not depend on the variant must be equal."""
    common: dict[object, object] = {}

    def refuse_unless_equal(path: Path, key: object, what: object) -> None:
        if common.setdefault(key, what) != what:
            raise InputError(
                f"{path}: measured on other images or prompts than the first variant; run the stage again for all "
                "variants"
            )

    for each in zero_shot:
        path = tree.zero_shot(each.dataset, each.variant, "result.json")
        what = (each.result.finding, each.result.resampled_by, each.targets.tolist())
        refuse_unless_equal(path, ("zero_shot_classification", each.dataset), what)
    for cell in few_shot:
        found = cell.result
        path = tree.few_shot(cell.job, cell.variant)
        measured_on = (found.finding, found.resampled_by, found.images["test"])
        refuse_unless_equal(path, ("few_shot_classification", cell.job.dataset), measured_on)
        refuse_unless_equal(path, cell.job, (found.images["train"], found.seeds, found.skipped, found.overlap))
    for searched in retrieval:
        refuse_unless_equal(tree.retrieval(searched.variant), "retrieval", searched.result.measured_on())
    for other in grounding:
        games = {
            name: game.model_dump(exclude={"heatmap", "heatmap_in_lung"})
            for name, game in other.result.pointing.items()
        }
        path = tree.grounding(other.dataset, other.variant, "result.json")
        what = (other.result.finding, other.result.images, games)
        refuse_unless_equal(path, ("phrase_grounding", other.dataset), what)


def read_zero_shot(tree: ResultsTree, dataset: str, variant: str) -> ZeroShot:
    path = tree.zero_shot(dataset, variant, "scores.arrow")
    result = read_record(tree.zero_shot(dataset, variant, "result.json"), ZeroShotResult)
    table = read_table(path, SCORES)
    table = table.filter(pc.equal(table["split"], "test"))
    targets = table["target"].to_numpy().astype(np.int64)
    if len(targets) != result.test_images or int(targets.sum()) != result.test_positives:
        raise InputError(f"{path}: its test part is not that of result.json beside it; run the stage again")
    return ZeroShot(dataset, variant, result, table["score"].to_numpy().astype(np.float64), targets)


def read_grounding(tree: ResultsTree, dataset: str, variant: str) -> Grounding:
    result = read_record(tree.grounding(dataset, variant, "result.json"), GroundingResult)
    return Grounding(dataset, variant, result, read_samples(tree.grounding(dataset, variant, "samples.arrow")))


def read_samples(path: Path) -> list[Sample]:
    verify(path)
    metadata = map_table(path).schema.metadata or {}
    if b"size" not in metadata:
        raise InputError(f"{path}: its schema does not say the size of the images; run its stage again")
    size = int(metadata[b"size"])
    return [_sample(row, size) for row in read_table(path, samples(size)).to_pylist()]


def _sample(row: dict, size: int) -> Sample:
    pixels = np.frombuffer(row["pixels"], np.uint8).reshape(size, size)
    heatmap = np.array(row["heatmap"], np.float64).reshape(size, size)
    region, peak = decode(row["region"], size, size), (row["peak"][0], row["peak"][1])
    return Sample(row["image_id"], pixels, heatmap, region, peak, row["hit"])


def read_training(tree: ResultsTree, variant: str) -> Training:
    return Training(variant, read_curve(tree.curve(variant)), read_record(tree.selection(variant), Selection))


def read_curve(path: Path) -> dict[str, np.ndarray]:
    """Columns of a learning curve; an empty cell is NaN."""
    verify(path)
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        rows, columns = list(reader), reader.fieldnames or []
    if "step" not in columns:
        raise InputError(f"{path}: no column `step`; run pretrain again")
    try:
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: a cell is no number ({error}); run pretrain again") from None


def roc_curve(
    scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"]
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """False and true positive rates from (0, 0) to (1, 1); equal scores are one point, so ties are a diagonal."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positive = np.append(0, np.cumsum(targets[order] == 1)[last])
    negative = np.append(0, np.cumsum(targets[order] == 0)[last])
    return negative / negative[-1], positive / positive[-1]
