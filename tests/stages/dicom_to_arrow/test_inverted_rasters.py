"""JPEG and PNG files that the index calls inverted; a DICOM file is believed instead."""

import cv2
import numpy as np
import pytest
from PIL import Image
from shard_jobs import gather_job, log_of, shard_job
from written_dicom import file_row, make_dataset

from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_shard
from stages.dicom_to_arrow.gather import gather_shards

SETTINGS = DicomToArrowSettings(size=16)
GREY = (np.arange(16 * 16).reshape(16, 16) % 251).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 16 + 1000


@pytest.fixture
def converted(tmp_path, write_index, in_this_process, capsys):  # noqa: ARG001
    """Convert files (name -> its place in the index's column) and give the images, the counts and the warnings."""

    def run(inverted: dict[str, bool | None]):
        files = write_index([file_row(name, name) | {"inverted": each} for name, each in inverted.items()])
        job = shard_job(tmp_path, files, tmp_path, SETTINGS)
        convert_shard(job, log_of(job))
        counts = gather_shards(gather_job(files, [job.images], [job.rejects], tmp_path, SETTINGS))
        rows = {row["image_id"]: row for row in read_table(job.images, schemas.images(16)).to_pylist()}
        pixels = {name: np.frombuffer(row["pixels"], np.uint8).reshape(16, 16) for name, row in rows.items()}
        return pixels, rows, counts, capsys.readouterr().err

    return run


def test_png_and_jpeg_are_inverted_and_others_are_not(converted, tmp_path):
    for name in ("yes.png", "no.png", "unsaid.png"):
        Image.fromarray(GREY).save(tmp_path / name)
    Image.fromarray(GREY).save(tmp_path / "yes.jpg", quality=95)
    cv2.imwrite(str(tmp_path / "deep.png"), DEEP)
    Image.fromarray(np.repeat(GREY[..., None], 3, axis=-1)).save(tmp_path / "colour.png")
    told = {"yes.png": True, "no.png": False, "unsaid.png": None, "yes.jpg": True, "deep.png": True, "colour.png": True}
    pixels, rows, counts, said = converted(told)
    assert np.array_equal(pixels["yes.png"], 255 - GREY)
    assert np.array_equal(pixels["colour.png"], 255 - GREY)
    assert np.array_equal(pixels["no.png"], GREY)
    assert np.array_equal(pixels["unsaid.png"], GREY)
    assert np.array_equal(pixels["yes.jpg"], 255 - np.asarray(Image.open(tmp_path / "yes.jpg")))
    stretched = np.rint((DEEP.max() - DEEP) / (DEEP.max() - DEEP.min()) * 255.0)
    assert np.abs(pixels["deep.png"].astype(float) - stretched).max() <= 1
    assert {name: row["photometric"] for name, row in rows.items() if told[name]} == dict.fromkeys(
        ("yes.png", "yes.jpg", "deep.png", "colour.png"), "MONOCHROME1")  # fmt: skip
    assert (counts["inverted_by_index"], counts["inverted_by_index_alone"]) == (4, 0)
    assert "inverted" not in said


def test_padding_stays_black(converted, tmp_path):
    Image.fromarray(GREY[:8]).save(tmp_path / "wide.png")
    pixels, rows, _, _ = converted({"wide.png": True})
    assert rows["wide.png"]["content_box"] == [0, 4, 16, 8]
    assert not pixels["wide.png"][:4].any()
    assert np.array_equal(pixels["wide.png"][4:12], 255 - GREY[:8])


def test_a_negative_that_the_index_names_is_the_same_picture(converted, tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    Image.fromarray(255 - GREY).save(tmp_path / "b.png")
    _, rows, counts, _ = converted({"a.png": None, "b.png": True})
    assert rows["a.png"]["picture_sha256"] == rows["b.png"]["picture_sha256"]
    assert counts["duplicate_pictures"] == 1


def test_a_dicom_file_is_believed_and_the_contradiction_is_told(converted, tmp_path, ramp):
    for name, photometric in (("one.dcm", "MONOCHROME1"), ("two.dcm", "MONOCHROME2"), ("plain.dcm", "MONOCHROME2")):
        dataset = make_dataset(ramp, PhotometricInterpretation=photometric)
        dataset.save_as(tmp_path / name, enforce_file_format=True)
    pixels, _, counts, said = converted({"one.dcm": True, "two.dcm": True, "plain.dcm": None})
    assert np.array_equal(pixels["two.dcm"], pixels["plain.dcm"])
    assert not np.array_equal(pixels["one.dcm"], pixels["plain.dcm"])
    assert (counts["inverted_by_index"], counts["inverted_by_index_alone"]) == (2, 1)
    assert "1 of 2 images that are inverted by the index are DICOM files that say otherwise, first two.dcm" in said
