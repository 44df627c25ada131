"""Compare batches from the image store with batches of JPEG files as peers load them, on one thread.

    python -m benchmarks.image_batches --batch 64 --rounds 15

The script makes pictures, smooth with noise, and writes each of them as a row of an Arrow shard and as a JPEG file of
quality 95. Both sides read them in one random order (page cache warm) and return normalised float32 tensors of 224 x
224 pixels. The result is the median over interleaved rounds of thread time, because others may share the machine.

- whole: stored at 224 pixels. Ours: gather, normalise, one channel, which is what the encoder takes. Peers, as in
  MGCA's and GLoRIA's data sets with torchvision's steps: Pillow, `convert("RGB")`, a float tensor by channel, its
  normalisation; the three channels are equal. "one channel" leaves the image grey.
- augmented: stored at 256 pixels, a crop of 60 to 100 % of the area resized to 224, contrast and brightness. "affine"
  also rotates by up to 10 degrees, shifts by up to 5 % and changes the size by up to 10 %. Peers: Pillow's bilinear
  resize of the crop, its bilinear affine transform and ImageEnhance, in turn, as torchvision's RandomResizedCrop,
  RandomAffine and ColorJitter call them. Both use the same random numbers. Peers round to bytes after each step and
  resample twice. "resampled by PyTorch" is our way as a GPU does it, for the whole batch at once.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from stages.common.data.image_store import ImageStore
from stages.common.data.manifest import Manifest, ShardEntry
from stages.common.encoders import augmentation
from stages.common.encoders.augmentation import DRAWS, augment
from stages.common.encoders.image import ImageEncoder
from stages.common.encoders.settings import AugmentationSettings, ImageEncoderSettings
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import sha256_of
from stages.common.records import write_record

STORED, SIZE = 256, 224
CROP = AugmentationSettings()
AFFINE = AugmentationSettings(rotation=10, translation=0.05, scale=0.1)
MEAN, DEVIATION = ImageEncoderSettings().mean, ImageEncoderSettings().standard_deviation
normalised = ImageEncoder(ImageEncoderSettings(architecture="custom", width=16, depth=1, heads=1)).normalise


def pictures(count: int, size: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    made = []
    for _ in range(count):
        waves = np.sin(y * random.uniform(3, 9)) * np.cos(x * random.uniform(3, 9))
        ribs = cv2.GaussianBlur(random.normal(0, 1, (size, size)), (0, 0), 4) * 4
        noise = cv2.GaussianBlur(random.normal(0, 1, (size, size)), (0, 0), 0.7) * 0.06
        made.append(((waves + ribs * 0.3 + noise) * 90 + 128).clip(0, 255).astype(np.uint8))
    return made


def write(folder: Path, count: int, size: int) -> tuple[ImageStore, list[Path]]:
    """Write the store and the JPEG files."""
    folder.mkdir()
    usual = {"dataset": "benchmark", "content_box": [0, 0, size, size], "original_rows": size, "original_columns": size,
             "photometric": "MONOCHROME2", "window": "minmax", "pixels_sha256": ""}  # fmt: skip
    none = dict.fromkeys(
        ["patient_id", "view", "row_spacing", "column_spacing", "picture_sha256", "instance_uid", "sex", "age"]
    )
    rows, files = [], []
    for number, pixels in enumerate(pictures(count, size)):
        rows.append(usual | none | {"image_id": str(number), "study_id": str(number), "pixels": pixels.tobytes()})
        files.append(folder / f"{number}.jpg")
        Image.fromarray(pixels).save(files[-1], quality=95)
    shard = folder / "0.arrow"
    write_rows(shard, schemas.images(size), rows)
    counts = {"indexed": count, "images": count, "rejects": 0, "pictures": 0}
    entry = ShardEntry(path=shard.name, sha256=sha256_of(shard), bytes=shard.stat().st_size, rows=count, rejects=0)
    write_record(folder / "manifest.json", Manifest(dataset="benchmark", size=size, **counts, shards=[entry]))
    return ImageStore(folder / "manifest.json"), files


def of_peers(image: Image.Image, mode: str) -> Tensor:
    """Return what torchvision's ToTensor and Normalize make of a picture."""
    pixels = np.array(image.convert(mode))
    pixels = pixels if mode == "RGB" else pixels[..., np.newaxis]
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    mean, deviation = torch.full((len(tensor), 1, 1), MEAN), torch.full((len(tensor), 1, 1), DEVIATION)
    return tensor.sub_(mean).div_(deviation)


