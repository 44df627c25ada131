"""Compare this project's conversion of DICOM to a grey square of 256 pixels with that of peers, per transfer syntax.

    python -m benchmarks.dicom_to_arrow --output benchmarks/dicom_to_arrow.json

The script writes its own files: 2544 x 3056 pixels of 12 bits, a smooth picture with noise. All methods start from the
path of a file (in the page cache) and end with uint8. They run in turn on one thread. The result is the median over the
rounds in processor time, because other processes may share the machine. Errors are grey levels compared with exact
means (float64) of the display values of the full picture.

- peers, windowed: pydicom's pixel_array, apply_modality_lut and apply_voi_lut (or min-max) at full size, then cv2
  INTER_AREA. This is correct.
- peers, scaled: pixel_array scaled by its maximum to uint8, then cv2 INTER_AREA, as in MGCA's and GLoRIA's scripts.
  This is correct only without window and Modality LUT.
- decoder alone: only our codec on the codestream, the lower bound for any reader that uses it.
- ours, row: the stage's whole work on a file (`convert_file`): sha256 of the file, all checks, digests, the row.
- floor of the row: read, sha256 of the file, and the square from an array whose place, shape and window are known.
"""

import argparse
import hashlib
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import openjpeg
from openjpeg.utils import encode_array
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from stages.common.radiographs.display import Levels
from stages.common.radiographs.radiograph import Radiograph
from stages.common.radiographs.readers import read_dicom
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_file, picture_sha256

ROWS, COLUMNS, SIZE = 3056, 2544, 256
WINDOW = (2000.0, 2400.0)  # clips both ends


@dataclass(frozen=True)
class Way:
    name: str
    run: Callable[[Path], np.ndarray]


def ours(digest: bool = True, **settings: object) -> Callable[[Path], np.ndarray]:
    """Convert as the stage does; without the picture's digest, to measure its cost, if `digest` is false."""
    chosen = DicomToArrowSettings(size=SIZE, **settings)

    def run(path: Path) -> np.ndarray:
        radiograph = read_dicom(path.read_bytes(), "PA", chosen)
        if digest:
            picture_sha256(radiograph)
        return radiograph.square(SIZE).pixels

    return run


def row_of(path: Path) -> np.ndarray:
    """Convert as `convert_shard` does a file with a published checksum."""
    row = {"image_id": "", "study_id": "", "patient_id": None, "dataset": "", "view": "PA", "path": path.name,
           "sha256": path.with_suffix(".sha256").read_text(), "inverted": None, "sex": None, "age": None}  # fmt: skip
    image = convert_file(row, path.parent, DicomToArrowSettings(size=SIZE)).image
    assert image is not None
    return np.frombuffer(image["pixels"], dtype=np.uint8).reshape(SIZE, SIZE)


def floor_of_row(window: tuple[float, float] | None) -> Callable[[Path], np.ndarray]:
    """Hash and resample without header, checks and digests of pixels; grey from 0 to 4095 where there is no window."""

    def run(path: Path) -> np.ndarray:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        values = np.frombuffer(data, dtype=np.uint16, offset=len(data) - 2 * ROWS * COLUMNS).reshape(ROWS, COLUMNS)
        black, white = (window[0] - window[1] / 2, window[0] + window[1] / 2 - 1) if window else (0, 4095)
        levels = Levels(values, black, white, (black, white) if window else None)
        return Radiograph(levels, values.shape, None, "", "", None, None).square(SIZE).pixels

    return run


def peers_scaled(path: Path) -> np.ndarray:
    pixels = dcmread(path).pixel_array
    return squared(cv2.convertScaleAbs(pixels, alpha=255.0 / float(pixels.max())))


def peers_windowed(path: Path) -> np.ndarray:
    dataset = dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = (0, 4095) if "WindowWidth" in dataset else (values.min(), values.max())
    return squared(((values - low) / float(high - low) * 255).astype(np.uint8))


def decoder_alone(path: Path) -> np.ndarray:
    dataset = dcmread(path)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    return DECODERS[dataset.file_meta.TransferSyntaxUID](frame)


DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    JPEGLosslessSV1: imagecodecs.jpeg8_decode, JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEG2000Lossless: openjpeg.decode,
}  # fmt: skip


