"""Protocol `linear`: a linear classifier on frozen, cached features.

As GLoRIA (Huang et al., ICCV 2021) and MGCA (Wang et al., NeurIPS 2022) probe their encoders: AdamW on batches of 48,
at most 50 epochs, stopped after 10 without gain on validation, the best epoch kept. What differs from their code stands
in settings.py, ALWAYS_DIFFERENT, and beside the figures.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional as F  # noqa: N812

from stages.common.digests import seed_from
from stages.few_shot_classification.evaluation import SeedScores, validation_auc
from stages.few_shot_classification.settings import LinearJobSettings


@dataclass(frozen=True)
class Features:
    """Frozen features of the three parts, and the targets of those that may be looked at."""

    train: Float[np.ndarray, "train width"]
    train_targets: Int[np.ndarray, "train"]
    validation: Float[np.ndarray, "validation width"]
    validation_targets: Int[np.ndarray, "validation"]
    test: Float[np.ndarray, "test width"]


def probe(features: Features, settings: LinearJobSettings, seed: int) -> SeedScores:
    """Fit one classifier; a pure function of its arguments. `SeedScores.kept_at` is the 1-based epoch."""
    torch.manual_seed(seed_from("head", seed))
    head = nn.Linear(features.train.shape[1], 1)
    optimiser = torch.optim.AdamW(
        head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    inputs = torch.from_numpy(features.train)
    targets = torch.from_numpy(features.train_targets).float()
    best: SeedScores | None = None
    for epoch in range(settings.epochs):
        order = torch.from_numpy(np.random.default_rng(seed_from("order", seed, epoch)).permutation(len(inputs)))
        for chosen in order.split(settings.batch_size):
            loss = F.binary_cross_entropy_with_logits(head(inputs[chosen]).squeeze(1), targets[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        scores = _scores(head, features.validation)
        value = validation_auc(scores, features.validation_targets)
        if best is None or value > best.validation_auc:
            best = SeedScores(seed, epoch + 1, value, scores, _scores(head, features.test))
        elif epoch + 1 - best.kept_at >= settings.patience:
            break
    assert best is not None  # there is at least one epoch
    return best


@torch.inference_mode()
def _scores(head: nn.Linear, features: Float[np.ndarray, "images width"]) -> Float[np.ndarray, "images"]:
    """Logits."""
    return head(torch.from_numpy(features)).squeeze(1).numpy()
