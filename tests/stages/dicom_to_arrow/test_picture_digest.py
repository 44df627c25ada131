"""One picture has one digest behind every lossless encoding and at every `size`; another picture has another one."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import openjpeg.utils
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from shard_jobs import gather_job, log_of, shard_job
from written_dicom import file_bytes, file_row, make_compressed, make_dataset, rle_frame

from stages.audit_splits.overlap import find_overlap
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.radiographs.display import Levels
from stages.common.radiographs.radiograph import Radiograph
from stages.common.radiographs.readers import read_radiograph
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_shard, picture_sha256
from stages.dicom_to_arrow.gather import find_duplicates, gather_shards

TWELVE = {"BitsStored": 12, "HighBit": 11}
WINDOW = {"WindowCenter": "2000", "WindowWidth": "2400"}


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """300 x 280 pixels of 12 bits, more than there are points: smooth, with noise."""
    noise = np.random.default_rng(0).normal(0, 60, (300, 280))
    rows, columns = np.mgrid[0:300, 0:280]
    return (2048 + 1500 * np.sin(rows / 40) * np.cos(columns / 30) + noise).clip(0, 4095).astype(np.uint16)


def digest(content: bytes, **more: object) -> str | None:
    return picture_sha256(read_radiograph(content, "PA", DicomToArrowSettings(**more)))


def encodings(values: np.ndarray, **elements: str) -> dict[str, bytes]:
    """The same picture, each time written in another way."""
    elements = {**TWELVE, **elements}
    frames = {
        RLELossless: rle_frame(values),
        JPEGLosslessSV1: imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=12),
        JPEGLSLossless: imagecodecs.jpegls_encode(values),
        JPEG2000Lossless: openjpeg.utils.encode_array(values, bits_stored=12),
    }
    shifted = (values.astype(np.int32) - 1024).astype(np.int16)
    written = {name.name: make_compressed(values, bytes(frame), name, **elements) for name, frame in frames.items()}
    written |= {
        "little endian": make_dataset(values, **elements),
        "big endian": make_dataset(values, ExplicitVRBigEndian, **elements),
        "signed": make_dataset(shifted, RescaleSlope="1", RescaleIntercept="1024", **elements | {"BitsStored": 13,
                                                                                              "HighBit": 12}),
    }  # fmt: skip
    return {name: file_bytes(dataset) for name, dataset in written.items()}


@pytest.mark.parametrize("elements", [{}, WINDOW])
def test_one_picture_has_one_digest_behind_every_lossless_encoding(values, elements) -> None:
    assert len({digest(content) for content in encodings(values, **elements).values()}) == 1


def test_a_negative_that_says_so_and_a_png_show_the_same_picture(values) -> None:
    shown = digest(file_bytes(make_dataset(values, **TWELVE)))
    low, high = int(values.min()), int(values.max())
    negative = make_dataset((low + high - values).astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **TWELVE)
    assert digest(file_bytes(negative)) == shown
    assert digest(cv2.imencode(".png", values)[1].tobytes()) == shown  # 16 bits, from its smallest to its largest value


def test_another_picture_has_another_digest(values) -> None:
    others = {
        "as it is": make_dataset(values, **TWELVE),
        "mirrored": make_dataset(values[:, ::-1], **TWELVE),
        "turned": make_dataset(values.T, **TWELVE),
        "cropped": make_dataset(values[1:], **TWELVE),
        "windowed": make_dataset(values, **TWELVE, **WINDOW),
        "negative": make_dataset(values, PhotometricInterpretation="MONOCHROME1", **TWELVE),
        "half as large": make_dataset(cv2.resize(values, (140, 150), interpolation=cv2.INTER_AREA), **TWELVE),
    }
    assert len({digest(file_bytes(dataset)) for dataset in others.values()}) == len(others)


@given(place=st.tuples(st.integers(0, 19), st.integers(0, 127)), level=st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_up_to_128_pixels_an_axis_every_pixel_counts(place: tuple[int, int], level: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 128), dtype=np.uint8)
    changed = pixels.copy()
    changed[place] = level

    def of(array: np.ndarray) -> str | None:
        return picture_sha256(
            Radiograph(Levels(array, 0.0, 255.0), array.shape, None, "MONOCHROME2", "none", None, None)
        )

    assert (of(pixels) == of(changed)) == (pixels[place] == level)


def test_what_was_decoded_at_reduced_size_has_none(values) -> None:
    frame = openjpeg.utils.encode_array(np.tile(values, (4, 4)), bits_stored=12)
    content = file_bytes(make_compressed(np.tile(values, (4, 4)), frame, JPEG2000Lossless, **TWELVE, **WINDOW))
    assert digest(content, jpeg2000_reduce=1, size=64) is None
    assert digest(content, size=64) is not None


@pytest.mark.usefixtures("in_this_process")
def test_the_audit_finds_a_test_image_that_pretraining_saw_at_another_size(values, tmp_path: Path) -> None:
    """Stored at 32 and 64 pixels, in two transfer syntaxes, with two UIDs."""
    files = encodings(values, **WINDOW)
    sets = {
        "seen": (32, {"x": files["RLE Lossless"], "y": file_bytes(make_dataset(values[::-1], **TWELVE))}),
        "tested": (64, {"a": files["little endian"], "b": file_bytes(make_dataset(values[:, ::-1], **TWELVE))}),
    }
    manifests = [write_set(tmp_path / name, name, size, contents) for name, (size, contents) in sets.items()]
    table, _ = find_duplicates(manifests)
    copies = pl.from_arrow(table).filter(pl.col("kind") != "instance")  # make_dataset gives all files one UID
    assert copies.select("kind", "dataset", "image_id").rows() == [("picture", "seen", "x"), ("picture", "tested", "a")]
    labels = pl.DataFrame({"image_id": ["a", "b"], "patient_id": ["p", "q"], "split": ["test", "train"]})
    pairs = pl.DataFrame({"image_id": ["x"], "study_id": ["s"], "patient_id": ["r"], "split": ["train"]})
    assert find_overlap(labels, copies, pairs, "tested", "seen").test_copies_in_pretraining == 1


def write_set(folder: Path, name: str, size: int, contents: dict[str, bytes]) -> Path:
    """A data set of one shard, converted and gathered; its manifest."""
    folder.mkdir()
    for image, content in contents.items():
        (folder / image).write_bytes(content)
    rows = [file_row(image, image) | {"dataset": name} for image in contents]
    write_rows(folder / "files.arrow", schemas.FILES, rows)
    job = shard_job(folder, folder / "files.arrow", folder, DicomToArrowSettings(size=size))
    convert_shard(job, log_of(job))
    gathered = gather_job(job.files, [job.images], [job.rejects], folder, job.settings)
    gather_shards(gathered)
    return gathered.manifest
