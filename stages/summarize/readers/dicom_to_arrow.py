"""Radiographs: what was indexed, read and rejected in each data set, and copies of one image across all."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ...common.data.manifest import Manifest
from ...common.files.arrow_tables import read_table
from ...common.files.schemas import DUPLICATES
from ...common.records import read_record
from ..results_tree import ResultsTree
from .rejects import RejectCount, read_rejects


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
    stage = "dicom_to_arrow"
    return [
        Images(read_record(tree.folder(stage, dataset) / "manifest.json", Manifest), read_rejects(tree, stage, dataset))
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
