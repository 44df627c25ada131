"""Training batches whose every random choice is a pure function of (seed, epoch or step).

The CPU gathers stored pixels, one byte each, and draws random numbers; cropping, turning and the change to numbers
happen on the device that trains.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from stages.common.augmentation import AFFINE_DRAWS, CROP_DRAWS, augment
from stages.common.augmentation_settings import AugmentationSettings
from stages.common.digests import seed_from
from stages.common.errors import InputError
from stages.common.image_store import ImageStore
from stages.common.paired_reports import PairedReports
from stages.common.report_batches import SpecialTokens, pad_reports
from stages.pretrain.masking import draw_visible
from stages.pretrain.objective import ReportGroup, TrainingBatch
from stages.pretrain.ranks import ALONE, Ranks, check_batch
from stages.pretrain.sentence_choice import sentence_orders
from stages.pretrain.sentence_weights import idf_weights, weight_of
from stages.pretrain.settings import PretrainSettings

Value = TypeVar("Value")


@dataclass(frozen=True)
class DrawnBatch:
    """What the CPU prepares of one step: the images and reports of this rank, and what the losses need of all pairs."""

    image_ids: tuple[str, ...]  # of the global batch, as are the next
    study_ids: tuple[str, ...]
    pixels: UInt8[Tensor, "own stored stored"]
    draw: Float[Tensor, "draws own"]  # of `augment`
    reports: tuple[ReportGroup, ...]
    visible: Int[Tensor, "batch visible"]
    sentence_mask: Bool[Tensor, "batch sentences"]
    sentence_weights: Float[Tensor, "batch sentences"]
    false_negatives: Bool[Tensor, "batch batch"]

    def pinned(self) -> "DrawnBatch":
        """In pages that a GPU reads by itself, while the CPU goes on."""
        return _each_tensor(self, Tensor.pin_memory)

    def on(self, device: torch.device, size: int, augmentation: AugmentationSettings) -> TrainingBatch:
        """The batch on `device`, its images augmented there to `size` pixels."""
        there = _each_tensor(self, lambda tensor: tensor.to(device, non_blocking=True))
        return TrainingBatch(
            images=augment(there.pixels, size, augmentation, there.draw),
            reports=there.reports,
            visible=there.visible,
            sentence_mask=there.sentence_mask,
            sentence_weights=there.sentence_weights,
            false_negatives=there.false_negatives,
        )


def _each_tensor(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """`value` with every tensor in it changed, through data classes and tuples."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_each_tensor(part, change) for part in value)
    if is_dataclass(value):
        parts = {field.name: _each_tensor(getattr(value, field.name), change) for field in fields(value)}
        return replace(value, **parts)
    return value


class TrainingData:
    """Draws the batch of any step without having drawn those before it."""

    def __init__(
        self,
        settings: PretrainSettings,
        store: ImageStore,
        reports: PairedReports,
        special: SpecialTokens,
        ranks: Ranks = ALONE,
    ) -> None:
        """Raises InputError where the batch cannot be shared out evenly among `ranks`."""
        check_batch(settings.optimisation.batch_size, settings.optimisation.text_group, ranks.world)
        self.settings = settings
        self.ranks = ranks
        self.store = store
        self.special = special
        self.studies = reports.studies
        if settings.optimisation.epochs and not self.steps_per_epoch:
            raise InputError(
                f"optimisation.batch_size {settings.optimisation.batch_size} exceeds the {len(self.studies)} training "
                "studies; set it to at most that"
            )
        weights = idf_weights(study.texts for study in self.studies)
        self._weights = [[weight_of(text, weights) for text in study.texts] for study in self.studies]
        self._rows = [[store.row_of(image) for image in study.image_ids] for study in self.studies]
        texts = {text: rank for rank, text in enumerate(dict.fromkeys(" ".join(s.texts) for s in self.studies))}
        self._text_group = np.array([texts[" ".join(study.texts)] for study in self.studies])

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only: the loss compares the pairs of a batch, so a short one would be another task."""
        return len(self.studies) // self.settings.optimisation.batch_size

    def batch(self, step: int, device: torch.device | str = "cpu") -> TrainingBatch:
        """The batch of a 0-based step on `device`."""
        size = self.settings.model.image.input_size
        return self.draw(step).on(torch.device(device), size, self.settings.augmentation)

    def draw(self, step: int) -> DrawnBatch:
        """The batch of a 0-based step: drawn as a whole, so that no number depends on how many ranks share it."""
        settings, size = self.settings, self.settings.optimisation.batch_size
        own = self.ranks.rows(size)
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng(seed_from("order", settings.seed, epoch)).permutation(len(self.studies))
        chosen = order[place * size : (place + 1) * size]
        randomness = np.random.default_rng(seed_from("images", settings.seed, step))
        places = [int(randomness.integers(len(self._rows[study]))) for study in chosen]
        rows = np.array([self._rows[study][place] for study, place in zip(chosen, places, strict=True)])
        generator = torch.Generator().manual_seed(seed_from("batch", settings.seed, step))
        image = settings.model.image
        affine = torch.Generator().manual_seed(seed_from("affine", settings.seed, step))
        crop_draw = torch.rand(CROP_DRAWS, size, generator=generator)
        draw = torch.cat([crop_draw, torch.rand(AFFINE_DRAWS, size, generator=affine)])
        counts = [len(self._weights[study]) for study in chosen]
        orders = sentence_orders(counts, settings.sentences, seed_from("sentences", settings.seed, step))
        sentence_mask = torch.zeros(size, max(map(len, orders)), dtype=torch.bool)
        weights = torch.zeros(sentence_mask.shape)
        for row, (study, order) in enumerate(zip(chosen, orders, strict=True)):
            sentence_mask[row, : len(order)] = True
            weights[row, : len(order)] = torch.tensor([self._weights[study][sentence] for sentence in order])
        studies = [self.studies[study] for study in chosen]
        return DrawnBatch(
            image_ids=tuple(study.image_ids[place] for study, place in zip(studies, places, strict=True)),
            study_ids=tuple(study.study_id for study in studies),
            pixels=torch.from_numpy(self.store.gather(rows[own])),
            draw=draw[:, own],
            reports=self._reports(chosen, orders, own, step),
            visible=draw_visible(size, image.patches, settings.mask_ratio, generator),
            sentence_mask=sentence_mask,
            sentence_weights=weights,
            false_negatives=self._false_negatives(chosen),
        )

    def _reports(
        self, chosen: Int[np.ndarray, "batch"], orders: list[list[int]], own: slice, step: int
    ) -> tuple[ReportGroup, ...]:
        """Groups begin at fixed rows of the global batch, and the seed of their dropout is a function of that row."""
        size = self.settings.optimisation.text_group
        seed = seed_from("dropout", self.settings.seed, step)
        groups = []
        for first in range(own.start, own.stop, size):
            rows = range(first, min(first + size, own.stop))
            told = [[self.studies[chosen[row]].sentences[sentence] for sentence in orders[row]] for row in rows]
            reports = pad_reports(told, self.special)
            groups.append(ReportGroup(reports, seed + first))
        return tuple(groups)

    def _false_negatives(self, chosen: Int[np.ndarray, "batch"]) -> Bool[Tensor, "batch batch"]:
        """Reports of identical text describe each other's images. (A study occurs once in a batch.)"""
        group = torch.from_numpy(self._text_group[chosen])
        return (group.unsqueeze(0) == group.unsqueeze(1)).fill_diagonal_(False)
