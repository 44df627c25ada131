"""Rivals by hand: brightness with planted blobs, a probe that separates planted patches, encoders that are random."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from one_shard_store import write_one_shard
from tiny_checkpoint import SIZE, write_tiny_checkpoint

from stages.common.data.image_store import ImageStore
from stages.common.encoders.dual import load_checkpoint, to_pixels
from stages.common.encoders.settings import READINGS
from stages.common.inference.encoding import mean_patches
from stages.phrase_grounding.located_images import Located
from stages.phrase_grounding.pointing import hits
from stages.phrase_grounding.rivals import Brightness, Probe, RandomEncoders, fit_probes

IMAGES = 40


def planted(seed: int, level: int) -> Located:
    """Images that share a gradient brighter than any finding; a square of 4 x 4 differs from it by `level`."""
    generator = np.random.default_rng(seed)
    shared = np.linspace(40, 200, SIZE)[None, :, None]
    pixels = np.repeat(np.repeat(shared, IMAGES, axis=0), SIZE, axis=2) + generator.normal(0, 3, (IMAGES, SIZE, SIZE))
    regions = np.zeros((IMAGES, SIZE, SIZE), dtype=bool)
    for image, (row, column) in enumerate(generator.integers(0, 4, (IMAGES, 2)) * 4):
        regions[image, row : row + 4, column : column + 4] = True
    pixels[regions] += level
    labels = pl.DataFrame({"image_id": [f"{seed}-{n}" for n in range(IMAGES)], "patient_id": ["p"] * IMAGES})
    return Located(labels, pixels.clip(0, 255).astype(np.uint8), regions, np.ones_like(regions), None)


@pytest.fixture
def store(tmp_path):
    """A function that stores the images of one part."""

    def of(located: Located) -> ImageStore:
        rows = zip(located.labels["image_id"], located.pixels, strict=True)
        write_one_shard(tmp_path, "set", SIZE, [{"image_id": image, "pixels": each.tobytes()} for image, each in rows])
        return ImageStore(tmp_path / "manifest.json")

    return of


@pytest.mark.parametrize("level", [40, -40])
def test_brightness_finds_what_differs_from_the_mean_at_its_place_whatever_its_sign(store, level) -> None:
    train, test = planted(0, level), planted(1, level)
    found = Brightness(store(train), np.arange(IMAGES)).maps({"train": train, "test": test})
    assert found.keys() == {"test"}
    maps = to_pixels(found["test"], SIZE).numpy()
    assert hits(maps, test.regions, test.content).mean() > 0.9
    raw = level / 40 * test.pixels.astype(np.float32)  # brightness alone follows the gradient
    assert hits(raw, test.regions, test.content).mean() < 0.5


def test_standardised_brightness_is_that_of_a_plain_computation(store) -> None:
    train = planted(0, 40)
    mean, deviation, known = Brightness(store(train), np.arange(IMAGES))._scales[14]
    cells = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(train.pixels / 255).unsqueeze(1), 14)
    cells = cells.flatten(1).numpy()
    np.testing.assert_allclose(mean.numpy(), cells.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(deviation.numpy(), np.maximum(cells.std(axis=0), 0.01), atol=1e-6)
    assert known.all()


@pytest.mark.parametrize("whole", [0, 2])
def test_padding_is_no_brightness(tmp_path, whole) -> None:
    """Training images with black bars above and below, but for a few; test images without bars."""
    train, test = planted(0, 40), planted(1, 40)
    padded = train.pixels.copy()
    padded[whole:, :4] = padded[whole:, -4:] = 0
    rows = [{"image_id": image, "pixels": each.tobytes(), "content_box": [0, 0 if place < whole else 4, SIZE,
             SIZE if place < whole else SIZE - 8]}
            for place, (image, each) in enumerate(zip(train.labels["image_id"], padded, strict=True))]  # fmt: skip
    write_one_shard(tmp_path, "set", SIZE, rows)
    content = np.ones_like(train.content)
    content[whole:, :4] = content[whole:, -4:] = False
    located = replace(train, pixels=padded, content=content, regions=train.regions & content)
    found = Brightness(ImageStore(tmp_path / "manifest.json"), np.arange(IMAGES)).maps({"train": located, "test": test})
    shown = test.regions[:, 4:-4].any(axis=(1, 2))  # where training has shown something
    maps = to_pixels(found["test"], SIZE).numpy()
    assert hits(maps, test.regions, test.content)[shown].mean() > 0.9


def test_a_probe_points_at_regions_that_it_has_not_seen(store, tmp_path) -> None:
    train, test = planted(0, 60), planted(1, 60)
    checkpoint = load_checkpoint(write_tiny_checkpoint(tmp_path, ["opacity"]), torch.device("cpu"))
    probes = fit_probes(checkpoint.model, store(train), train, [], 0, "fp32")
    assert list(probes) == ["penalty 0.001", "penalty 0.01", "penalty 0.1"]
    model = checkpoint.model
    with torch.inference_mode():
        tokens = model.patch_tokens(model.input_of(torch.from_numpy(test.pixels)))
        best = max(hits(to_pixels(each(tokens, torch.zeros(1, 8))[:, 0], SIZE).numpy(), test.regions,
                        test.content).mean() for each in probes.values())  # fmt: skip
    assert best > 4 / 16  # chance is 1 / 16, and the encoder is a random one of one layer


def test_a_probe_is_the_logistic_regression_of_scikit_learn(store, tmp_path) -> None:
    """Two classes of patches: the finding covers a patch wholly or not at all."""
    from sklearn.linear_model import LogisticRegression

    train = planted(0, 60)
    model = load_checkpoint(write_tiny_checkpoint(tmp_path, ["opacity"]), torch.device("cpu")).model
    probe = fit_probes(model, store(train), train, [], 0, "fp32")["penalty 0.01"]
    with torch.inference_mode():
        tokens = model.patch_tokens(model.input_of(torch.from_numpy(train.pixels))).flatten(0, 1).numpy()
    targets = train.regions[:, ::4, ::4].reshape(-1)
    deviation = tokens.std(axis=0, ddof=1)
    features = (tokens - tokens.mean(axis=0)) / deviation
    reference = LogisticRegression(C=1 / (0.01 * len(features)), tol=1e-8, max_iter=1000).fit(features, targets)
    np.testing.assert_allclose(probe.weights.numpy() * deviation, reference.coef_[0], atol=2e-3)


def test_a_probe_says_the_same_for_every_sentence() -> None:
    tokens = torch.randn(2, 4, 3)
    found = Probe(torch.ones(3), torch.tensor([1.0, 0, 2]))(tokens, torch.zeros(5, 8))
    torch.testing.assert_close(found, ((tokens - 1) @ torch.tensor([1.0, 0, 2])).unsqueeze(1).expand(2, 5, 4))


def test_random_encoders_differ_among_themselves_and_not_between_checkpoints(store, tmp_path) -> None:
    train = planted(0, 40)
    checkpoint = load_checkpoint(write_tiny_checkpoint(tmp_path, ["opacity"]), torch.device("cpu"))
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    images = store(train)

    def encoders(count: int, rows: int) -> list:
        def mean_of(model, shifts: int) -> torch.Tensor | None:
            return mean_patches(model, images.gather, np.arange(rows), shifts=shifts) if rows else None

        return list(RandomEncoders(checkpoint, count, READINGS, mean_of))

    once, again = encoders(2, IMAGES), encoders(2, IMAGES)
    assert torch.equal(torch.random.get_rng_state(), state)
    first, second = (encoder.model.image_projection.weight for encoder, _ in once)
    assert not torch.equal(first, second)
    assert not torch.equal(first, checkpoint.model.image_projection.weight)
    for (one, readers), (other, twins) in zip(once, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(),
                                                    strict=True))  # fmt: skip
        assert [reader.reading.mean for reader in readers.values()] == [*["dataset"] * 4, "none"]
        assert readers["stitched"].mean.shape[0] == 4 * readers["centred"].mean.shape[0]
        assert readers["centred"].mean is readers["centred_on_dataset"].mean
        torch.testing.assert_close(readers["stitched"].mean, twins["stitched"].mean)
    [(_, without)] = encoders(1, 0)
    assert all(reader.mean is None for reader in without.values())  # without images there is nothing to centre on
