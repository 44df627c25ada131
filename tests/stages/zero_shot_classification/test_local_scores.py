"""The local score on planted patches: a closed form, and what a small finding is worth to it."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from stages.common.data.image_store import ImageStore
from stages.common.data.prompts import PromptSet
from stages.common.encoders.dual import Checkpoint, DualEncoder, TextEmbeddings
from stages.common.errors import InputError
from stages.zero_shot_classification.contract import ZeroShotSettings
from stages.zero_shot_classification.scores import local_scores, mean_of_largest, standardised

GRID = 16
FINDING, CLEAR, OTHER = torch.eye(3)
SETS = {
    "both": PromptSet(positive=["finding"], negative=["clear"]),
    "alone": PromptSet(positive=["finding"]),
    "mixed": PromptSet(positive=["finding", "other"], negative=["clear"]),
}


class PlantedModel(DualEncoder):
    """A pixel is a patch: its grey value says what the patch shows."""

    settings = SimpleNamespace(
        image=SimpleNamespace(input_size=4, patches=GRID, patch_size=1, grid=4), embedding_width=3
    )

    def __init__(self) -> None:
        pass

    device = torch.device("cpu")
    image_projection = None

    def patch_tokens(self, images, visible=None):
        assert visible is None
        return images.flatten(1).unsqueeze(-1).float()  # bytes as stored, whose size is the input's

    def embed_patches(self, tokens):
        return torch.stack([OTHER, FINDING, CLEAR])[tokens.squeeze(-1).long()]


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


SETTINGS = ZeroShotSettings(score="local", reading="raw", patch_share=0.25, batch_size=2)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_planted_patches_give_the_closed_form(batch_size: int) -> None:
    """With 4 of 16 patches kept: n finding patches score min(n, 4) / 4; what denies the finding is not asked for."""
    planted = [0, 1, 3, 4, 9]
    checkpoint = PlantedCheckpoint()
    ids = [str(each) for each in planted]
    settings = ZeroShotSettings(score="local", reading="raw", patch_share=4 / GRID, batch_size=batch_size)
    found = local_scores(checkpoint, SETS, PlantedStore(), ids, settings)
    assert found["alone"] == pytest.approx([min(each, 4) / 4 for each in planted])
    assert found["both"].tolist() == found["alone"].tolist()
    assert found["mixed"] == pytest.approx([2**-0.5] * 5)  # every patch but the clear one is half right
    assert sorted(checkpoint.asked) == ["finding", "other"]  # each prompt once, in however many sets it stands


def test_the_order_is_that_of_the_images_asked_for() -> None:
    forward, backward = (
        local_scores(PlantedCheckpoint(), SETS, PlantedStore(), ids, SETTINGS)["alone"]
        for ids in (["0", "2", "4"], ["4", "2", "0"])
    )
    assert forward.tolist() == backward[::-1].tolist()


def test_from_the_maximum_to_the_mean() -> None:
    heatmaps = F.normalize(torch.randn(3, 2, GRID, generator=torch.Generator().manual_seed(0)), dim=2)
    assert torch.equal(mean_of_largest(heatmaps, 1e-9), heatmaps.amax(dim=2))
    torch.testing.assert_close(mean_of_largest(heatmaps, 1.0), heatmaps.mean(dim=2))
    ordered = [mean_of_largest(heatmaps, share) for share in (0.1, 0.3, 0.7, 1.0)]
    assert all((one >= other).all() for one, other in pairwise(ordered))


def test_centring_takes_away_what_all_images_share_at_a_place(monkeypatch) -> None:
    """An offset by place, however large, moves no centred score; raw ones follow it."""
    mean = torch.zeros(GRID, 3)
    mean[:, 0] = torch.linspace(0, 5, GRID)
    planted = PlantedModel.embed_patches
    settings = SETTINGS.model_copy(update={"reading": "centred"})
    checkpoint = PlantedCheckpoint()
    object.__setattr__(checkpoint, "mean_patches", torch.zeros(GRID, 3))
    before = local_scores(checkpoint, SETS, PlantedStore(), ["1", "5", "9"], settings)
    monkeypatch.setattr(PlantedModel, "embed_patches", lambda self, tokens: planted(self, tokens) + mean)
    object.__setattr__(checkpoint, "mean_patches", mean)
    after = local_scores(checkpoint, SETS, PlantedStore(), ["1", "5", "9"], settings)
    raw = local_scores(checkpoint, SETS, PlantedStore(), ["1", "5", "9"], SETTINGS)
    assert after["both"] == pytest.approx(before["both"], abs=1e-6)
    assert raw["both"].min() > before["both"].max()


def test_a_score_centred_on_the_data_set_is_zero_in_the_mean_and_says_what_it_lacks() -> None:
    """The whole grid is averaged, so that a score is the mean of the centred cosines of an image."""
    settings = SETTINGS.model_copy(update={"reading": "centred_on_dataset", "patch_share": 1.0})
    ids = [str(count) for count in range(1, 6)]
    found = local_scores(PlantedCheckpoint(), SETS, PlantedStore(), ids, settings, training=ids)["alone"]
    assert found == pytest.approx((np.arange(1, 6) - 3) / GRID, abs=1e-6)  # an image `n` has n of 16 patches
    with pytest.raises(InputError, match="it has no training image"):
        local_scores(PlantedCheckpoint(), SETS, PlantedStore(), ids, settings)


def test_a_stitched_score_is_that_of_the_smoothed_finer_map() -> None:
    """Half of a patch of one pixel moves nothing, so that the finer map has every value four times."""
    settings = SETTINGS.model_copy(update={"reading": "stitched", "patch_share": 1 / (4 * GRID)})
    ids = ["1", "5", "9"]
    found = local_scores(PlantedCheckpoint(), SETS, PlantedStore(), ids, settings, training=ids)["alone"]
    pixels = PlantedStore().gather(np.array([1, 5, 9]))
    shows = (pixels == 1).astype(float)
    fine = np.kron(shows - shows.mean(axis=0), np.ones((1, 2, 2)))
    assert found == pytest.approx([gaussian_filter(one, 1.0).max() for one in fine], abs=1e-5)


def test_scores_are_standardised_by_training_images_alone() -> None:
    scores, training = np.array([1.0, 3.0, 100.0]), np.array([True, True, False])
    assert standardised(scores, training).tolist() == [-1, 1, 98]
    assert standardised(np.ones(3), training).tolist() == [0, 0, 0]  # nothing to divide by
