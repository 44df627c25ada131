"""The ledger of inputs: every indexed file and report is accounted for among the outputs or the rejects."""

from dataclasses import dataclass
from pathlib import Path

from ..common.errors import InputError
from ..dicom_to_arrow.contract import GatherJob
from ..index_inputs.contract import IndexInputsJob
from ..pair_images_reports.contract import PairImagesReportsJob
from ..split_reports.contract import SplitReportsJob
from .inputs import Inputs
from .readers.data import RejectCount, total


@dataclass(frozen=True)
class ImageLedger:
    """Counts of a data set: indexed = images + the sum of the rejects."""

    dataset: str
    indexed: int
    images: int
    rejects: list[RejectCount]


@dataclass(frozen=True)
class Ledger:
    """The ledger of a run."""

    images: list[ImageLedger]
    rejects: list[RejectCount]  # every reason of every stage, in the order of the DAG


def read_ledger(inputs: Inputs) -> Ledger:
    """Count and compare. Raises InputError for counts that do not reconcile."""
    for dataset, each in zip(inputs.tree.datasets, inputs.images, strict=True):
        path, manifest = inputs.tree.path(GatherJob, "manifest", dataset=dataset), each.manifest
        _agree(path, "indexed", manifest.indexed, "images + rejects", manifest.images + total(each.rejects))
    _compare_reports(inputs)
    labels = [
        RejectCount("label_images", dataset, reason, each.count)
        for dataset, card in zip(inputs.tree.evaluate_on, inputs.cards, strict=True)
        for reason, each in card.rejects.items()
        if each.count
    ]
    images = [
        ImageLedger(dataset, each.manifest.indexed, each.manifest.images, each.rejects)
        for dataset, each in zip(inputs.tree.datasets, inputs.images, strict=True)
    ]
    of_images = [reject for each in inputs.images for reject in each.rejects]
    return Ledger(images, of_images + inputs.reports.rejects + inputs.pairs.rejects + labels)


def _compare_reports(inputs: Inputs) -> None:
    tree, reports, audit = inputs.tree, inputs.reports, inputs.pairs.audit
    dataset = tree.pretrain_on
    index = tree.path(IndexInputsJob, "reports", dataset=dataset)
    path = tree.path(PairImagesReportsJob, "audit", dataset=dataset)
    _agree(
        index, "reports", reports.indexed, "reports with sentences + rejects", audit.reports + total(reports.rejects)
    )
    _agree(path, "images", audit.images, "images of dicom_to_arrow", inputs.images[0].manifest.images)
    _agree(path, "rejects", sum(audit.rejects.values()), "rows of rejects.arrow", total(inputs.pairs.rejects))
    parts = sum(each.pairs for each in audit.splits.values())
    _agree(path, "pairs", audit.pairs, "pairs of its splits", parts)
    quality = tree.path(SplitReportsJob, "quality", dataset=dataset)
    _agree(quality, "sentences", reports.quality.sentences.total, "rows of sentences.arrow", reports.sentences)


def _agree(path: Path, name: str, count: int, other: str, found: int) -> None:
    if count != found:
        raise InputError(
            f"{path}: {name} is {count}, {other} is {found}: files of different runs", remedy="run its stage again"
        )
