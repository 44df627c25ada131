"""Everything that points at a place of an image: heatmaps in each reading, and rivals that are made of images."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Float

from ..common.data.image_store import ImageStore
from ..common.data.prompts import PromptSet
from ..common.encoders.dual import Checkpoint, DualEncoder
from ..common.encoders.settings import HeatmapReading
from ..common.errors import InputError
from ..common.files.arrow_tables import read_table
from ..common.files.schemas import LABELS
from ..common.inference.encoding import mean_patches, rows_for_means
from ..common.inference.heatmaps import heatmap_reader, is_readable
from ..common.settings import Precision
from .contract import PhraseGroundingSettings, readings_of
from .heatmaps import GridMaps, Reader, set_maps
from .located_images import Located
from .rivals import Brightness, RandomEncoders, fit_probes

ByPart = Mapping[str, GridMaps]  # validation, where there is one, and test
PromptsByPart = Mapping[str, Sequence[PromptSet]]  # the prompts of each image


@dataclass(frozen=True)
class Pointed:
    """Maps of one set of prompts on the patch grid; alternatives among which validation chooses have names."""

    heatmap: Mapping[str, ByPart]  # by reading
    random_encoders: Sequence[Mapping[str, ByPart]] = ()  # of each, by reading
    supervised_probe: Mapping[str, ByPart] = field(default_factory=dict)  # by penalty and grid
    brightness: ByPart | None = None


class Pointers:
    """A checkpoint's heatmaps and their rivals; what all findings share is computed once."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        store: ImageStore,
        labels: Path,
        settings: PhraseGroundingSettings,
        precision: Precision = "fp32",
    ) -> None:
        self._checkpoint, self._store, self._precision = checkpoint, store, precision
        self._labels = pl.DataFrame(read_table(labels, LABELS))
        self._probes, self._seed = settings.supervised_probe, settings.seed
        training = self._labels.filter(split="train")["image_id"]
        rows = rows_for_means(store, training, settings.seed)
        self._readings = {name: each for name, each in settings.readings.items()
                          if is_readable(each, checkpoint, bool(len(rows)))}  # fmt: skip
        if not self._readings:
            raise InputError(
                f"phrase_grounding.readings: {', '.join(settings.readings)} cannot be read: no integrity map, or no "
                "training image",
                "add one that needs neither, e.g. `raw: {}`",
            )

        def mean_of(model: DualEncoder, shifts: int) -> Float[torch.Tensor, "patches embedding"] | None:
            return mean_patches(model, store.gather, rows, precision, shifts=shifts) if len(rows) else None

        grids = {each.shifts for each in self._readings.values() if each.mean == "dataset"}
        means = {shifts: mean_of(checkpoint.model, shifts) for shifts in grids}
        self.readers = {name: heatmap_reader(checkpoint, each, means.get(each.shifts))
                        for name, each in self._readings.items()}  # fmt: skip
        self._brightness = Brightness(store, rows) if len(rows) else None
        self._random = RandomEncoders(checkpoint, settings.random_encoders, self._readings, mean_of)

    def at(self, finding: str, parts: Mapping[str, Located], sets: Mapping[str, PromptsByPart]) -> dict[str, Pointed]:
        """Return what points at a finding in validation and test, by set of prompts."""
        readings = {name: self._readings_of(finding, name, prompts) for name, prompts in sets.items()}
        used = [name for name in self.readers if any(name in own for own in readings.values())]
        readers = {name: self.readers[name] for name in used}
        probes: dict[str, Reader] = {}
        brightness = None
        if (training := parts.get("train")) is not None:
            if self._probes:
                absent, model = self._absent(finding), self._checkpoint.model
                fitted = fit_probes(model, self._store, training, absent, self._seed, self._precision)
                grids = sorted({reader.reading.shifts for reader in readers.values()})
                probes = {f"{name}, {shifts} x": replace(each, reading=HeatmapReading(shifts=shifts))
                          for name, each in fitted.items() for shifts in grids}  # fmt: skip
            brightness = self._brightness.maps(parts) if self._brightness is not None else None
        own = self._maps(self._checkpoint, readers | probes, parts, sets)
        random = [self._maps(encoder, {name: each[name] for name in used}, parts, sets)
                  for encoder, each in self._random]  # fmt: skip
        return {
            name: Pointed(
                {reading: own[name][reading] for reading in readings[name]},
                [{reading: each[name][reading] for reading in readings[name]} for each in random],
                {probe: own[name][probe] for probe in probes},
                brightness,
            )
            for name in sets
        }

    def _readings_of(self, finding: str, name: str, prompts: PromptsByPart) -> list[str]:
        """Return the readings of a set of prompts, and say on standard error which ones it cannot have."""
        denying = all(each.negative for own in prompts.values() for each in own)
        found = readings_of(self._readings, finding, name, denying)
        if left := [reading for reading in self._readings if reading not in found]:
            what = f"{finding}, set {name}: not read as {', '.join(left)}, for it has no `negative` prompts"
            print(what, file=sys.stderr)
        return found

    def _maps(
        self,
        checkpoint: Checkpoint,
        readers: Mapping[str, Reader],
        parts: Mapping[str, Located],
        sets: Mapping[str, PromptsByPart],
    ) -> dict[str, dict[str, dict[str, GridMaps]]]:
        """Return maps by set, reader and part."""
        found: dict[str, dict[str, dict[str, GridMaps]]] = {name: {each: {} for each in readers} for name in sets}
        for part, located in parts.items():
            if part == "train":
                continue
            prompts = [each[part] for each in sets.values()]
            maps = set_maps(checkpoint, list(readers.values()), prompts, located.pixels, self._precision)
            for name, by_reader in zip(sets, maps, strict=True):
                for reader, each in zip(readers, by_reader, strict=True):
                    found[name][reader][part] = each
        return found

    def _absent(self, finding: str) -> list[str]:
        """Return the training images that are known to lack a finding, in the order of their ids."""
        rows = self._labels.filter(finding=finding, split="train", target=0)
        return rows["image_id"].unique().sort().to_list()
