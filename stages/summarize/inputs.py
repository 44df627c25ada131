"""Everything that the summary reads, as typed records: files are verified, and variants must be comparable.

To add a stage: `summary` on the outputs in its contract, a module in readers/ with the name of the stage, a field of
`Inputs` here, a section (see page.py). tests/stages/summarize/test_summarize_contracts.py tests the readers against
what the stages write.
"""

from dataclasses import dataclass
from pathlib import Path

from ..common.data.manifest import Manifest
from ..common.errors import InputError
from ..label_images.contract import Card
from .readers.dicom_to_arrow import CopyCount, Images, read_copies, read_images
from .readers.few_shot_classification import FewShot, read_few_shot
from .readers.few_shot_segmentation import Segmentation, read_segmentation
from .readers.label_images import read_cards
from .readers.pair_images_reports import Pairs, read_pairs
from .readers.phrase_grounding import Grounding, read_grounding
from .readers.pretrain import Training, read_training
from .readers.retrieval import Retrieval, read_retrieval
from .readers.select_checkpoint import Integrity, read_integrity, read_pooling
from .readers.split_reports import Reports, read_reports
from .readers.zero_shot_classification import ZeroShot, read_zero_shot
from .results_tree import ResultsTree


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
    few_shot: list[FewShot]
    segmentation: list[Segmentation]
    grounding: list[Grounding]
    retrieval: list[Retrieval]

    @property
    def manifests(self) -> list[Manifest]:
        """Return the manifest of every data set."""
        return [each.manifest for each in self.images]

    def trained(self, variant: str) -> bool:
        """Return whether a variant was trained here."""
        return next(each.trained for each in self.training if each.variant == variant)


def read_inputs(tree: ResultsTree) -> Inputs:
    """Read the tree. Raises InputError at the first file that is missing, damaged or contradicts another."""
    inputs = Inputs(
        tree=tree,
        images=read_images(tree),
        copies=read_copies(tree.folder("dicom_to_arrow") / "duplicates.arrow"),
        reports=read_reports(tree),
        pairs=read_pairs(tree),
        cards=read_cards(tree),
        training=read_training(tree),
        integrity=read_integrity(tree),
        pooling=read_pooling(tree),
        zero_shot=read_zero_shot(tree),
        few_shot=read_few_shot(tree),
        segmentation=read_segmentation(tree),
        grounding=read_grounding(tree),
        retrieval=read_retrieval(tree),
    )
    refuse_different_images(inputs)
    return inputs


def refuse_different_images(inputs: Inputs) -> None:
    """Raise InputError unless all variants were measured on the same images.

    What does not depend on a variant must be equal for all of them.
    """
    common: dict[object, object] = {}

    def refuse_unless_equal(folder: Path, key: object, what: object) -> None:
        if common.setdefault(key, what) != what:
            raise InputError(
                f"{folder / 'result.json'}: measured on other images or prompts, or with other settings, than the "
                "first variant",
                remedy="run the stage again for all variants",
            )

    folder = inputs.tree.folder
    for each in inputs.zero_shot:
        sets = list(each.result.test_auc)
        what = (each.result.finding, each.result.score, sets, each.result.resampled_by, each.targets.tolist())
        place = folder("zero_shot_classification", f"{each.variant}/{each.dataset}")
        refuse_unless_equal(place, ("zero_shot_classification", each.dataset), what)
    for cell in inputs.few_shot:
        found, place = cell.result, folder("few_shot_classification", cell.job.of(cell.variant))
        measured_on = (found.finding, found.resampled_by, found.images["test"])
        refuse_unless_equal(place, ("few_shot_classification", cell.job.dataset), measured_on)
        seeds = [each.seed for each in found.seeds]
        taught_on = (found.images["train"], seeds, found.skipped, found.overlap, found.departures)
        refuse_unless_equal(place, cell.job, taught_on)
    for outlined in inputs.segmentation:
        place = folder("few_shot_segmentation", outlined.job.of(outlined.variant))
        refuse_unless_equal(place, ("few_shot_segmentation", outlined.job), outlined.result.measured_on())
    for searched in inputs.retrieval:
        refuse_unless_equal(folder("retrieval", searched.variant), "retrieval", searched.result.measured_on())
    for other in inputs.grounding:
        place = folder("phrase_grounding", f"{other.variant}/{other.dataset}")
        refuse_unless_equal(place, ("phrase_grounding", other.dataset), other.result.measured_on())
