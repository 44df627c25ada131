"""Maps that a heatmap has to beat, or that bound it from above, made from images; pointing.py has those made of masks.

brightness: the radiograph itself, standardised at each place by training images: no model at all. random_encoders: the
same architecture with random weights, read as the heatmap is. supervised_probe: a linear classifier of the checkpoint's
own patches, trained on the true regions: what the patches hold, whatever words find of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch.nn import functional as F

from ..common.data.image_store import ImageStore
from ..common.digests import seed_from
from ..common.encoders.dual import Checkpoint, DualEncoder, build_encoder
from ..common.encoders.settings import HeatmapReading
from ..common.inference.encoding import in_batches, joined, token_batches
from ..common.inference.heatmaps import HeatmapReader, heatmap_reader
from ..common.settings import Precision
from .heatmaps import GridMaps, grid_hits
from .located_images import Located

_GRIDS = (7, 14, 28)  # on which brightness is averaged; the best on training regions is taken
_SMALLEST_DEVIATION = 0.01  # of grey values; a place at which all training images agree would decide every peak
_MOST_PROBED, _BATCH = 300, 64
PENALTIES = (1e-3, 1e-2, 1e-1)  # of the probe's squared weights; validation chooses


class Brightness:
    """Grey values standardised at each place of a grid by the mean and deviation of training images.

    Padding is no brightness: a cell counts by its share inside the content of an image.
    """

    def __init__(self, store: ImageStore, rows: Int[np.ndarray, "images"]) -> None:
        boxes = store.table["content_box"].to_pylist()
        content = np.zeros((len(rows), store.size, store.size), dtype=bool)
        for inside, row in zip(content, rows, strict=True):
            x, y, width, height = boxes[row]
            inside[y : y + height, x : x + width] = True
        self._scales = {}
        for grid in _GRIDS:
            parts = [_averaged(store.gather(rows[own]), content[own], grid)
                     for own in in_batches(range(len(rows)), _BATCH)]  # fmt: skip
            values, shares = (torch.cat(each) for each in zip(*parts, strict=True))
            counted = shares.sum(dim=0).clamp_min(1e-6)
            mean = (shares * values).sum(dim=0) / counted
            deviation = ((shares * (values - mean).square()).sum(dim=0) / counted).sqrt()
            self._scales[grid] = mean, deviation.clamp_min(_SMALLEST_DEVIATION), shares.sum(dim=0) >= 1

    def maps(self, parts: Mapping[str, Located]) -> dict[str, GridMaps]:
        """Return the maps of every other part than train, whose regions choose the grid and the sign."""
        training = parts["train"]
        found = {(sign, grid): grid_hits(self._map(training, sign, grid), training).mean()
                 for grid in _GRIDS for sign in (1, -1)}  # fmt: skip
        sign, grid = max(found, key=lambda one: found[one])
        return {part: self._map(own, sign, grid) for part, own in parts.items() if part != "train"}

    def _map(self, located: Located, sign: int, grid: int) -> GridMaps:
        """Return the standardised brightness; 0 where the image, or all of training, shows nothing."""
        mean, deviation, known = self._scales[grid]
        values, shares = _averaged(located.pixels, located.content, grid)
        return torch.where(known & (shares > 0), sign * (values - mean) / deviation, 0.0)


def _averaged(
    pixels: UInt8[np.ndarray, "images size size"], content: Bool[np.ndarray, "images size size"], grid: int
) -> tuple[GridMaps, GridMaps]:
    """Return the mean grey value 0..1 of the content in each cell of a grid, and its share of the cell."""
    inside = torch.from_numpy(content).unsqueeze(1).float()
    grey = torch.from_numpy(pixels).unsqueeze(1).float() / 255
    shares, sums = (F.adaptive_avg_pool2d(each, grid).flatten(1) for each in (inside, grey * inside))
    return sums / shares.clamp_min(1e-6), shares


class RandomEncoders:
    """Encoders of a checkpoint's architecture with random weights, the same for every checkpoint of it.

    Their heatmaps are read in the same ways as the checkpoint's, but for what they lack: the mean of pre-training, for
    which that of the data set's training images stands, or none without these; and the integrity map.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        count: int,
        readings: Mapping[str, HeatmapReading],
        mean_of: Callable[[DualEncoder, int], Float[torch.Tensor, "patches embedding"] | None],
    ) -> None:
        """`mean_of` returns the mean over the data set's training images on a finer grid; None without images."""
        self._checkpoint, self._count, self._readings, self._mean_of = checkpoint, count, readings, mean_of
        self._means: dict[tuple[int, int], Float[torch.Tensor, "patches embedding"] | None] = {}

    def __iter__(self) -> Iterator[tuple[Checkpoint, dict[str, HeatmapReader]]]:
        """Yield each encoder with its readers; they are built one after the other, because they are as large."""
        for number in range(self._count):
            model = _random_model(self._checkpoint, number)
            own = Checkpoint(model, self._checkpoint.tokenizer, None, self._checkpoint.record)
            yield own, {name: self._reader(own, number, each) for name, each in self._readings.items()}

    def _reader(self, own: Checkpoint, number: int, reading: HeatmapReading) -> HeatmapReader:
        mean = None if reading.mean == "none" else self._mean(own.model, number, reading.shifts)
        changed = {"mean": "none" if mean is None else "dataset", "integrity_temperature": None}
        return heatmap_reader(own, reading.model_copy(update=changed), mean)

    def _mean(self, model: DualEncoder, number: int, shifts: int) -> Float[torch.Tensor, "patches embedding"] | None:
        """Return the mean of an encoder's patches, which is computed once for all findings."""
        if (number, shifts) not in self._means:
            self._means[number, shifts] = self._mean_of(model, shifts)
        return self._means[number, shifts]


