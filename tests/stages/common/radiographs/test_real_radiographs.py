"""Real files: the zoo of transfer syntaxes against an independent path, and every radiograph of the RSNA sample."""

import csv
import io
import re
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEGExtended12Bit
from written_dicom import file_row

from stages.common.radiographs.radiograph import content_box
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_file, convert_files

pytestmark = pytest.mark.real_data
ANYTHING = DicomToArrowSettings(modalities=(), sop_classes=(), views=(), burned_in="accept")


def peers_image(path: Path, size: int) -> np.ndarray:
    """pydicom's default decoder and LUT functions at full size, then cv2: another route to the same picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = float(values.min()), float(values.max())
    if "WindowWidth" in dataset:  # the whole output range of pydicom's window, from BitsStored and the rescale
        span = 2**dataset.BitsStored
        ends = np.array([-span // 2, span // 2 - 1] if dataset.PixelRepresentation else [0, span - 1])
        low, high = ends * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    grey = (values - low) / (high - low) * 255
    grey = 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey
    spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing") or [1, 1]
    box = content_box(*grey.shape, float(spacing[0]) / float(spacing[1]), size)
    shrinks = grey.shape[0] >= box.height and grey.shape[1] >= box.width
    resized = cv2.resize(grey, (box.width, box.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    square = np.zeros((size, size))
    square[box.y : box.y + box.height, box.x : box.x + box.width] = resized
    return square


def test_every_file_of_the_zoo_has_one_outcome(test_data):
    folder = test_data / "dicom_zoo"
    table = (folder / "dicom_table.csv").read_text(encoding="utf-8")
    names = [row["file"] for row in csv.DictReader(io.StringIO(table))]
    rows = [file_row(name, name, view=None) for name in names]
    outcomes = list(convert_files(rows, folder, ANYTHING, workers=1))
    reasons = Counter(outcome.reject["reason"] for outcome in outcomes if outcome.reject)
    assert len(outcomes) == len(names) == 193
    assert all((outcome.image is None) != (outcome.reject is None) for outcome in outcomes)
    assert reasons["unexpected_error"] == 0
    assert reasons == {
        "no_pixel_data": 82, "truncated_header": 1, "multi_frame": 7, "size_mismatch": 2, "invalid_element": 2,
        "not_an_image": 2, "missing_element": 2, "constant_image": 2, "decode_failed": 1, "bits_inconsistent": 1,
    }  # fmt: skip
    by_default = Counter(
        outcome.reject["reason"] if outcome.reject else "image"
        for outcome in convert_files(rows, folder, DicomToArrowSettings(), workers=1)
    )
    assert by_default["image"] == 4
    assert by_default["wrong_modality"] > 150


def test_grey_images_of_the_zoo_agree_with_another_route(test_data):
    folder = test_data / "dicom_zoo" / "files"
    compared = 0
    for path in sorted(folder.iterdir()):
        image = convert_file(file_row(path.name, path.name, view=None), folder, ANYTHING).image
        if image is None or not image["photometric"].startswith("MONOCHROME"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            has_padding = "PixelPaddingValue" in pydicom.dcmread(path, stop_before_pixels=True)
            syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
        # These are compared in the tests of written files; pydicom's decoders know no JPEG of twelve bits.
        if has_padding or "JPEG2000" in path.name or syntax == JPEGExtended12Bit:
            continue
        pixels = np.frombuffer(image["pixels"], dtype=np.uint8).reshape(256, 256)
        assert np.abs(pixels - peers_image(path, 256)).max() <= 1, path.name
        compared += 1
    assert compared >= 40


def test_all_radiographs_of_the_rsna_sample(test_data):
    folder = test_data / "rsna_sample" / "stage_2_train_images"
    paths = sorted(folder.rglob("*.dcm"))
    rows = [file_row(path.stem, path.relative_to(folder).as_posix(), view=None) for path in paths]
    outcomes = list(convert_files(rows, folder, DicomToArrowSettings(), workers=1))
    assert len(outcomes) == 339
    images = [outcome.image for outcome in outcomes]
    assert all(images)
    assert Counter(image["view"] for image in images).keys() == {"AP", "PA"}
    assert all(image["content_box"] == [0, 0, 256, 256] and image["row_spacing"] > 0 for image in images)
    assert all(re.fullmatch("[0-9a-f]{64}", image["pixels_sha256"]) for image in images)
    for path, image in list(zip(paths, images, strict=True))[::40]:
        pixels = np.frombuffer(image["pixels"], dtype=np.uint8).reshape(256, 256)
        assert np.abs(pixels - peers_image(path, 256)).max() <= 1, path.name


def test_jpegs_of_real_pairs(test_data):
    folder = test_data / "real_pairs"
    rows = [
        file_row(path.stem, f"images/{path.name}", view=None) for path in sorted((folder / "images").iterdir())[:20]
    ]
    outcomes = list(convert_files(rows, folder, DicomToArrowSettings(), workers=1))
    assert all(outcome.image and outcome.image["window"] == "none" for outcome in outcomes)
