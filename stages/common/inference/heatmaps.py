"""Heatmaps of sentences on a grid of patches: how the cosines of an image's patches with a sentence are read.

Raw cosines z_a . t carry a pattern by place that all radiographs share: peaks leave the lungs. Subtracting the mean
over unlabelled radiographs at each place, (z_a - mean z_a) . t, leaves what is particular to the image (decision 39).
Grounding, the local zero-shot score, the exported model and the Python API all read heatmaps here.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.dual import Checkpoint, DualEncoder
from ..encoders.image import grid_of
from ..encoders.settings import HeatmapReading
from ..errors import InputError


@dataclass(frozen=True)
class HeatmapReader:
    """A model with one way of reading heatmaps. `mean` is subtracted from the patches, `factor` multiplies the map."""

    model: DualEncoder
    reading: HeatmapReading
    mean: Float[Tensor, "patches embedding"] | None = None
    factor: Float[Tensor, "patches"] | None = None

    def __call__(
        self, tokens: Float[Tensor, "images patches width"], sentences: Float[Tensor, "prompts embedding"]
    ) -> Float[Tensor, "images prompts patches"]:
        """Return the heatmap of every sentence (`prompt_sentences`, or a sum of them) on every whole image."""
        patches = self.model.embed_patches(tokens) if self.reading.unit_patches else self.model.image_projection(tokens)
        if self.mean is not None:
            patches = patches - self.mean
        maps = torch.einsum("ine,pe->ipn", patches, sentences)
        if self.factor is not None:
            maps = maps * self.factor
        return smoothed(maps, self.reading.smoothing * self.reading.shifts) if self.reading.smoothing else maps


def heatmap_reader(
    checkpoint: Checkpoint, reading: HeatmapReading, dataset_mean: Float[Tensor, "patches embedding"] | None = None
) -> HeatmapReader:
    """Return the reader of a checkpoint's heatmaps; `dataset_mean` is `mean_patches` of the data set's images.

    Raises InputError where the checkpoint lacks what the reading needs.
    """
    device = checkpoint.model.device
    mean = {"none": None, "pretraining": checkpoint.mean_patches, "dataset": dataset_mean}[reading.mean]
    if reading.mean != "none" and mean is None:
        if reading.mean == "dataset":
            raise InputError(
                "heatmaps cannot be centred on the data set: it has no training image", "take another reading"
            )
        what = "heatmaps cannot be centred: the checkpoint, of an older version, has no mean of patches"
        remedy = "export it again by select_checkpoint, or read heatmaps with reading='raw' (--reading raw)"
        raise InputError(what, remedy)
    factor = None
    if reading.integrity_temperature is not None:
        if checkpoint.integrity_map is None:
            what = "heatmaps are read with `integrity_temperature`, but the checkpoint has no integrity map"
            raise InputError(what, "leave it out")
        factor = torch.softmax(checkpoint.integrity_map / reading.integrity_temperature, dim=0)
        grid = factor.unflatten(0, (-1, grid_of(len(factor))))
        factor = torch.kron(grid, torch.ones(reading.shifts, reading.shifts)).flatten().to(device)
    return HeatmapReader(checkpoint.model, reading, None if mean is None else mean.to(device), factor)


def is_readable(reading: HeatmapReading, checkpoint: Checkpoint, with_images: bool) -> bool:
    """Return whether a checkpoint has what a reading needs; `with_images`: the data set has training images."""
    lacks_map = reading.integrity_temperature is not None and checkpoint.integrity_map is None
    return not lacks_map and (reading.mean != "dataset" or with_images)


def smoothed(maps: Float[Tensor, "*maps patches"], deviation: float) -> Float[Tensor, "*maps patches"]:
    """Return maps after a Gaussian filter of a standard deviation in patches, mirrored at the border."""
    grid = grid_of(maps.shape[-1])
    reach = int(4 * deviation + 0.5)  # as scipy's gaussian_filter, which MaCo's code calls
    rows = np.pad(np.eye(grid), ((reach, reach), (0, 0)), mode="symmetric")
    along = cv2.GaussianBlur(rows, (1, 2 * reach + 1), 0, sigmaY=deviation, borderType=cv2.BORDER_REFLECT)
    filtered = torch.from_numpy(along[reach : reach + grid]).to(maps)
    return torch.einsum("ay,...yx,bx->...ab", filtered, maps.unflatten(-1, (grid, grid)), filtered).flatten(-2)
