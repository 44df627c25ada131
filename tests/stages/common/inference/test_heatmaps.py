"""Readings of heatmaps by their truths: planted offsets go, means are zero, smoothing is scipy's, factors multiply."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from torch.nn import functional as F

from stages.common.encoders.dual import Checkpoint, DualEncoder, checkpoint_record
from stages.common.encoders.settings import READINGS, DualEncoderSettings, HeatmapReading
from stages.common.errors import InputError
from stages.common.inference.encoding import mean_patches, stitched_tokens, token_batches
from stages.common.inference.heatmaps import HeatmapReader, heatmap_reader, is_readable, smoothed

SIZE, PATCHES = 16, 16
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": SIZE, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
PHI = torch.linspace(-1, 1, PATCHES)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = DualEncoder(SMALL, 5).eval().requires_grad_(False)
    tokenizer = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    return Checkpoint(model, tokenizer, PHI, checkpoint_record(model), torch.randn(PATCHES, 8))


@pytest.fixture(scope="module")
def stored() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, SIZE, SIZE), dtype=np.uint8)


def tokens_and_sentences() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sentences = F.normalize(torch.randn(3, 8, generator=generator), dim=1)
    return torch.randn(5, PATCHES, 16, generator=generator), sentences


def test_raw_heatmaps_are_the_cosines(checkpoint) -> None:
    tokens, sentences = tokens_and_sentences()
    found = heatmap_reader(checkpoint, READINGS["raw"])(tokens, sentences)
    projected = tokens @ checkpoint.model.image_projection.weight.T
    for prompt in range(3):
        expected = torch.cosine_similarity(projected, sentences[prompt].expand(5, PATCHES, 8), dim=2)
        torch.testing.assert_close(found[:, prompt], expected)


def test_a_planted_offset_by_place_is_removed_exactly(checkpoint) -> None:
    """The same vector added to the patches of all images at a place, and to the mean: no heatmap changes."""
    tokens, sentences = tokens_and_sentences()
    model, offset = checkpoint.model, 3 * torch.randn(PATCHES, 8)

    class Planted(DualEncoder):
        def __init__(self, added: torch.Tensor) -> None:
            self.added = added

        def embed_patches(self, tokens: torch.Tensor) -> torch.Tensor:
            return model.embed_patches(tokens) + self.added

    reading, mean = HeatmapReading(mean="dataset"), torch.randn(PATCHES, 8)
    before = HeatmapReader(Planted(torch.zeros(PATCHES, 8)), reading, mean)(tokens, sentences)
    after = HeatmapReader(Planted(offset), reading, mean + offset)(tokens, sentences)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


def test_the_mean_of_centred_heatmaps_is_zero_at_every_place(checkpoint, stored) -> None:
    mean = mean_patches(checkpoint.model, stored.__getitem__, np.arange(len(stored)))  # in batches of 64 and 6
    reader = heatmap_reader(checkpoint, HeatmapReading(mean="dataset"), mean)
    tokens = checkpoint.model.patch_tokens(checkpoint.model.input_of(torch.from_numpy(stored)))
    maps = reader(tokens, tokens_and_sentences()[1])
    torch.testing.assert_close(maps.mean(dim=0), torch.zeros(3, PATCHES), atol=1e-6, rtol=0)
    assert maps.std() > 1e-3


def test_maps_of_the_relatives_code_are_products_weighted_by_phi_and_smoothed(checkpoint) -> None:
    """Patches that are not normalised, times softmax(phi / .02), then a Gaussian of 1.5 patches."""
    tokens, sentences = tokens_and_sentences()
    reading = HeatmapReading(unit_patches=False, integrity_temperature=0.02, smoothing=1.5)
    found = heatmap_reader(checkpoint, reading)(tokens, sentences).double().numpy()
    products = torch.einsum("ine,pe->ipn", tokens @ checkpoint.model.image_projection.weight.T, sentences)
    weighted = (products * torch.softmax(PHI / 0.02, dim=0)).double().numpy().reshape(5, 3, 4, 4)
    expected = np.stack([[gaussian_filter(one, 1.5) for one in image] for image in weighted])
    np.testing.assert_allclose(found, expected.reshape(5, 3, PATCHES), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.floats(0.3, 4), st.integers(0, 2**16))
def test_smoothing_is_that_of_scipy_on_any_grid(grid, deviation, seed) -> None:
    values = np.random.default_rng(seed).normal(size=(2, grid, grid))
    found = smoothed(torch.from_numpy(values).flatten(1), deviation).reshape(2, grid, grid).numpy()
    expected = np.stack([gaussian_filter(one, deviation) for one in values])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("shifts", [2, 3, 4])  # 2 and 4 divide a patch: evenly spaced, if half a pixel off
def test_each_stitched_token_is_that_of_the_patch_at_its_place(shifts) -> None:
    """An encoder whose token is the mean place of a patch's own pixels: a fine grid of them is evenly spaced."""
    rows, columns = np.indices((SIZE, SIZE)).astype(np.float32)

    class Places(DualEncoder):
        def __init__(self) -> None:
            self.settings = SMALL

        def patch_tokens(self, images: torch.Tensor) -> torch.Tensor:
            patches = images.unflatten(2, (4, 4)).unflatten(1, (4, 4)).transpose(2, 3)  # grid, grid, 4, 4
            return patches.mean(dim=(3, 4)).flatten(1).unsqueeze(2)

    found = stitched_tokens(Places(), torch.from_numpy(np.stack([rows, columns])), shifts)
    down, right = found.view(2, 4 * shifts, 4 * shifts)
    inner = slice(shifts, -shifts)  # what moves across the border is repeated there
    centres = (np.arange(4 * shifts) + 0.5) * 4 / shifts - 0.5
    rounding = 0 if 4 % (2 * shifts) == 0 else 0.5  # of offsets, to whole pixels
    np.testing.assert_allclose(down[inner, 0], centres[inner], atol=rounding + 1e-5)
    np.testing.assert_allclose(right[0, inner], centres[inner], atol=rounding + 1e-5)
    if 4 % shifts == 0:
        np.testing.assert_allclose(np.diff(right[0, inner]), 4 / shifts)
    torch.testing.assert_close(down, right.T)


