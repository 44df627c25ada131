"""Protocols `finetune` and `benchx`: the image encoder and a linear head on its pooled tokens, all weights trained.

Both are SGD with warm-up and cosine; the weights of the best validation AUC are kept. `finetune` is that of MRM (Zhou
et al., ICLR 2023) and MaCo (Huang et al., Nat. Commun. 2024): batches of 96 and a given number of steps. `benchx` is
that of BenchX (Zhou et al., NeurIPS 2024): a layer norm before the head, the encoder at a tenth of the head's rate, and
an early stop. Differences from the authors' code are listed in contract.py, ALWAYS_DIFFERENT, and beside the figures.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import LabelMatrix
from ..common.device import choose_device
from ..common.digests import seed_from
from ..common.encoders.augmentation import DRAWS, augment
from ..common.encoders.dual import DualEncoder, load_checkpoint
from ..common.errors import InputError
from ..common.few_shot.parts import Parts, shrink
from ..common.few_shot.repetitions import looks_of
from ..common.inference.encoding import computing_in, in_batches, input_batches, joined
from ..common.journal.progress import progress
from ..common.journal.tracking import Run
from ..common.training.prefetching import Prefetcher
from ..common.training.served_states import state_in_use
from ..common.training.state_files import ResumableState
from .contract import TrainingJob, TrainingJobSettings
from .evaluation import Fit, KnownTargets, SeedScores, classify, target_tensor, validation_auc

Log = Callable[[dict[str, float], int], None]

_SCORED_AT_ONCE = 256


class Classifier(nn.Module):
    """A copy of an image encoder with a head that starts near zero, as in MRM and MAE, and may begin with a norm."""

    def __init__(self, model: DualEncoder, findings: int = 1, head_norm: bool = False) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(model.image).requires_grad_(True)
        linear = nn.Linear(self.encoder.width, findings)
        nn.init.trunc_normal_(linear.weight, std=2e-5)
        nn.init.zeros_(linear.bias)
        self.head = nn.Sequential(nn.LayerNorm(self.encoder.width, eps=1e-6), linear) if head_norm else linear

    def forward(self, images: Float[Tensor, "batch size size"]) -> Float[Tensor, "batch findings"]:
        """Return logits of grey images 0..1."""
        tokens = self.encoder.tokens(self.encoder.normalise(images))
        return self.head(self.encoder.pool(tokens))


@dataclass(frozen=True)
class Best:
    """Scores of the best validation so far, the AUC of the latest one, and how many there were since the best."""

    scores: SeedScores
    looked_at: float
    since: int


@dataclass(frozen=True)
class TrainingBatch:
    """Images of a step as stored, random numbers for `augment`, and the targets."""

    stored: UInt8[Tensor, "batch stored stored"]
    draw: Float[Tensor, "draws batch"]
    known: KnownTargets


class Finetuning:
    """State shared by all repetitions: rows of images in the store, and the settings."""

    def __init__(self, model: DualEncoder, store: ImageStore, parts: Parts, settings: TrainingJobSettings) -> None:
        self._model, self._store, self._settings = model, store, settings
        self._size = model.settings.image.input_size
        self._device = next(model.parameters()).device
        self._train, self._validation, self._test = (
            self._rows(part) for part in (parts.train, parts.validation, parts.test)
        )
        self._targets = target_tensor(parts.train)
        self._validation_targets = parts.validation.targets

    @classmethod
    def load(
        cls, checkpoint: Path, images: Path, parts: Parts, settings: TrainingJobSettings, device: str
    ) -> "Finetuning":
        """Load the model of a checkpoint folder and the images of a manifest."""
        model = load_checkpoint(checkpoint, choose_device(device)).model
        return cls(model, ImageStore(images, often=True), parts, settings)

    def repeat(self, seed: int, log: Log, state: ResumableState) -> SeedScores:
        """Run one repetition, from the newest state if there is one; `kept_at` of the result is the step.

        Raises InputError where the loss is no longer finite.
        """
        settings = self._settings
        torch.manual_seed(seed_from("head", seed))
        classifier = Classifier(self._model, self._targets.shape[1], settings.head_norm).to(self._device)
        optimiser = self._optimiser(classifier)
        schedule = get_cosine_schedule_with_warmup(optimiser, settings.warmup_steps, settings.steps)
        steps = settings.updates(len(self._train))
        looks = looks_of(steps, settings.validations)
        trained = {"classifier": classifier, "optimiser": optimiser, "schedule": schedule}
        done, best, history = _resumed(state.newest(), trained)
        for row in history:
            log(*row)
        with (
            Prefetcher(partial(self._draw, seed), range(done, steps), self._device) as batches,
            progress(f"steps of seed {seed}", steps, done) as report,
        ):
            for step in range(done + 1, steps + 1):
                if self._is_tired(best):
                    break
                loss = self._step(classifier, optimiser, batches.next().to(self._device))
                schedule.step()
                report.at(step, partial("loss {:.3f}".format, loss))
                if step in looks:
                    value = float(loss)  # at looks alone: it waits for a GPU
                    best = self._look(classifier, best, seed, step, value)
                    history.append(({f"seed_{seed}/loss": value, f"seed_{seed}/validation_auc": best.looked_at}, step))
                    log(*history[-1])
                if step == steps or self._is_tired(best) or state.due():
                    state.save(step, _state(trained, step, best, history))
        assert best is not None  # the last step is validated
        return best.scores

    def _is_tired(self, best: Best | None) -> bool:
        return best is not None and best.since == self._settings.patience

    def _optimiser(self, classifier: Classifier) -> torch.optim.SGD:
        settings = self._settings
        groups: list[dict[str, Any]] = [
            {"params": list(classifier.head.parameters())},
            {"params": list(classifier.encoder.parameters()), "lr": settings.learning_rate * settings.encoder_rate},
        ]
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)

    def _look(self, classifier: Classifier, best: "Best | None", seed: int, step: int, loss: float) -> "Best":
        if not math.isfinite(loss):
            raise InputError(f"step {step}: the loss is {loss}", remedy="lower the learning rate of the protocol")
        scores = self._scores(classifier, self._validation)
        value = validation_auc(scores, self._validation_targets)
        if best is not None and value <= best.scores.validation_auc:
            return Best(best.scores, value, best.since + 1)
        return Best(SeedScores(seed, step, value, scores, self._scores(classifier, self._test)), value, 0)

    def _draw(self, seed: int, step: int) -> TrainingBatch:
        """Draw the batch of a 0-based step on the CPU."""
        batches = -(-len(self._train) // self._settings.batch_size)
        epoch, place = divmod(step, batches)
        order = np.random.default_rng(seed_from("order", seed, epoch)).permutation(len(self._train))
        chosen = order[place * self._settings.batch_size :][: self._settings.batch_size]
        generator = torch.Generator().manual_seed(seed_from("images", seed, step))
        stored = torch.from_numpy(shrink(self._store.gather(self._train[chosen]), self._size))
        draw = torch.rand(DRAWS, len(chosen), generator=generator)
        return TrainingBatch(stored, draw, KnownTargets.of(self._targets[chosen]))

    def _step(
        self, classifier: Classifier, optimiser: torch.optim.Optimizer, batch: TrainingBatch
    ) -> Float[Tensor, ""]:
        """Update on a batch and return the loss before the update, still on the device."""
        images = augment(batch.stored, self._size, self._settings.augmentation, batch.draw)
        classifier.train()
        with computing_in(self._settings.precision, self._device):
            logits = classifier(images)
        loss = batch.known.loss(logits.float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), self._settings.clip_norm)
        optimiser.step()
        return loss.detach()

    @torch.inference_mode()
    def _scores(self, classifier: Classifier, rows: Int[np.ndarray, "images"]) -> Float[np.ndarray, "images findings"]:
        """Return logits of whole images."""
        classifier.eval()

        def logits() -> Iterator[Float[Tensor, "batch findings"]]:
            for images in input_batches(
                self._store.gather, in_batches(rows, _SCORED_AT_ONCE), self._size, self._device
            ):
                with computing_in(self._settings.precision, self._device):
                    scores = classifier(images)
                yield scores.float()

        return joined(logits()).numpy()

    def _rows(self, part: LabelMatrix) -> Int[np.ndarray, "images"]:
        return np.array([self._store.row_of(image_id) for image_id in part.images["image_id"]], dtype=np.int64)


def _state(
    trained: dict[str, Any], step: int, best: Best | None, history: list[tuple[dict[str, float], int]]
) -> dict[str, Any]:
    """Return everything that the next step needs; all randomness is a function of seed and step."""
    content: dict[str, Any] = {name: each.state_dict() for name, each in trained.items()}
    if best is not None:
        scores = vars(best.scores)
        arrays = {name: torch.from_numpy(scores[name]) for name in ("validation", "test")}
        content["best"] = vars(best) | {"scores": scores | arrays}
    return content | {"step": step, "history": history}


def _resumed(
    saved: dict[str, Any] | None, trained: dict[str, Any]
) -> tuple[int, Best | None, list[tuple[dict[str, float], int]]]:
    """Load a state into `trained`; return the steps done, the best validation and what was logged."""
    if saved is None:
        return 0, None, []
    for name, each in trained.items():
        each.load_state_dict(saved[name])
    if "best" not in saved:
        return saved["step"], None, saved["history"]
    scores = saved["best"]["scores"]
    arrays = {name: scores[name].numpy() for name in ("validation", "test")}
    best = Best(**saved["best"] | {"scores": SeedScores(**scores | arrays)})
    return saved["step"], best, saved["history"]


def classify_finetuned(job: TrainingJob) -> None:
    """Fine-tune image encoders over several seeds and write the results; a killed job resumes."""
    with ExitStack() as held:

        def prepare(parts: Parts, run: Run) -> Fit:
            state = held.enter_context(state_in_use(job.state / run.digest[:16]))
            finetuning = Finetuning.load(job.checkpoint, job.images, parts, job.settings, job.device)
            return lambda seed: finetuning.repeat(
                seed, run.log_metrics, ResumableState(state / f"seed_{seed}", job.save_minutes * 60)
            )

        classify(job, prepare)
