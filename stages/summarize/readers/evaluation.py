"""What was measured: one result per evaluation and variant, with the samples and scores that the page draws."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int, UInt8

from ...common.contract import Job
from ...common.data.run_lengths import decode
from ...common.errors import InputError
from ...common.files.arrow_tables import map_table, read_table
from ...common.files.atomic_files import verify
from ...common.files.schemas import SCORES, judged_images, samples
from ...common.pictures.overlays import Overlay
from ...common.records import has_several, read_record
from ...common.replicates import Replicate
from ...few_shot_classification.contract import FewShotClassificationJob, FewShotResult
from ...few_shot_segmentation.contract import FewShotSegmentationJob, SegmentationResult
from ...multi_class_classification.contract import MultiClassJob, MultiClassResult
from ...phrase_grounding.contract import FindingResult, GroundingResult, PhraseGroundingJob
from ...retrieval.contract import RetrievalJob, RetrievalResult
from ...zero_shot_classification.contract import ZeroShotJob, ZeroShotResult
from ..results_tree import FewShotJob, ResultsTree


class Compared(Protocol):
    """A stage's record of figures."""

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        ...


class Evaluation:
    """What the results of every evaluation have: `writer` is the job that wrote them."""

    writer: ClassVar[type[Job]]
    replicate: Replicate
    result: Compared

    @property
    def variant(self) -> str:
        """Return the variant, of which it measures one replicate."""
        return self.replicate.variant

    @property
    def run(self) -> dict[str, str]:
        """Return the values of the wildcards of its run."""
        return {"variant": self.replicate.name}

    def measured_on(self) -> object:
        """Return what must be equal for all variants."""
        return self.result.measured_on()


Measured = TypeVar("Measured", bound=Evaluation)
Key = TypeVar("Key", bound=Hashable)


def grouped(measured: Iterable[Measured], key: Callable[[Measured], Key]) -> dict[Key, list[Measured]]:
    """Return results by their key, in the order in which keys first appear."""
    found: dict[Key, list[Measured]] = {}
    for each in measured:
        found.setdefault(key(each), []).append(each)
    return found


def by_variant(measured: Iterable[Measured]) -> dict[str, list[Measured]]:
    """Return results by their variant: of each its replicates, by ascending seed."""
    return grouped(measured, lambda each: each.variant)


class OfDataset(Evaluation):
    """Name the run of an evaluation that has one per data set and variant."""

    dataset: str

    @property
    def run(self) -> dict[str, str]:
        """Return the values of the wildcards of its run."""
        return {"variant": self.replicate.name, "dataset": self.dataset}


@dataclass(frozen=True)
class Judged:
    """A test image with the outcome at the Youden threshold, drawn by seed; it may be shown."""

    image_id: str
    finding: str
    outcome: str  # true_positive | false_positive | false_negative | true_negative
    score: float
    pixels: UInt8[np.ndarray, "size size"]


@dataclass(frozen=True)
class ZeroShot(OfDataset):
    """One row of Table 1, with the scores of the test part by finding."""

    dataset: str
    replicate: Replicate
    result: ZeroShotResult
    scores: dict[str, Float[np.ndarray, "images"]]
    targets: dict[str, Int[np.ndarray, "images"]]
    samples: list[Judged]
    writer: ClassVar[type[Job]] = ZeroShotJob

    def measured_on(self) -> object:
        """Return what must be equal for all variants, with the targets of the test part."""
        return self.result.measured_on(), {finding: each.tolist() for finding, each in self.targets.items()}


def read_zero_shot(tree: ResultsTree) -> list[ZeroShot]:
    """Read the results of zero-shot classification."""
    return [_read(tree, dataset, replicate) for dataset, replicate in tree.evaluations(ZeroShotJob.stage)]


def _read(tree: ResultsTree, dataset: str, replicate: Replicate) -> ZeroShot:
    run = {"variant": replicate.name, "dataset": dataset}
    path = tree.path(ZeroShotJob, "scores", **run)
    result = read_record(tree.path(ZeroShotJob, "result", **run), ZeroShotResult)
    table = read_table(path, SCORES)
    table = table.filter(pc.equal(table["split"], "test"))
    scores, targets = {}, {}
    for finding, found in result.findings.items():
        own = table.filter(pc.equal(table["finding"], finding))
        scores[finding], targets[finding] = (
            own["score"].to_numpy().astype(np.float64), own["target"].to_numpy().astype(np.int64)
        )  # fmt: skip
        if (len(own), int(targets[finding].sum())) != (found.test_images, found.test_positives):
            raise InputError(
                f"{path}: its test part is not that of result.json beside it", remedy="run the stage again"
            )
    return ZeroShot(dataset, replicate, result, scores, targets, read_judged(tree.path(ZeroShotJob, "samples", **run)))


@dataclass(frozen=True)
class MultiClass(OfDataset):
    """Result of multi-class classification for one data set and variant."""

    dataset: str
    replicate: Replicate
    result: MultiClassResult
    writer: ClassVar[type[Job]] = MultiClassJob


def read_multi_class(tree: ResultsTree) -> list[MultiClass]:
    """Read the results of multi-class classification."""
    found = []
    for dataset, replicate in tree.evaluations(MultiClassJob.stage):
        path = tree.path(MultiClassJob, "result", dataset=dataset, variant=replicate.name)
        found.append(MultiClass(dataset, replicate, read_record(path, MultiClassResult)))
    return found


@dataclass(frozen=True)
class FewShot(Evaluation):
    """One cell of Table 2."""

    job: FewShotJob
    replicate: Replicate
    result: FewShotResult
    writer: ClassVar[type[Job]] = FewShotClassificationJob

    @property
    def run(self) -> dict[str, str]:
        """Return the values of the wildcards of its run."""
        return self.job.run(self.replicate.name)


