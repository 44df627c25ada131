"""A tiny model and images and reports that belong together, in memory; and a training that is killed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest

from stages.common.data.image_store import ImageStore
from stages.common.data.paired_reports import Study
from stages.common.encoders.report_batches import SpecialTokens
from stages.pretrain import training
from stages.pretrain.batches import TrainingData
from stages.pretrain.contract import PretrainSettings, Provenance
from stages.pretrain.ranks import ALONE, Ranks
from stages.pretrain.training_state import TrainingState

VOCABULARY = 30


def small(**changes) -> PretrainSettings:
    block = {
        "model": {
            "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
            "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0.1},
            "embedding_width": 8,
        },
        "reconstruction": {"width": 16, "depth": 1, "heads": 2},
        "optimisation": {"epochs": 4, "warmup_epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "candidates": 2},
    }
    return PretrainSettings.model_validate({**block, **changes})


def with_optimisation(**changes) -> PretrainSettings:
    """Return small settings with other keys of `optimisation`."""
    return small(optimisation={**small().optimisation.model_dump(), **changes})


def deep(**changes) -> PretrainSettings:
    """Return settings of several layers, with other keys of `optimisation`."""
    model = small().model.model_dump()
    model["image"]["depth"] = 2
    model["text"]["depth"] = 3
    return small(model=model, optimisation={**small().optimisation.model_dump(), **changes})


class PlantedImages(ImageStore):
    """Images in memory: image `i<n>` has brightness 8 n, so that reports can be learned from it."""

    def __init__(self) -> None:
        self.size = 20

    def row_of(self, image_id: str) -> int:
        return int(image_id[1:])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        shapes = [np.random.default_rng(int(row)).integers(0, 16, (self.size, self.size)) for row in rows]
        return (8 * np.asarray(rows)[:, None, None] % 240 + shapes).astype(np.uint8)


def data(settings: PretrainSettings, studies: int = 26, ranks: Ranks = ALONE) -> TrainingData:
    """Two studies share a text; every third of such pairs says a sentence more."""
    reports = []
    for n in range(studies):
        more = n // 2 % 3 == 0
        pieces = [[5 + n // 2, 6], [20 + n % 3]] + [[27, 28, 29]] * more
        texts = [f"Word {chr(97 + n // 2)}.", "Clear."] + ["One more here."] * more
        reports.append(Study(f"s{n}", f"p{n}", [f"i{n}"], pieces, texts))
    return TrainingData(settings, PlantedImages(), reports, SpecialTokens(2, 3), ranks)


PROVENANCE = Provenance(starting_weights={}, digests={}, studies=8, fingerprint="", resumed_from=None, seed=0)


@contextmanager
def killed_before(step: int, last: Callable[[TrainingState], object] = lambda _: None) -> Iterator[None]:
    """Kill the training inside before a 0-based step, of whose state `last` may make something."""
    original = training._step

    def killed(state: TrainingState, *rest):
        if state.step == step:
            last(state)
            raise KeyboardInterrupt
        return original(state, *rest)

    with patch.object(training, "_step", killed), pytest.raises(KeyboardInterrupt):
        yield
