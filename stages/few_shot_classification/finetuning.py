"""Protocol `finetune`: the image encoder and a linear head on its mean patch token, all weights trained.

As MRM (Zhou et al., ICLR 2023) and MaCo (Huang et al., Nat. Commun. 2024) fine-tune: SGD on batches of 96, a given
number of steps, warm-up and cosine, the weights of the best validation AUC kept. Different from MRM's code: no flip
(findings have sides), milder crops, no stochastic depth, and the encoder's own last norm stays before the mean.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import get_cosine_schedule_with_warmup

from stages.common.augmentation import DRAWS, augment
from stages.common.device import choose_device
from stages.common.digests import seed_from
from stages.common.dual_encoder import DualEncoder, load_checkpoint, to_input
from stages.common.errors import InputError
from stages.common.image_store import ImageStore
from stages.common.labelled_parts import Parts, targets_of
from stages.few_shot_classification.evaluation import SeedScores, validation_auc
from stages.few_shot_classification.settings import FinetuneJobSettings

Log = Callable[[dict[str, float], int], None]

_SCORED_AT_ONCE = 256


class Classifier(nn.Module):
    """An image encoder of its own (a copy) and a head that starts near zero, as MRM's and MAE's."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(model.image).requires_grad_(True)
        self.head = nn.Linear(self.encoder.width, 1)
        nn.init.trunc_normal_(self.head.weight, std=2e-5)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch size size"]) -> Float[Tensor, "batch"]:
        """Logits of grey images 0..1."""
        return self.head(self.encoder(self.encoder.normalise(images)).mean(dim=1)).squeeze(1)


class Finetuning:
    """What all repetitions share: images by row of the store, and the settings."""

    def __init__(self, model: DualEncoder, store: ImageStore, parts: Parts, settings: FinetuneJobSettings) -> None:
        self._model, self._store, self._settings = model, store, settings
        self._size = model.settings.image.input_size
        self._device = next(model.parameters()).device
        self._train, self._validation, self._test = (
            self._rows(part) for part in (parts.train, parts.validation, parts.test)
        )
        self._targets = torch.from_numpy(targets_of(parts.train)).float()
        self._validation_targets = targets_of(parts.validation)

    @classmethod
    def load(
        cls, checkpoint: Path, images: Path, parts: Parts, settings: FinetuneJobSettings, device: str
    ) -> "Finetuning":
        """From a checkpoint folder and the images' manifest."""
        model = load_checkpoint(checkpoint, choose_device(device)).model
        return cls(model, ImageStore(images), parts, settings)

    def repeat(self, seed: int, log: Log) -> SeedScores:
        """One repetition. `SeedScores.kept_at` is the step; raises InputError where the loss is no number any more."""
        settings = self._settings
        torch.manual_seed(seed_from("head", seed))
        classifier = Classifier(self._model).to(self._device)
        optimiser = torch.optim.SGD(classifier.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
        schedule = get_cosine_schedule_with_warmup(optimiser, settings.warmup_steps, settings.steps)
        looks = {math.ceil(settings.steps * look / settings.validations) for look in range(1, settings.validations + 1)}
        best: SeedScores | None = None
        for step in range(1, settings.steps + 1):
            loss = self._step(classifier, optimiser, seed, step - 1)
            schedule.step()
            if step not in looks:
                continue
            if not math.isfinite(loss):
                raise InputError(f"step {step}: the loss is {loss}; lower the learning rate of `finetune.schedule`")
            scores = self._scores(classifier, self._validation)
            value = validation_auc(scores, self._validation_targets)
            log({f"seed_{seed}/loss": loss, f"seed_{seed}/validation_auc": value}, step)
            if best is None or value > best.validation_auc:
                best = SeedScores(seed, step, value, scores, self._scores(classifier, self._test))
        assert best is not None  # the last step is a look
        return best

    def _step(self, classifier: Classifier, optimiser: torch.optim.Optimizer, seed: int, step: int) -> float:
        """One update on the batch of a 0-based step; returns the loss before it."""
        batches = -(-len(self._train) // self._settings.batch_size)
        epoch, place = divmod(step, batches)
        order = np.random.default_rng(seed_from("order", seed, epoch)).permutation(len(self._train))
        chosen = order[place * self._settings.batch_size :][: self._settings.batch_size]
        generator = torch.Generator().manual_seed(seed_from("images", seed, step))
        stored = self._store.gather(self._train[chosen])
        draw = torch.rand(DRAWS, len(chosen), generator=generator).to(self._device)
        images = augment(torch.from_numpy(stored).to(self._device), self._size, self._settings.augmentation, draw)
        classifier.train()
        with self._autocast():
            logits = classifier(images)
        loss = F.binary_cross_entropy_with_logits(logits.float(), self._targets[chosen].to(self._device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), self._settings.clip_norm)
        optimiser.step()
        return float(loss.detach())

    @torch.inference_mode()
    def _scores(self, classifier: Classifier, rows: Int[np.ndarray, "images"]) -> Float[np.ndarray, "images"]:
        """Logits of whole images."""
        classifier.eval()
        parts = []
        for first in range(0, len(rows), _SCORED_AT_ONCE):
            stored = torch.from_numpy(self._store.gather(rows[first : first + _SCORED_AT_ONCE])).to(self._device)
            with self._autocast():
                parts.append(classifier(to_input(stored, self._size)).float().cpu())
        return torch.cat(parts).numpy()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._settings.precision == "bf16")

    def _rows(self, part: pl.DataFrame) -> Int[np.ndarray, "images"]:
        return np.array([self._store.row_of(image_id) for image_id in part["image_id"]], dtype=np.int64)