def read_few_shot(tree: ResultsTree) -> list[FewShot]:
    """Read the results of few-shot classification."""
    found = []
    for job, replicate in tree.few_shot_evaluations:
        path = tree.path(FewShotClassificationJob, "result", **job.run(replicate.name))
        found.append(FewShot(job, replicate, read_record(path, FewShotResult)))
    return found


@dataclass(frozen=True)
class OutlinedSample:
    """A radiograph that may be shown, with the true and the predicted outline."""

    image_id: str
    pixels: UInt8[np.ndarray, "size size"]
    truth: Bool[np.ndarray, "size size"]
    predicted: Bool[np.ndarray, "size size"]
    dice: float


@dataclass(frozen=True)
class Segmentation(Evaluation):
    """One cell of Table 3."""

    job: FewShotJob
    replicate: Replicate
    result: SegmentationResult
    samples: list[OutlinedSample]
    writer: ClassVar[type[Job]] = FewShotSegmentationJob

    @property
    def run(self) -> dict[str, str]:
        """Return the values of the wildcards of its run."""
        return self.job.run(self.replicate.name)


def read_segmentation(tree: ResultsTree) -> list[Segmentation]:
    """Read the results of few-shot segmentation."""
    found = []
    for job, replicate in tree.segmentation_evaluations:
        run = job.run(replicate.name)
        result = read_record(tree.path(FewShotSegmentationJob, "result", **run), SegmentationResult)
        published = tree.path(FewShotSegmentationJob, "samples", **run)
        verify(published)
        size = result.stored_size
        samples = [
            OutlinedSample(
                row["image_id"],
                np.frombuffer(row["pixels"], np.uint8).reshape(size, size),
                decode(row["truth"], size, size),
                decode(row["predicted"], size, size),
                row["dice"],
            )
            for row in map_table(published).to_pylist()
        ]
        found.append(Segmentation(job, replicate, result, samples))
    return found


@dataclass(frozen=True)
class Sample:
    """A radiograph that may be shown, with the heatmap of one variant."""

    image_id: str
    finding: str
    prompts: tuple[str, ...]  # what was asked; empty for the phrase of a report
    reading: str  # of the heatmap
    overlay: Overlay
    hit: bool


@dataclass(frozen=True)
class Grounding(OfDataset):
    """Result of phrase grounding for one finding of a data set, and one variant."""

    dataset: str
    replicate: Replicate
    result: FindingResult
    whole: GroundingResult
    samples: list[Sample]
    writer: ClassVar[type[Job]] = PhraseGroundingJob

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, of all findings: they share a run."""
        return [each.measured_on() for each in self.whole.findings], self.whole.not_measured

    @property
    def place(self) -> str:
        """Return the data set, with the finding where it has several: a table each."""
        several = has_several(self.whole.findings, self.whole.not_measured)
        return f"{self.dataset}_{self.result.finding}" if several else self.dataset


def read_grounding(tree: ResultsTree) -> list[Grounding]:
    """Read the results of phrase grounding, finding by finding."""
    grounding = []
    for dataset, replicate in tree.evaluations(PhraseGroundingJob.stage):
        run = {"variant": replicate.name, "dataset": dataset}
        result = read_record(tree.path(PhraseGroundingJob, "result", **run), GroundingResult)
        samples = read_samples(tree.path(PhraseGroundingJob, "samples", **run))
        for each in result.findings:
            own = [sample for sample in samples if sample.finding == each.finding]
            grounding.append(Grounding(dataset, replicate, each, result, own))
    return grounding


def read_samples(path: Path) -> list[Sample]:
    """Read the heatmaps of one result. Raises InputError where the schema lacks the images' size."""
    size, rows = _sized_rows(path, samples)
    return [_sample(row, size) for row in rows]


def read_judged(path: Path) -> list[Judged]:
    """Read the classified radiographs of one result. Raises InputError where the schema lacks the images' size."""
    size, rows = _sized_rows(path, judged_images)
    return [Judged(**row | {"pixels": np.frombuffer(row["pixels"], np.uint8).reshape(size, size)}) for row in rows]


def _sized_rows(path: Path, schema_of: Callable[[int], pa.Schema]) -> tuple[int, list[dict[str, Any]]]:
    """Return the side of the radiographs in a table of samples, which its schema says, and the rows."""
    verify(path)
    metadata = map_table(path).schema.metadata or {}
    if b"size" not in metadata:
        raise InputError(f"{path}: its schema does not say the size of the images", remedy="run its stage again")
    size = int(metadata[b"size"])
    return size, read_table(path, schema_of(size)).to_pylist()


def _sample(row: dict, size: int) -> Sample:
    overlay = Overlay(
        np.frombuffer(row["pixels"], np.uint8).reshape(size, size),
        np.array(row["heatmap"], np.float64).reshape(size, size),
        decode(row["content"], size, size),
        decode(row["region"], size, size),
    )
    return Sample(row["image_id"], row["finding"], tuple(row["prompts"]), row["reading"], overlay, row["hit"])


@dataclass(frozen=True)
class Retrieval(Evaluation):
    """Result of retrieval for one variant."""

    replicate: Replicate
    result: RetrievalResult
    writer: ClassVar[type[Job]] = RetrievalJob


def read_retrieval(tree: ResultsTree) -> list[Retrieval]:
    """Read the results of retrieval."""
    return [
        Retrieval(each, read_record(tree.path(RetrievalJob, "result", variant=each.name), RetrievalResult))
        for each in tree.replicates_of(*tree.with_text)
    ]
