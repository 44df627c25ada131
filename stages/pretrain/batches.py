"""Training batches, whose every random choice is a pure function of (seed, epoch or step).

The CPU gathers stored pixels, one byte each, and draws random numbers; cropping, rotation and the conversion to numbers
happen on the device that trains. A thread draws the batches of the next steps while the device computes.

By default a step reads all sentences of a report, in their order; a subset or another order is optional. Sentences can
be weighted by inverse document frequency, since "No pneumothorax." recurs everywhere and says little (docs/method.md).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ..common.data.image_store import ImageStore
from ..common.data.paired_reports import Study
from ..common.data.patient_split import in_share
from ..common.digests import seed_from
from ..common.encoders.augmentation import AFFINE_DRAWS, CROP_DRAWS
from ..common.encoders.image import draw_visible
from ..common.encoders.report_batches import FlatReports, ReportBatch, SpecialTokens
from ..common.errors import InputError
from .contract import PretrainSettings, SentenceSettings
from .ranks import ALONE, Ranks, check_batch


def sentence_orders(
    counts: Int[np.ndarray, "reports"], settings: SentenceSettings, seed: int
) -> list[Int[np.ndarray, "_"]]:
    """Return the 0-based sentences that a step reads of each report, which has as many as `counts` says.

    If a report has more than `settings.keep` sentences, that many are drawn, every subset with equal probability; they
    keep their order unless `settings.shuffle` is set. With `keep: random` the number is drawn first, from 1 to all. At
    least one is kept per report. The result is a pure function of the arguments.
    """
    keep = settings.keep
    if not settings.shuffle and (keep is None or (keep != "random" and counts.max() <= keep)):
        return [np.arange(count) for count in counts]
    randomness = np.random.default_rng(seed)
    most = randomness.integers(1, counts, endpoint=True).tolist() if keep == "random" else [keep] * len(counts)
    orders = (randomness.permutation(count)[:kept] for count, kept in zip(counts, most, strict=True))
    return list(orders) if settings.shuffle else [np.sort(order) for order in orders]


_STEPS_BETWEEN_LOGS = 20
MIN_DOCUMENT_FREQUENCY = 5  # rarer sentences count as recurring five times, since rarity itself is no merit
MAX_WEIGHT = 5.0


def normalised(sentence: str) -> str:
    """Return a sentence with case, digits and blanks folded: "1.5 cm  nodule." and "2.0 cm nodule." become equal."""
    folded = "".join("0" if character.isdigit() else character for character in sentence.lower())
    return " ".join(folded.split())


def idf_weights(reports: Iterable[Iterable[str]]) -> dict[str, float]:
    """Return log(reports / reports with the sentence) for every normalised sentence of the training reports.

    Document frequency counts at least `MIN_DOCUMENT_FREQUENCY`; the weight lies in [0, MAX_WEIGHT].
    """
    frequency: Counter[str] = Counter()
    count = 0
    for sentences in reports:
        frequency.update({normalised(sentence) for sentence in sentences})
        count += 1
    return {
        sentence: min(MAX_WEIGHT, max(0.0, math.log(count / max(seen, MIN_DOCUMENT_FREQUENCY))))
        for sentence, seen in frequency.items()
    }


def weight_of(sentence: str, weights: Mapping[str, float]) -> float:
    """Return the weight of a sentence; one that training never saw counts as the rarest."""
    return weights.get(normalised(sentence), max(weights.values(), default=1.0))


@dataclass(frozen=True)
class TrainingBatch:
    """A global batch: the images and reports of this rank, and what the losses need to know about all pairs.

    It is drawn on the CPU. Images are bytes as stored, which the objective augments on its device.
    """

    image_ids: tuple[str, ...]  # of the global batch, like the study ids
    study_ids: tuple[str, ...]
    pixels: UInt8[Tensor, "own stored stored"]
    draw: Float[Tensor, "draws own"]  # random numbers for `augment`
    reports: ReportBatch  # of this rank, like the pixels
    visible: Int[Tensor, "batch visible"]  # patches that the encoder sees
    sentence_mask: Bool[Tensor, "batch sentences"]  # True is a sentence, False is padding
    sentence_weights: Float[Tensor, "batch sentences"]  # idf; 0 for padding
    false_negatives: Bool[Tensor, "batch batch"]  # True: i and j are not true negatives; False on the diagonal
    compared: tuple[int, int] | None  # (image, report) whose transport is compared with POT at this step


class TrainingData:
    """Source of batches: draws the batch of any step without having drawn earlier ones."""

    def __init__(
        self,
        settings: PretrainSettings,
        store: ImageStore,
        studies: Sequence[Study],
        special: SpecialTokens,
        ranks: Ranks = ALONE,
    ) -> None:
        """Open the training data. Raises InputError where `ranks` cannot share the batch evenly."""
        check_batch(settings.optimisation.batch_size, ranks.world)
        self.settings = settings
        self.ranks = ranks
        self.store = store
        self.special = special
        self.studies = [study for study in studies if in_share(study.patient_id, settings.data_share)]
        if settings.optimisation.epochs and not self.steps_per_epoch:
            self._refuse_too_few(len(studies))
        if settings.optimisation.epochs and settings.drawn_size > max(store.size, settings.model.image.input_size):
            raise InputError(
                f"reconstruction.target_size {settings.drawn_size}, but images are stored at {store.size} pixels",
                remedy="set dicom_to_arrow.size of the data set to at least that number, or a smaller target_size",
            )
        weights = idf_weights(study.texts for study in self.studies)
        self._reports = FlatReports.of([study.sentences for study in self.studies])
        self._weights = torch.tensor([weight_of(text, weights) for each in self.studies for text in each.texts])
        self._images = np.array([len(study.image_ids) for study in self.studies])
        self._rows = np.array([store.row_of(image) for study in self.studies for image in study.image_ids])
        self._first_row = np.cumsum(self._images) - self._images
        texts = {text: rank for rank, text in enumerate(dict.fromkeys(" ".join(s.texts) for s in self.studies))}
        self._text_group = np.array([texts[" ".join(study.texts)] for study in self.studies])

    def _refuse_too_few(self, studies: int) -> None:
        """Raise an InputError: of the training part's `studies` so few are left that no step has a whole batch."""
        batch, share = f"optimisation.batch_size {self.settings.optimisation.batch_size}", self.settings.data_share
        batch += f" x accumulate {self._accumulated}" if self._accumulated > 1 else ""
        if share < 1:
            raise InputError(
                f"data_share {share:g} leaves {len(self.studies)} of {studies} training studies, fewer than {batch}",
                remedy="raise data_share, or set a smaller batch_size",
            )
        raise InputError(f"{batch} exceeds the {studies} training studies", remedy="set it to at most that number")

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of steps, of whole batches, per epoch.

        The loss compares the pairs of a batch, so a smaller last batch would be another task.
        """
        return len(self.studies) // (self.settings.optimisation.batch_size * self._accumulated)

    @property
    def _accumulated(self) -> int:
        return self.settings.optimisation.accumulate

    @property
    def steps(self) -> int:
        """Return the number of steps of the whole training."""
        return self.settings.optimisation.epochs * self.steps_per_epoch

    @property
    def masked_steps(self) -> int:
        """Return the number of steps before masking ends: all of them, unless `unmasked_epochs` is set."""
        return self.steps - self.settings.unmasked_epochs * self.steps_per_epoch

    def is_logged(self, step: int) -> bool:
        """Return whether the numbers of the 1-based `step` are logged: at regular steps, and at the last one."""
        return step % _STEPS_BETWEEN_LOGS == 0 or step == self.steps

    def draw(self, step: int) -> TrainingBatch:
        """Draw the batch of a 0-based step; no number depends on how many ranks share it.

        With `accumulate`, a batch is counted instead: those of update u are u accumulate .. (u + 1) accumulate - 1.
        """
        settings, size = self.settings, self.settings.optimisation.batch_size
        own = self.ranks.rows(size)
        epoch, place = divmod(step, self.steps_per_epoch * self._accumulated)
        order = np.random.default_rng(seed_from("order", settings.seed, epoch)).permutation(len(self.studies))
        chosen = order[place * size : (place + 1) * size]
        places = self._image_places(chosen, step)
        rows = self._rows[self._first_row[chosen] + places]
        generator = torch.Generator().manual_seed(seed_from("batch", settings.seed, step))
        mask_ratio = settings.mask_ratio if step // self._accumulated < self.masked_steps else 0.0
        affine = torch.Generator().manual_seed(seed_from("affine", settings.seed, step))
        crop_draw = torch.rand(CROP_DRAWS, size, generator=generator)
        draw = torch.cat([crop_draw, torch.rand(AFFINE_DRAWS, size, generator=affine)])
        first = self._reports.first[chosen]
        counts = self._reports.first[chosen + 1] - first
        orders = sentence_orders(counts, settings.sentences, seed_from("sentences", settings.seed, step))
        kept = np.array([len(order) for order in orders])
        sentences = np.concatenate(orders) + np.repeat(first, kept)
        sentence_mask = torch.from_numpy(np.arange(kept.max()) < kept[:, None])
        weights = torch.zeros(sentence_mask.shape)
        weights[sentence_mask] = self._weights[sentences]
        studies = [self.studies[study] for study in chosen]
        return TrainingBatch(
            image_ids=tuple(study.image_ids[place] for study, place in zip(studies, places.tolist(), strict=True)),
            study_ids=tuple(study.study_id for study in studies),
            pixels=torch.from_numpy(self.store.gather(rows[own])),
            draw=draw[:, own],
            reports=self._report_batch(sentences, kept, chosen, step),
            visible=draw_visible(size, settings.model.image.patches, mask_ratio, generator),
            sentence_mask=sentence_mask,
            sentence_weights=weights,
            false_negatives=self._false_negatives(chosen),
            compared=self._compared(step) if self._closes_logged_step(step) else None,
        )

    def _closes_logged_step(self, batch: int) -> bool:
        """Return whether a 0-based batch is the last of a step that is logged."""
        steps, others = divmod(batch + 1, self._accumulated)
        return not others and self.is_logged(steps)

    def _image_places(self, chosen: Int[np.ndarray, "batch"], step: int) -> Int[np.ndarray, "batch"]:
        """Return which of its images each study shows; a study with a single one draws nothing."""
        randomness = np.random.default_rng(seed_from("images", self.settings.seed, step))
        counts = self._images[chosen]
        places = np.zeros_like(counts)
        for row in np.flatnonzero(counts > 1):
            places[row] = randomness.integers(counts[row])
        return places

    def _compared(self, step: int) -> tuple[int, int]:
        """Draw the image and the report, of one local group, whose transport is compared with POT."""
        size, group = self.settings.optimisation.batch_size, self.settings.local.group
        randomness = np.random.default_rng(seed_from("compared", self.settings.seed, step))
        image = int(randomness.integers(size))
        first = image // group * group
        return image, int(randomness.integers(first, min(first + group, size)))

    def _report_batch(
        self,
        sentences: Int[np.ndarray, "sentences"],
        counts: Int[np.ndarray, "batch"],
        chosen: Int[np.ndarray, "batch"],
        step: int,
    ) -> ReportBatch:
        """Return the reports of this rank, in as many streams as there are micro-batches."""
        optimisation = self.settings.optimisation
        own = self.ranks.rows(optimisation.batch_size)
        first, last = counts[: own.start].sum(), counts[: own.stop].sum()
        return self._reports.batch(
            sentences[first:last],
            counts[own],
            self.special,
            self.settings.model.text.context,
            slots=int(counts.max()),
            streams=-(-(own.stop - own.start) // optimisation.micro_batch) if optimisation.micro_batch else 1,
            dropout=(seed_from("dropout", self.settings.seed, step), chosen[own]),
        )

    def _false_negatives(self, chosen: Int[np.ndarray, "batch"]) -> Bool[Tensor, "batch batch"]:
        """Return which pairs have reports of identical text, which describe each other's images.

        A study occurs once in a batch.
        """
        group = torch.from_numpy(self._text_group[chosen])
        return (group.unsqueeze(0) == group.unsqueeze(1)).fill_diagonal_(False)