def test_one_shift_is_none_and_a_finer_map_has_the_factor_of_its_patch(checkpoint, stored) -> None:
    model, images = checkpoint.model, torch.from_numpy(stored[:3]).float() / 255
    torch.testing.assert_close(stitched_tokens(model, images, 1), model.patch_tokens(images))
    reader = heatmap_reader(checkpoint, HeatmapReading(shifts=2, integrity_temperature=1.0))
    plain = heatmap_reader(checkpoint, HeatmapReading(shifts=2))
    [tokens] = token_batches(model, stored.__getitem__, [np.arange(3)], shifts=2)
    sentences = tokens_and_sentences()[1]
    factor = (reader(tokens, sentences) / plain(tokens, sentences)).view(3, 3, 4, 2, 4, 2)
    expected = torch.softmax(PHI, dim=0).view(4, 1, 4, 1).expand(3, 3, 4, 2, 4, 2)
    torch.testing.assert_close(factor, expected, rtol=1e-3, atol=1e-5)
    smooth = heatmap_reader(checkpoint, HeatmapReading(shifts=2, smoothing=0.5))(tokens, sentences)
    torch.testing.assert_close(smooth, smoothed(plain(tokens, sentences), 1.0))  # half a patch is a fine one


def test_a_reading_says_what_it_lacks(checkpoint) -> None:
    bare = Checkpoint(checkpoint.model, checkpoint.tokenizer, None, checkpoint.record)
    weighted = HeatmapReading(integrity_temperature=0.02)
    for reading, message in (
        (READINGS["centred"], "the checkpoint, of an older version, has no mean of patches"),
        (HeatmapReading(mean="dataset"), "it has no training image"),
        (weighted, "the checkpoint has no integrity map"),
    ):
        with pytest.raises(InputError, match=message):
            heatmap_reader(bare, reading)
    assert not is_readable(weighted, bare, with_images=True)
    assert is_readable(weighted, checkpoint, with_images=False)
    assert not is_readable(HeatmapReading(mean="dataset"), checkpoint, with_images=False)
    with pytest.raises(ValueError, match="unit_patches: true"):
        HeatmapReading(mean="dataset", unit_patches=False)
    with pytest.raises(ValueError, match="set mean: dataset, or shifts: 1"):
        HeatmapReading(mean="pretraining", shifts=2)