def squared(image: np.ndarray) -> np.ndarray:
    width, height = round(COLUMNS / ROWS * SIZE), SIZE
    square = np.zeros((SIZE, SIZE), dtype=np.uint8)
    left = (SIZE - width) // 2
    square[:, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return square


def exact(values: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Return area means of the display values, float64, not rounded."""
    center, width = window or ((float(values.min()) + float(values.max())) / 2 + 0.5, float(np.ptp(values)) + 1)
    shown = ((values - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1) * 255
    columns = round(COLUMNS / ROWS * SIZE)
    square = np.zeros((SIZE, SIZE))
    left = (SIZE - columns) // 2
    square[:, left : left + columns] = area_weights(ROWS, SIZE) @ shown @ area_weights(COLUMNS, columns).T
    return square


def area_weights(old: int, new: int) -> np.ndarray:
    left, right, pixels = np.arange(new) * old / new, (np.arange(new) + 1) * old / new, np.arange(old)
    overlap = np.minimum(right[:, None], pixels + 1) - np.maximum(left[:, None], pixels)
    return overlap.clip(0) * new / old


def picture() -> np.ndarray:
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    blobs = cv2.GaussianBlur(random.normal(0, 300, y.shape).astype(np.float32), (0, 0), 2)
    smooth = 1900 + 1400 * np.sin(y / 400) * np.cos(x / 300)
    return (smooth + blobs + random.normal(0, 8, y.shape)).clip(0, 4095).astype(np.uint16)


def write(path: Path, values: np.ndarray, syntax: UID, window: tuple[float, float] | None) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *values.shape, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    if window:
        dataset.WindowCenter, dataset.WindowWidth = str(window[0]), str(window[1])
    encoders = {
        JPEGLosslessSV1: lambda: imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=12),
        JPEGLSLossless: lambda: imagecodecs.jpegls_encode(values),
        JPEG2000Lossless: lambda: encode_array(values, bits_stored=12),
    }
    if syntax in encoders:
        dataset.PixelData = encapsulate([bytes(encoders[syntax]())])
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW" if syntax == ExplicitVRLittleEndian else "OB"
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset["PixelData"].VR = "OW"
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def measured(path: Path, ways: list[Way], truth: np.ndarray, rounds: int) -> list[dict[str, object]]:
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    squares = {way.name: way.run(path) for way in ways}  # also the first, cold call
    for _ in range(rounds):
        for way in ways:
            start = time.process_time()
            way.run(path)
            times[way.name].append(time.process_time() - start)
    own = statistics.median(times[ways[0].name])
    rows: list[dict[str, object]] = []
    for way in ways:
        seconds = statistics.median(times[way.name])
        numbers = {"ms": 1e3 * seconds, "ratio": seconds / own}
        if squares[way.name].shape == truth.shape:  # otherwise the picture is at full size
            error = np.abs(squares[way.name] - truth)
            numbers |= {
                "error_mean": error.mean(), "error_p99_9": np.quantile(error, 0.999), "error_max": error.max(),
                "psnr_db": 20 * np.log10(255 / np.sqrt(np.mean(error**2))),
            }  # fmt: skip
        rows.append({"way": way.name} | {name: round(float(number), 2) for name, number in numbers.items()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--only", default="", help="only files whose name starts with this, e.g. JPEG-LS")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    values = picture()
    truths = {None: exact(values.astype(np.float64), None), WINDOW: exact(values.astype(np.float64), WINDOW)}
    full = [
        Way("ours", ours()),
        Way("ours, no digest", ours(digest=False)),
        Way("peers, windowed", peers_windowed),
        Way("peers, scaled", peers_scaled),
    ]
    rows = [Way("ours, row", row_of)]
    compressed = [*full, *rows, Way("decoder alone", decoder_alone)]
    reduced = [Way("ours, jpeg2000_reduce 1", ours(jpeg2000_reduce=1)), *compressed]
    cases = [
        ("raw, no window", ExplicitVRLittleEndian, None, [*full, *rows, Way("floor of the row", floor_of_row(None))]),
        ("raw, window", ExplicitVRLittleEndian, WINDOW, [*full, *rows, Way("floor of the row", floor_of_row(WINDOW))]),
        ("RLE, window", RLELossless, WINDOW, [*full, *rows]),
        ("JPEG lossless, window", JPEGLosslessSV1, WINDOW, compressed),
        ("JPEG-LS, window", JPEGLSLossless, WINDOW, compressed),
        ("JPEG 2000, window", JPEG2000Lossless, WINDOW, reduced),
    ]
    results = []
    print("| file | way | ms | x ours | mean error | p99.9 | max | dB |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, syntax, window, ways in cases:
            if not name.startswith(options.only):
                continue
            path = Path(folder) / "image.dcm"
            write(path, values, syntax, window)
            path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
            for row in measured(path, ways, truths[window], options.rounds):
                results.append({"file": name, **row})
                print("|", " | ".join(str(value) for value in results[-1].values()), "|", flush=True)
    if options.output:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        record = {"rows": ROWS, "columns": COLUMNS, "rounds": options.rounds, **machine, "results": results}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
