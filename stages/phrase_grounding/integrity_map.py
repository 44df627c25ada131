"""Does the learned integrity map phi lean into the lungs? (The paper's Fig. 3a.)"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from stages.common.prompt_similarity import to_pixels
from stages.common.ranking_metrics import auc


@dataclass(frozen=True)
class IntegrityMap:
    values: list[float]  # phi, centred, row-major on the patch grid
    lung_auc: float | None  # P(phi of a lung pixel > phi of another one); None where lungs are unknown
    smallest: float
    largest: float
    standard_deviation: float


def describe(
    phi: Float[torch.Tensor, "patches"], lungs: Bool[np.ndarray, "images rows columns"] | None
) -> IntegrityMap:
    """phi with its scale, and its AUC against the mean lung mask (pixels that are lung in half of the images)."""
    lung_auc = None
    if lungs is not None and len(lungs):
        mean = lungs.mean(axis=0) >= 0.5
        pixels = to_pixels(phi.unsqueeze(0), mean.shape[0])[0].double().numpy().ravel()
        lung_auc = float(auc(pixels, mean.ravel().astype(int), np.ones((1, mean.size)))[0])
    values = phi.double().numpy()
    return IntegrityMap(values.tolist(), lung_auc, float(values.min()), float(values.max()), float(values.std()))
