"""The ledger of inputs: every indexed file and report is found again among the outputs or the rejects."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stages.common.arrow_tables import map_table, read_table
from stages.common.errors import InputError
from stages.common.schemas import DUPLICATES, REJECTS
from stages.summarize.inputs import Inputs
from stages.summarize.records import Audit, Fingerprint, Quality, read_record
from stages.summarize.results_tree import ResultsTree


@dataclass(frozen=True)
class RejectCount:
    stage: str
    dataset: str
    reason: str
    count: int


@dataclass(frozen=True)
class ImageLedger:
    """indexed = images + the sum of the rejects."""

    dataset: str
    indexed: int
    images: int
    rejects: list[RejectCount]


@dataclass(frozen=True)
class ReportLedger:
    """reports = those with sentences (audit.reports) + the sum of the rejects."""

    dataset: str
    reports: int
    sentences: int
    rejects: list[RejectCount]
    pair_rejects: list[RejectCount]
    audit: Audit
    fingerprint: Fingerprint
    quality: Quality | None


@dataclass(frozen=True)
class CopyCount:
    """Images that share a SOPInstanceUID (`instance`) or pixels; `datasets` are all that hold one of a group."""

    kind: str
    datasets: tuple[str, ...]
    groups: int
    images: int

    def leaks(self, pretrain_on: str) -> bool:
        """Pre-training saw an image that another data set is measured on."""
        return pretrain_on in self.datasets and len(self.datasets) > 1


@dataclass(frozen=True)
class Ledger:
    images: list[ImageLedger]
    reports: ReportLedger
    labels: list[RejectCount]  # labels without an image and images without a label
    copies: list[CopyCount] | None  # None: the run has no table of duplicates

    @property
    def rejects(self) -> list[RejectCount]:
        """Every reason of every stage, in the order of the DAG."""
        images = [reject for each in self.images for reject in each.rejects]
        return images + self.reports.rejects + self.reports.pair_rejects + self.labels


def read_ledger(inputs: Inputs) -> Ledger:
    """Count and compare; counts that do not reconcile are an InputError."""
    tree = inputs.tree
    images = []
    for dataset, manifest in zip(tree.datasets, inputs.manifests, strict=True):
        rejects = _rejects(tree, "dicom_to_arrow", dataset)
        path = tree.manifest(dataset)
        _agree(path, "indexed", manifest.indexed, "images + rejects", manifest.images + _total(rejects))
        images.append(ImageLedger(dataset, manifest.indexed, manifest.images, rejects))
    labels = [
        RejectCount("label_images", dataset, reason, each.count)
        for dataset, card in zip(tree.evaluate_on, inputs.cards, strict=True)
        for reason, each in card.rejects.items()
        if each.count
    ]
    return Ledger(images, _reports(tree, images[0]), labels, read_copies(tree.duplicates))


def _reports(tree: ResultsTree, paired: ImageLedger) -> ReportLedger:
    dataset, audit = tree.pretrain_on, read_record(tree.audit, Audit)
    reports, sentences = (map_table(path).num_rows for path in (tree.reports, tree.sentences))
    split, pair = (_rejects(tree, stage, dataset) for stage in ("split_reports", "pair_images_reports"))
    _agree(tree.reports, "reports", reports, "reports with sentences + rejects", audit.reports + _total(split))
    _agree(tree.audit, "images", audit.images, "images of dicom_to_arrow", paired.images)
    _agree(tree.audit, "rejects", sum(audit.rejects.values()), "rows of rejects.arrow", _total(pair))
    parts = sum(each.pairs for each in audit.splits.values())
    _agree(tree.audit, "pairs", audit.pairs, "pairs of its splits", parts)
    fingerprint = read_record(tree.fingerprint, Fingerprint)
    if fingerprint.pairs_digest != audit.pairs_digest:
        raise InputError(f"{tree.fingerprint}: of other pairs than audit.json beside it; run its stage again")
    quality = read_record(tree.quality, Quality) if tree.quality.is_file() else None
    if quality is not None:
        _agree(tree.quality, "sentences", quality.sentences.total, "rows of sentences.arrow", sentences)
    return ReportLedger(dataset, reports, sentences, split, pair, audit, fingerprint, quality)


def read_copies(path: Path) -> list[CopyCount] | None:
    """Groups of duplicates.arrow, counted by kind and by the data sets that they touch."""
    if not path.is_file():
        return None
    groups: dict[tuple[str, str], list[str]] = {}
    for row in read_table(path, DUPLICATES).to_pylist():
        groups.setdefault((row["kind"], row["value"]), []).append(row["dataset"])
    counts, images = Counter(), Counter()
    for (kind, _), datasets in groups.items():
        place = kind, tuple(sorted(set(datasets)))
        counts[place] += 1
        images[place] += len(datasets)
    return [CopyCount(*place, counts[place], images[place]) for place in sorted(counts)]


def _rejects(tree: ResultsTree, stage: str, dataset: str) -> list[RejectCount]:
    """Reasons, the most frequent first."""
    reasons = Counter(read_table(tree.rejects(stage, dataset), REJECTS)["reason"].to_pylist())
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [RejectCount(stage, dataset, reason, count) for reason, count in ordered]


def _total(rejects: list[RejectCount]) -> int:
    return sum(each.count for each in rejects)


def _agree(path: Path, name: str, count: int, other: str, found: int) -> None:
    if count != found:
        raise InputError(f"{path}: {name} is {count}, {other} is {found}: files of different runs; run its stage again")
