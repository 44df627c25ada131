"""The local score on planted patches: a closed form, and what a small finding is worth to it."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.common.data.image_store import ImageStore
from stages.common.data.prompts import PromptSet
from stages.common.encoders.dual import Checkpoint, DualEncoder, TextEmbeddings
from stages.zero_shot_classification.scores import local_scores, mean_of_largest

GRID = 16
FINDING, CLEAR, OTHER = torch.eye(3)
SETS = {
    "both": PromptSet(positive=["finding"], negative=["clear"]),
    "alone": PromptSet(positive=["finding"]),
    "mixed": PromptSet(positive=["finding", "other"], negative=["clear"]),
}


class PlantedModel(DualEncoder):
    """A pixel is a patch: its grey value says what the patch shows."""

    settings = SimpleNamespace(image=SimpleNamespace(input_size=4))

    def __init__(self) -> None:
        pass

    device = torch.device("cpu")

    def patch_tokens(self, images, visible):
        assert visible is None
        return images.flatten(1)  # bytes as stored, whose size is the input's

    def embed_patches(self, tokens):
        return torch.stack([OTHER, FINDING, CLEAR])[tokens.long()]


class PlantedCheckpoint(Checkpoint):
    model = PlantedModel()

    def __init__(self) -> None:
        object.__setattr__(self, "asked", [])  # frozen

    def embed_sentences(self, sentences: list[str]) -> TextEmbeddings:
        self.asked += sentences
        found = torch.stack([{"finding": FINDING, "clear": CLEAR, "other": OTHER}[each] for each in sentences])
        return TextEmbeddings(report=torch.zeros(len(sentences), 3), sentences=found.unsqueeze(1))


class PlantedStore(ImageStore):
    """Image `n` has n patches with the finding, one that is clear, and others."""

    def __init__(self) -> None:
        pass

    def row_of(self, image_id: str) -> int:
        return int(image_id)

    def gather(self, rows):
        values = [[1] * row + [2] + [0] * (GRID - 1 - row) for row in rows.tolist()]
        return np.array(values, dtype=np.uint8).reshape(-1, 4, 4)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_planted_patches_give_the_closed_form(batch_size: int) -> None:
    """With 4 of 16 patches kept: n finding patches score min(n, 4) / 4, the clear one costs 1 / 4."""
    planted = [0, 1, 3, 4, 9]
    checkpoint = PlantedCheckpoint()
    ids = [str(each) for each in planted]
    found = local_scores(checkpoint, SETS, PlantedStore(), ids, 4 / GRID, batch_size)
    assert found["alone"] == pytest.approx([min(each, 4) / 4 for each in planted])
    assert found["both"] == pytest.approx([min(each, 4) / 4 - 1 / 4 for each in planted])
    assert found["mixed"] == pytest.approx([2**-0.5 - 1 / 4] * 5)  # every patch but the clear one is half right
    assert sorted(checkpoint.asked) == ["clear", "finding", "other"]  # each prompt once, in however many sets it stands


def test_the_order_is_that_of_the_images_asked_for() -> None:
    forward, backward = (
        local_scores(PlantedCheckpoint(), SETS, PlantedStore(), ids, 0.25, 2)["alone"]
        for ids in (["0", "2", "4"], ["4", "2", "0"])
    )
    assert forward.tolist() == backward[::-1].tolist()


def test_from_the_maximum_to_the_mean() -> None:
    cosines = F.normalize(torch.randn(3, GRID, 2, generator=torch.Generator().manual_seed(0)), dim=1)
    assert torch.equal(mean_of_largest(cosines, 1e-9), cosines.amax(dim=1))
    torch.testing.assert_close(mean_of_largest(cosines, 1.0), cosines.mean(dim=1))
    ordered = [mean_of_largest(cosines, share) for share in (0.1, 0.3, 0.7, 1.0)]
    assert all((one >= other).all() for one, other in pairwise(ordered))
