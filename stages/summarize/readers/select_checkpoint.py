"""The choice of the checkpoint, one decision per variant, and phi of the chosen one, if the variant learns it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.image import imread

from ...common.encoders.settings import EncoderRecord
from ...common.files.atomic_files import verify
from ...common.records import read_record
from ...select_checkpoint.contract import IntegrityFile, Selection
from ..results_tree import ResultsTree


def read_selection(tree: ResultsTree, variant: str) -> Selection:
    """Read the decision for a variant."""
    return read_record(tree.folder("select_checkpoint", variant) / "selection.json", Selection)


def read_pooling(tree: ResultsTree) -> dict[str, str]:
    """Return, by variant, what few-shot classification takes of its tokens: mean of patches, or cls."""
    paths = {each: tree.folder("select_checkpoint", each) / "checkpoint" / "config.json" for each in tree.variants}
    return {variant: read_record(path, EncoderRecord).model.image.pooling for variant, path in paths.items()}


@dataclass(frozen=True)
class Integrity:
    """The integrity map of a variant."""

    variant: str
    phi: Float[np.ndarray, "grid grid"]
    mean: Float[np.ndarray, "size size"] | None  # of the validation radiographs, grey 0..1
    images: int  # radiographs in that mean


def read_integrity(tree: ResultsTree) -> list[Integrity]:
    """Read the map of each variant that has phi; results of older versions have no such file."""
    found = []
    for variant in tree.variants:
        path = tree.folder("select_checkpoint", variant) / "checkpoint" / "integrity_map.json"
        if path.is_file():
            record, mean = read_record(path, IntegrityFile), None
            if record.mean_radiograph is not None:
                verify(path.parent / record.mean_radiograph.path)
                mean = imread(path.parent / record.mean_radiograph.path).astype(float)
            images = record.mean_radiograph.images if record.mean_radiograph else 0
            found.append(Integrity(variant, np.array(record.phi), mean, images))
    return found
