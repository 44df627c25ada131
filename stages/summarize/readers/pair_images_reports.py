"""Pairs of image and report: the audit of their split, and the fingerprint of the training part."""

from dataclasses import dataclass

from ...common.errors import InputError
from ...common.records import read_record
from ...pair_images_reports.contract import Audit, Fingerprint
from ..results_tree import ResultsTree
from .rejects import RejectCount, read_rejects


@dataclass(frozen=True)
class Pairs:
    """Audit, fingerprint and rejects of the pairs."""

    audit: Audit
    fingerprint: Fingerprint
    rejects: list[RejectCount]


def read_pairs(tree: ResultsTree) -> Pairs:
    """Read the pairs' records. Raises InputError where they describe different pairs."""
    folder = tree.folder("pair_images_reports", tree.pretrain_on)
    audit, path = read_record(folder / "audit.json", Audit), folder / "fingerprint.json"
    fingerprint = read_record(path, Fingerprint)
    if fingerprint.pairs_digest != audit.pairs_digest:
        raise InputError(f"{path}: of other pairs than audit.json beside it", remedy="run its stage again")
    return Pairs(audit, fingerprint, read_rejects(tree, "pair_images_reports", tree.pretrain_on))
