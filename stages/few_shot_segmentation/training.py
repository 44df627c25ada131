"""Training loop of every protocol: steps, validations, the best weights, and a state from which it resumes."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from ..common.digests import seed_from
from ..common.encoders.augmentation import DRAWS, augment
from ..common.errors import InputError
from ..common.few_shot.parts import shrink
from ..common.inference.encoding import Rows, computing_in, copied_behind
from ..common.journal.progress import progress
from ..common.metrics.overlap import Overlaps
from ..common.training.prefetching import Prefetcher
from ..common.training.state_files import ResumableState
from .contract import AnyJobSettings
from .evaluation import count, dice_of_positives, join
from .kept_tokens import KeptTokens
from .outlines import OutlinedImages
from .segmenters import Segmenter, Tokens

Log = Callable[[dict[str, float], int], None]


@dataclass(frozen=True)
class Schedule:
    """Length of a training. `looks` are the steps after which it is validated, the last step among them."""

    steps: int
    looks: frozenset[int]
    patience: int | None  # looks without a better Dice before it stops; None: never
    warmup_steps: int | None  # then a linear fall to 0; None: the learning rate is constant

    def factor(self, step: int) -> float:
        """Return the learning-rate multiplier at `step` (0-based)."""
        if self.warmup_steps is None:
            return 1.0
        if step < self.warmup_steps:
            return step / self.warmup_steps
        return (self.steps - step) / max(1, self.steps - self.warmup_steps)


@dataclass
class Done:
    """State of a training besides model and optimiser."""

    step: int = 0  # steps done
    best_step: int = 0  # 0: none yet
    best_value: float = -1.0
    looks_since: int = 0  # looks without a better value
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)  # one row per look

    def ended(self, schedule: Schedule) -> bool:
        """Return whether all steps are done or patience is exhausted."""
        tired = schedule.patience is not None and self.looks_since >= schedule.patience
        return self.step >= schedule.steps or tired


@dataclass(frozen=True)
class TrainingBatch:
    """Images and masks (0 or 255) of a step as stored, and the random numbers by which `augment` changes both."""

    rows: Int[Tensor, "batch"]  # of the training images
    images: UInt8[Tensor, "batch stored stored"]
    masks: UInt8[Tensor, "batch stored stored"]
    draw: Float[Tensor, "draws batch"]


class Training:
    """One repetition: a segmenter and its data; everything random is a function of seed and step."""

    def __init__(
        self,
        segmenter: Segmenter,
        parts: tuple[OutlinedImages, OutlinedImages],
        settings: AnyJobSettings,
        schedule: Schedule,
        seed: int,
        kept: KeptTokens,
    ) -> None:
        """Prepare a training; `parts` are the images to train on and those of validation, `kept` holds their tokens."""
        self._segmenter, self._settings, self._schedule, self._seed = segmenter, settings, schedule, seed
        self._train, self._validation = parts
        self._optimiser = segmenter.optimiser()
        self._peaks = [group["lr"] for group in self._optimiser.param_groups]
        self._device = next(segmenter.parameters()).device
        self._kept = kept
        self._tokens: Tokens | None = None  # of all training images, where they are kept

    def run(self, state: ResumableState, log: Log) -> Done:
        """Train to the end, from the newest state if there is one; the segmenter then has the best weights.

        Raises InputError where the loss is no longer finite.
        """
        done = self._resume(state, log)
        if not done.ended(self._schedule):
            self._tokens = self._kept.of_training(self._segmenter, self._train, self._settings, self._unchanged)
        with (
            Prefetcher(self._draw, range(done.step, self._schedule.steps), self._device) as batches,
            progress(f"steps of seed {self._seed}", self._schedule.steps, done.step) as report,
        ):
            while not done.ended(self._schedule):
                loss = self._step(done.step, batches.next().to(self._device))
                done.step += 1
                if done.step in self._schedule.looks:
                    self._look(done, float(loss), log)  # at looks alone: reading it waits for a GPU
                report.at(done.step, partial(_note, loss, max(0.0, done.best_value)))
                if state.due():
                    self._save(state, done)
        self._save(state, done)
        self._segmenter.trained().load_state_dict(done.best_weights)
        return done

    def _step(self, step: int, batch: TrainingBatch) -> Float[Tensor, ""]:
        """Update on the batch of a 0-based step and return the loss before the update, still on the device."""
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._schedule.factor(step)
        self._segmenter.train()
        masks = self._masks(batch)
        with computing_in(self._settings.precision, self._device):
            if self._tokens is None:
                loss = self._segmenter.loss(self._images(batch.images, batch.draw), masks)
            else:
                tokens = [level[batch.rows] for level in self._tokens]  # in the layout of the encoder, as convolved
                loss = self._segmenter.loss_of_tokens(tokens, masks)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        return loss.detach()

    def _draw(self, step: int) -> TrainingBatch:
        """Draw the images and masks of a step on the CPU.

        An epoch leaves out images that do not fill a batch; fewer images than one batch are repeated.
        """
        settings = self._settings
        batches = steps_per_epoch(len(self._train), settings.batch_size)
        epoch, place = divmod(step, batches)
        order = np.random.default_rng(seed_from("order", self._seed, epoch)).permutation(len(self._train))
        chosen = np.resize(order, max(len(order), settings.batch_size))[place * settings.batch_size :]
        chosen = chosen[: settings.batch_size]
        generator = torch.Generator().manual_seed(seed_from("crops", self._seed, step))
        draw = torch.rand(DRAWS, len(chosen), generator=generator)
        images, masks = (
            torch.from_numpy(shrink(pixels, settings.input_size))
            for pixels in (self._train.images(chosen), self._train.masks(chosen).astype(np.uint8) * 255)
        )
        return TrainingBatch(torch.from_numpy(chosen), images, masks, draw)

    def _images(
        self, stored: UInt8[Tensor, "batch stored stored"], draw: Float[Tensor, "draws batch"]
    ) -> Float[Tensor, "batch size size"]:
        """Return the crops of a batch."""
        return augment(stored, self._settings.input_size, self._settings.augmentation, draw)

    def _unchanged(self, rows: Rows) -> Float[Tensor, "batch size size"]:
        """Return training images as every step has them where none is augmented."""
        stored = torch.from_numpy(shrink(self._train.images(rows), self._settings.input_size)).to(self._device)
        return self._images(stored, torch.zeros(DRAWS, len(rows), device=self._device))

    def _masks(self, batch: TrainingBatch) -> Float[Tensor, "batch size size"]:
        """Return the masks of a batch, cropped as its images; 1 is the finding."""
        settings = self._settings
        unchanged = settings.augmentation.model_copy(update={"brightness": 0.0, "contrast": 0.0})  # grey is 0 or 1 here
        return (augment(batch.masks, settings.input_size, unchanged, batch.draw) >= 0.5).float()

    def _look(self, done: Done, loss: float, log: Log) -> None:
        if not math.isfinite(loss):
            raise InputError(f"step {done.step}: the loss is {loss}", remedy="lower the learning rate of the protocol")
        overlaps = overlaps_of(self._segmenter, self._validation, self._settings, self._kept)
        value = dice_of_positives(overlaps)
        done.looks_since += 1
        if value > done.best_value:
            done.best_step, done.best_value, done.looks_since = done.step, value, 0
            done.best_weights = _copy(self._segmenter.trained())
        row = {"loss": loss, "validation_dice_of_positives": value}
        done.history.append({"step": float(done.step), **row})
        self._log(log, row, done.step)

    def _log(self, log: Log, row: dict[str, float], step: int) -> None:
        log({f"seed_{self._seed}/{name}": value for name, value in row.items()}, step)

    def _save(self, state: ResumableState, done: Done) -> None:
        """Save the state; for a finished training the best weights suffice."""
        content: dict[str, Any] = {"done": vars(done)}
        if not done.ended(self._schedule):
            content |= {
                "weights": self._segmenter.trained().state_dict(),
                "optimiser": self._optimiser.state_dict(),
            }
        state.save(done.step, content)

    def _resume(self, state: ResumableState, log: Log) -> Done:
        saved = state.newest()
        if saved is None:
            return Done()
        done = Done(**saved["done"])
        if "weights" in saved:
            self._segmenter.trained().load_state_dict(saved["weights"])
            self._optimiser.load_state_dict(saved["optimiser"])
        for row in done.history:
            self._log(log, {name: value for name, value in row.items() if name != "step"}, int(row["step"]))
        return done


def _note(loss: Float[Tensor, ""], best: float) -> str:
    return f"loss {float(loss):.3f}, best Dice of positives {best:.3f}"


def probabilities_of(
    segmenter: Segmenter, images: OutlinedImages, batches: Sequence[Rows], settings: AnyJobSettings, kept: KeptTokens
) -> Iterator[Float[np.ndarray, "_ size size"]]:
    """Yield the probabilities of the whole images of each batch of rows, at the input size."""
    segmenter.eval()
    device = next(segmenter.parameters()).device

    def probabilities() -> Iterator[Float[Tensor, "n size size"]]:
        for tokens in kept.of_batches(segmenter, images, batches, settings):
            with torch.inference_mode(), computing_in(settings.precision, device):
                logits = segmenter.decode(tokens, settings.input_size)
            yield logits.float().sigmoid()

    yield from (each.numpy() for each in copied_behind(probabilities()))


def overlaps_of(segmenter: Segmenter, images: OutlinedImages, settings: AnyJobSettings, kept: KeptTokens) -> Overlaps:
    """Count the pixels of truth and prediction of every image, at the input size."""
    batches = np.array_split(np.arange(len(images)), math.ceil(len(images) / settings.batch_size))
    predicted = probabilities_of(segmenter, images, batches, settings, kept)
    return join([count(each, masks_at(images.masks(rows), settings.input_size))
                 for rows, each in zip(batches, predicted, strict=True)])  # fmt: skip


def masks_at(masks: Bool[np.ndarray, "n stored stored"], size: int) -> Bool[np.ndarray, "n {size} {size}"]:
    """Resize masks: a pixel is inside where at least half of it is."""
    if masks.shape[-1] == size:
        return masks
    how = cv2.INTER_AREA if masks.shape[-1] > size else cv2.INTER_LINEAR
    return np.stack([cv2.resize(mask.astype(np.float32), (size, size), interpolation=how) >= 0.5 for mask in masks])


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the number of batches that an epoch fills, at least one."""
    return max(1, images // batch_size)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