def augmented_by_peers(image: Image.Image, settings: AugmentationSettings, draw: np.ndarray) -> Image.Image:
    area, x, y, contrast, brightness, turn, extent, right, down = (float(number) for number in draw)
    side = STORED * math.sqrt(settings.min_area + (1 - settings.min_area) * area)
    left, top = (STORED - side) * x, (STORED - side) * y
    image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    if settings.rotation:
        angle = math.radians(settings.rotation) * (2 * turn - 1)
        length = 1 + settings.scale * (2 * extent - 1)
        cosine, sine = length * math.cos(angle), length * math.sin(angle)
        shifts = [settings.translation * SIZE * (2 * number - 1) for number in (right, down)]
        middle = SIZE / 2
        coefficients = (cosine, -sine, middle * (1 - cosine + sine) + shifts[0],
                        sine, cosine, middle * (1 - sine - cosine) + shifts[1])  # fmt: skip
        image = image.transform((SIZE, SIZE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    image = ImageEnhance.Brightness(image).enhance(1 + settings.brightness * (2 * brightness - 1))
    return ImageEnhance.Contrast(image).enhance(1 + settings.contrast * (2 * contrast - 1))


def ways(folder: Path, count: int) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """Return every way by its name, for each kind of batch; ours comes first."""
    order = np.random.default_rng(1).permutation(count)
    draw = torch.rand(DRAWS, count, generator=torch.Generator().manual_seed(0))
    numbers = draw.numpy().T
    whole, whole_files = write(folder / "whole", count, SIZE)
    large, large_files = write(folder / "large", count, STORED)

    def ours(settings: AugmentationSettings) -> Tensor:
        return normalised(augment(torch.from_numpy(large.gather(order)), SIZE, settings, draw))

    def resampled_by_torch(settings: AugmentationSettings) -> Tensor:
        with patch.object(augmentation, "_warped", augmentation._sampled):
            return ours(settings)

    def peers(settings: AugmentationSettings, mode: str) -> Tensor:
        made = []
        for row, own in zip(order, numbers, strict=True):
            image = Image.open(large_files[row]).convert(mode)
            made.append(of_peers(augmented_by_peers(image, settings, own), mode))
        return torch.stack(made)

    def peers_whole(mode: str) -> Tensor:
        return torch.stack([of_peers(Image.open(whole_files[row]), mode) for row in order])

    kinds: dict[str, dict[str, Callable[[], Tensor]]] = {
        "whole": {
            "ours": lambda: normalised(torch.from_numpy(whole.gather(order))),
            "ours, bytes only": lambda: torch.from_numpy(whole.gather(order)),
            "peers": partial(peers_whole, "RGB"),
            "peers, one channel": partial(peers_whole, "L"),
        }
    }
    for name, settings in (("augmented", CROP), ("augmented, affine", AFFINE)):
        kinds[name] = {
            "ours": partial(ours, settings),
            "ours, resampled by PyTorch": partial(resampled_by_torch, settings),
            "peers": partial(peers, settings, "RGB"),
            "peers, one channel": partial(peers, settings, "L"),
        }
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=64, help="images of a batch")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print("| batch | way | images/s | ours is faster |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, each in ways(Path(folder), options.batch).items():
            times: dict[str, list[float]] = {name: [] for name in each}
            for number in range(options.rounds + 1):
                for name, run in each.items():
                    started = time.thread_time()
                    run()
                    if number:  # the first one is cold
                        times[name].append(time.thread_time() - started)
            seconds = {name: statistics.median(values) for name, values in times.items()}
            for name, value in seconds.items():
                print(f"| {kind} | {name} | {options.batch / value:,.0f} | {value / seconds['ours']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