def _random_model(checkpoint: Checkpoint, number: int) -> DualEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from("random encoder", number))
        model = build_encoder(checkpoint.record)
    return model.requires_grad_(False).eval().to(checkpoint.model.device)


@dataclass(frozen=True)
class Probe:
    """A linear classifier of patches; it reads a map like any reader, the same for every sentence."""

    mean: Float[torch.Tensor, "width"]
    weights: Float[torch.Tensor, "width"]
    reading: HeatmapReading = HeatmapReading()  # its grid alone

    def __call__(
        self, tokens: Float[torch.Tensor, "images patches width"], sentences: Float[torch.Tensor, "sentences embedding"]
    ) -> Float[torch.Tensor, "images sentences patches"]:
        """Return the logit of every patch."""
        logits = (tokens - self.mean) @ self.weights
        return logits.unsqueeze(1).expand(-1, len(sentences), -1)


def fit_probes(
    model: DualEncoder, store: ImageStore, training: Located, absent: Sequence[str], seed: int, precision: Precision
) -> dict[str, Probe]:
    """Fit a probe with each of PENALTIES on the patches of training images with the finding and of `absent` without.

    A patch's target is the share of it that the image's regions cover (of all its phrases). Of many images some are
    drawn by the seed.
    """
    regions_of: dict[str, Bool[np.ndarray, "size size"]] = {}
    for image, region in zip(training.labels["image_id"], training.regions, strict=True):
        regions_of[image] = regions_of[image] | region if image in regions_of else region
    random = np.random.default_rng(seed_from("probe", seed))
    present, others = ([names[place] for place in random.permutation(len(names))[:_MOST_PROBED]]
                       for names in (sorted(regions_of), absent))  # fmt: skip
    images = [*present, *others[: len(present)]]
    pixels = store.gather(np.array([store.row_of(image) for image in images], dtype=np.int64))
    nowhere = np.zeros_like(pixels[0], dtype=bool)
    targets = _coverage(np.stack([regions_of.get(image, nowhere) for image in images]), model.settings.image.grid)
    with torch.inference_mode():
        batches = in_batches(range(len(pixels)), _BATCH)
        tokens = joined(token_batches(model, pixels.__getitem__, batches, precision)).flatten(0, 1)
    mean, deviation = tokens.mean(dim=0), tokens.std(dim=0).clamp_min(1e-6)
    features, device = (tokens - mean) / deviation, model.device
    shares = targets.flatten().to(device)
    fitted = (_logistic_regression(features.to(device), shares, penalty) for penalty in PENALTIES)
    return {f"penalty {penalty:g}": Probe(mean.to(device), weights / deviation.to(device))
            for penalty, weights in zip(PENALTIES, fitted, strict=True)}  # fmt: skip


def _coverage(regions: Bool[np.ndarray, "images size size"], grid: int) -> GridMaps:
    """Return the share of each patch that a region covers."""
    return F.adaptive_avg_pool2d(torch.from_numpy(regions).float().unsqueeze(1), grid).flatten(1)


def _logistic_regression(
    features: Float[torch.Tensor, "patches width"], targets: Float[torch.Tensor, "patches"], penalty: float
) -> Float[torch.Tensor, "width"]:
    """Return the weights of the smallest mean cross-entropy + penalty * |weights|^2 / 2; the bias moves no peak."""
    parameters = torch.zeros(features.shape[1] + 1, device=features.device, requires_grad=True)
    solver = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        weights, bias = parameters[:-1], parameters[-1]
        value = F.binary_cross_entropy_with_logits(features @ weights + bias, targets)
        value = value + penalty * weights.square().sum() / 2
        value.backward()
        return value

    solver.step(loss)
    return parameters[:-1].detach()
