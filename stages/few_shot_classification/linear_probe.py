"""Protocol `linear`: a linear classifier on the frozen features that extract_features has cached.

As GLoRIA (Huang et al., ICCV 2021) and MGCA (Wang et al., NeurIPS 2022) probe their encoders: AdamW on batches of 48,
at most 50 epochs, stopped after 10 without gain on validation; the best epoch is kept. Differences from their code are
listed in contract.py, ALWAYS_DIFFERENT, and beside the figures.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int8
from torch import nn
from torch.optim.adamw import adamw

from ..common.digests import seed_from
from ..common.errors import InputError
from ..common.few_shot.parts import Parts
from ..common.files.arrow_tables import map_table
from ..common.files.atomic_files import verify
from ..common.files.schemas import features
from ..common.journal.tracking import Run
from .contract import LinearJob, LinearJobSettings
from .evaluation import Fit, KnownTargets, SeedScores, classify, target_tensor, validation_auc


class CachedFeatures:
    """Pooled tokens of every image of a data set, before the projection: mean of patches, or [CLS]."""

    def __init__(self, path: Path) -> None:
        """Open features.arrow. Raises InputError where it is damaged, of another kind, or not finite."""
        verify(path)
        table = map_table(path)
        types = {field.name: field.type for field in table.schema}
        widths = [getattr(types.get(name), "list_size", 1) for name in ("embedding", "pooled")]
        if not table.schema.equals(features(*widths)):
            raise InputError(
                f"{path}: columns differ from the contract in stages/common/files/schemas.py",
                remedy="run its stage again",
            )
        self._path = path
        self._pooled = table["pooled"].combine_chunks().flatten().to_numpy().reshape(len(table), widths[1])
        self._row = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}
        wrong = np.flatnonzero(~np.isfinite(self._pooled).all(axis=1))
        if len(wrong):
            raise InputError(
                f"{path}: features of {len(wrong)} images (first: {table['image_id'][int(wrong[0])]}) are not finite",
                remedy="the training of this variant diverged: lower its learning rate and run it again",
            )

    def of(self, part: pl.DataFrame) -> Float[np.ndarray, "images width"]:
        """Return the features of the rows of `part`, in their order.

        Raises InputError where a labelled image has none.
        """
        lacking = [image_id for image_id in part["image_id"] if image_id not in self._row]
        if lacking:
            raise InputError(
                f"{self._path}: lacks {len(lacking)} labelled images (first: {lacking[0]})",
                remedy="run extract_features again",
            )
        return self._pooled[[self._row[image_id] for image_id in part["image_id"]]]


@dataclass(frozen=True)
class Features:
    """Frozen features of the three parts, and the targets of training and validation."""

    train: Float[np.ndarray, "train width"]
    train_targets: Float[torch.Tensor, "train findings"]
    validation: Float[np.ndarray, "validation width"]
    validation_targets: Int8[np.ndarray, "validation findings"]
    test: Float[np.ndarray, "test width"]


class _AdamW:
    """torch.optim.AdamW, fused, by the function behind it: the same bits.

    The class would import torch.compile when it is built: a second of processor time, in each of many short jobs.
    """

    def __init__(self, weights: list[nn.Parameter], learning_rate: float, weight_decay: float) -> None:
        self._weights, self._rate, self._decay = weights, learning_rate, weight_decay
        self._means, self._squares = ([torch.zeros_like(each) for each in weights] for _ in range(2))
        self._steps = [torch.zeros(()) for _ in weights]

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights and drop their gradients."""
        gradients = [each.grad for each in self._weights if each.grad is not None]
        adamw(
            list(self._weights), gradients, self._means, self._squares, [], self._steps, fused=True, amsgrad=False,
            beta1=0.9, beta2=0.999, lr=self._rate, weight_decay=self._decay, eps=1e-8, maximize=False,
        )  # fmt: skip
        for each in self._weights:
            each.grad = None


def probe(features: Features, settings: LinearJobSettings, seed: int) -> SeedScores:
    """Fit one classifier of all findings, as a pure function of the arguments; `kept_at` is the 1-based epoch."""
    torch.manual_seed(seed_from("head", seed))
    head = nn.Linear(features.train.shape[1], features.train_targets.shape[1])
    optimiser = _AdamW(list(head.parameters()), settings.learning_rate, settings.weight_decay)
    inputs, targets = torch.from_numpy(features.train), features.train_targets
    best: SeedScores | None = None
    for epoch in range(settings.epochs):
        order = torch.from_numpy(np.random.default_rng(seed_from("order", seed, epoch)).permutation(len(inputs)))
        for chosen in order.split(settings.batch_size):
            loss = KnownTargets.of(targets[chosen]).loss(head(inputs[chosen]))
            loss.backward()
            optimiser.step()
        scores = _scores(head, features.validation)
        if not np.isfinite(scores).all():
            raise InputError(f"epoch {epoch + 1}: the scores are not finite", "lower `linear.learning_rate`")
        value = validation_auc(scores, features.validation_targets)
        if best is None or value > best.validation_auc:
            best = SeedScores(seed, epoch + 1, value, scores, _scores(head, features.test))
        elif epoch + 1 - best.kept_at >= settings.patience:
            break
    assert best is not None  # there is at least one epoch
    return best


@torch.inference_mode()
def _scores(head: nn.Linear, features: Float[np.ndarray, "images width"]) -> Float[np.ndarray, "images findings"]:
    """Return logits."""
    return head(torch.from_numpy(features)).numpy()


def classify_linear(job: LinearJob) -> None:
    """Fit linear classifiers on cached features over several seeds and write the results."""

    def prepare(parts: Parts, _run: Run) -> Fit:
        cached = CachedFeatures(job.features)
        features = Features(cached.of(parts.train.images), target_tensor(parts.train),
                            cached.of(parts.validation.images), parts.validation.targets,
                            cached.of(parts.test.images))  # fmt: skip
        return lambda seed: probe(features, job.settings, seed)

    classify(job, prepare)
