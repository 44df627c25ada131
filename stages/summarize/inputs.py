"""Everything that the summary reads, as typed records: files are verified, and variants must be comparable.

To add a stage: `summary` on the outputs in its contract, a function in the file of readers/ that has its topic (data,
training, evaluation), a field of `Inputs` here, a section (see page.py). An evaluation also belongs in
`Inputs.evaluations`, so that variants are compared on the same images.
tests/stages/summarize/test_summarize_contracts.py tests the readers against what the stages write.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ..common.data.manifest import Manifest
from ..common.errors import InputError
from ..common.replicates import Replicate
from ..dicom_to_arrow.contract import DuplicatesJob
from ..label_images.contract import Card
from .readers.data import (
    CopyCount,
    Images,
    Pairs,
    Reports,
    read_cards,
    read_copies,
    read_images,
    read_pairs,
    read_reports,
)
from .readers.evaluation import (
    Evaluation,
    FewShot,
    Grounding,
    MultiClass,
    Retrieval,
    Segmentation,
    ZeroShot,
    read_few_shot,
    read_grounding,
    read_multi_class,
    read_retrieval,
    read_segmentation,
    read_zero_shot,
)
from .readers.training import Integrity, Training, read_integrity, read_pooling, read_training
from .results_tree import ResultsTree

OfReplicate = TypeVar("OfReplicate", ZeroShot, MultiClass, FewShot, Segmentation, Grounding, Training, Integrity)


@dataclass(frozen=True)
class Inputs:
    """Results of every stage, one field per stage in the order of the DAG; lists are ordered as in the tree."""

    tree: ResultsTree
    images: list[Images]
    copies: list[CopyCount]
    reports: Reports
    pairs: Pairs
    cards: list[Card]
    training: list[Training]
    integrity: list[Integrity]
    pooling: dict[str, str]  # variant -> mean or cls
    zero_shot: list[ZeroShot]
    multi_class: list[MultiClass]
    few_shot: list[FewShot]
    segmentation: list[Segmentation]
    grounding: list[Grounding]
    retrieval: list[Retrieval]

    @property
    def manifests(self) -> list[Manifest]:
        """Return the manifest of every data set."""
        return [each.manifest for each in self.images]

    @property
    def evaluations(self) -> list[Evaluation]:
        """Return the result of every evaluation, whatever its stage."""
        measured = [*self.zero_shot, *self.multi_class, *self.few_shot, *self.segmentation]
        return [*measured, *self.grounding, *self.retrieval]

    def trained(self, variant: str) -> bool:
        """Return whether a variant was trained here."""
        return next(each.trained for each in self.training if each.variant == variant)

    @property
    def described(self) -> str:
        """Return the variant that is described where there is room for one.

        It is the first trained one with text; without such a one the first with text, and else the first.
        """
        with_text = self.tree.with_text
        return next((each for each in with_text if self.trained(each)), (*with_text, *self.tree.variants)[0])

    @property
    def told(self) -> Replicate:
        """Return the training that the methods tell of: the first one of the described variant."""
        return self.tree.replicates_of(self.described)[0]

    def median(self, variant: str) -> Replicate:
        """Return the replicate that stands for a variant in pictures: the median by the score on validation.

        Of an even number it is the one with the smaller score of the two in the middle.
        """
        own = sorted((each for each in self.training if each.variant == variant), key=lambda each: each.score)
        return own[(len(own) - 1) // 2].replicate

    def shown(self, measured: Iterable[OfReplicate]) -> list[OfReplicate]:
        """Return what is of the median replicates alone, in its order."""
        medians = {self.median(variant) for variant in self.tree.variants}
        return [each for each in measured if each.replicate in medians]


def read_inputs(tree: ResultsTree) -> Inputs:
    """Read the tree. Raises InputError at the first file that is missing, damaged or contradicts another."""
    inputs = Inputs(
        tree=tree,
        images=read_images(tree),
        copies=read_copies(tree.path(DuplicatesJob, "duplicates")),
        reports=read_reports(tree),
        pairs=read_pairs(tree),
        cards=read_cards(tree),
        training=read_training(tree),
        integrity=read_integrity(tree),
        pooling=read_pooling(tree),
        zero_shot=read_zero_shot(tree),
        multi_class=read_multi_class(tree),
        few_shot=read_few_shot(tree),
        segmentation=read_segmentation(tree),
        grounding=read_grounding(tree),
        retrieval=read_retrieval(tree),
    )
    refuse_different_images(inputs)
    return inputs


def refuse_different_images(inputs: Inputs) -> None:
    """Raise InputError unless all replicates of all variants were measured on the same images.

    What does not depend on the encoders must be equal for all of them.
    """
    common: dict[object, object] = {}

    def refuse_unless_equal(each: Evaluation, key: object, what: object) -> None:
        if common.setdefault(key, what) != what:
            raise InputError(
                f"{inputs.tree.path(each.writer, 'result', **each.run)}: measured on other images or prompts, or with "
                "other settings, than the first variant",
                remedy="run the stage again for all variants",
            )

    for each in inputs.evaluations:
        others = {name: value for name, value in each.run.items() if name != "variant"}
        refuse_unless_equal(each, (each.writer.stage, *others.items()), each.measured_on())
    for cell in inputs.few_shot:  # the caption of Table 2 names the test images once, whatever the share of the labels
        for finding, images in cell.result.tested_on().items():
            refuse_unless_equal(cell, (cell.job.dataset, finding), images)
