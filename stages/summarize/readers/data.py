"""What the run was made from: radiographs, reports, their pairs and labels, and what each stage rejected."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ...common.contract import Job
from ...common.data.manifest import Manifest
from ...common.errors import InputError
from ...common.files.arrow_tables import map_table, read_table
from ...common.files.schemas import DUPLICATES, REJECTS
from ...common.records import read_record
from ...dicom_to_arrow.contract import GatherJob
from ...index_inputs.contract import IndexInputsJob
from ...label_images.contract import Card, LabelImagesJob
from ...pair_images_reports.contract import Audit, Fingerprint, PairImagesReportsJob
from ...split_reports.contract import Quality, SplitReportsJob
from ..results_tree import ResultsTree


@dataclass(frozen=True)
class RejectCount:
    """Number of rejects of a stage for one reason."""

    stage: str
    dataset: str
    reason: str
    count: int


def read_rejects(tree: ResultsTree, job: type[Job], dataset: str) -> list[RejectCount]:
    """Read the reasons, the most frequent first."""
    reasons = Counter(read_table(tree.path(job, "rejects", dataset=dataset), REJECTS)["reason"].to_pylist())
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [RejectCount(job.stage, dataset, reason, count) for reason, count in ordered]


def total(rejects: list[RejectCount]) -> int:
    """Return the number of all rejects."""
    return sum(each.count for each in rejects)


@dataclass(frozen=True)
class Images:
    """One data set after dicom_to_arrow."""

    manifest: Manifest
    rejects: list[RejectCount]


@dataclass(frozen=True)
class CopyCount:
    """Images that share a SOPInstanceUID (`instance`) or a picture; `datasets` are all that hold one of a group."""

    kind: str
    datasets: tuple[str, ...]
    groups: int
    images: int

    def leaks(self, pretrain_on: str) -> bool:
        """Return whether pre-training saw an image on which another data set is evaluated."""
        return pretrain_on in self.datasets and len(self.datasets) > 1


def read_images(tree: ResultsTree) -> list[Images]:
    """Read the images in the order of `tree.datasets`: those of pre-training come first."""
    return [
        Images(
            read_record(tree.path(GatherJob, "manifest", dataset=dataset), Manifest),
            read_rejects(tree, GatherJob, dataset),
        )
        for dataset in tree.datasets
    ]


def read_copies(path: Path) -> list[CopyCount]:
    """Count the groups of duplicates.arrow by kind and by the data sets that they touch."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in read_table(path, DUPLICATES).to_pylist():
        groups.setdefault((row["kind"], row["value"]), []).append(row["dataset"])
    counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
    images: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for (kind, _), datasets in groups.items():
        place = kind, tuple(sorted(set(datasets)))
        counts[place] += 1
        images[place] += len(datasets)
    return [CopyCount(*place, count, images[place]) for place, count in sorted(counts.items())]


@dataclass(frozen=True)
class Reports:
    """Counts and quality of the reports; `indexed` counts those of index_inputs."""

    indexed: int
    sentences: int
    rejects: list[RejectCount]
    quality: Quality


def read_reports(tree: ResultsTree) -> Reports:
    """Read the reports' counts and quality."""
    dataset = tree.pretrain_on
    return Reports(
        map_table(tree.path(IndexInputsJob, "reports", dataset=dataset)).num_rows,
        map_table(tree.path(SplitReportsJob, "sentences", dataset=dataset)).num_rows,
        read_rejects(tree, SplitReportsJob, dataset),
        read_record(tree.path(SplitReportsJob, "quality", dataset=dataset), Quality),
    )


@dataclass(frozen=True)
class Pairs:
    """Audit, fingerprint and rejects of the pairs."""

    audit: Audit
    fingerprint: Fingerprint
    rejects: list[RejectCount]


def read_pairs(tree: ResultsTree) -> Pairs:
    """Read the pairs' records. Raises InputError where they describe different pairs."""
    job, dataset = PairImagesReportsJob, tree.pretrain_on
    audit, path = (
        read_record(tree.path(job, "audit", dataset=dataset), Audit),
        tree.path(job, "fingerprint", dataset=dataset),
    )
    fingerprint = read_record(path, Fingerprint)
    if fingerprint.pairs_digest != audit.pairs_digest:
        raise InputError(f"{path}: of other pairs than audit.json beside it", remedy="run its stage again")
    return Pairs(audit, fingerprint, read_rejects(tree, job, dataset))


def read_cards(tree: ResultsTree) -> list[Card]:
    """Read the data cards."""
    return [read_record(tree.path(LabelImagesJob, "card", dataset=dataset), Card) for dataset in tree.evaluate_on]
