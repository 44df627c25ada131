"""Views that nobody states, images that are nearly black, unusable tables, small images, files without Modality."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut
from shard_jobs import gather_job, log_of, shard_job
from written_dicom import file_bytes, file_row, grey_of, make_dataset, reason_of

from stages.common.data.manifest import Manifest
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table
from stages.common.radiographs.readers import read_dicom, read_radiograph
from stages.common.radiographs.rejection import RejectionError
from stages.common.records import read_record
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_shard
from stages.dicom_to_arrow.gather import gather_shards
from stages.dicom_to_arrow.quality import grey_range

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def convert(tmp_path, write_index):
    """Converts and gathers files (name: (bytes, view of the index)); returns reasons by file, and the manifest."""

    def run(files: dict[str, tuple[bytes, str | None]], **settings: object) -> tuple[dict[str, str], Manifest]:
        for name, (data, _) in files.items():
            (tmp_path / name).write_bytes(data)
        index = write_index([file_row(name, name, view=view) for name, (_, view) in files.items()])
        chosen = DicomToArrowSettings(size=32, **settings)
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"  # a log of its own, so that nothing is resumed
        out.mkdir()
        job = shard_job(tmp_path, index, out, chosen)
        convert_shard(job, log_of(job))
        gather_shards(gather_job(index, [job.images], [job.rejects], out, chosen))
        rejects = read_table(job.rejects, schemas.REJECTS).to_pylist()
        return {row["source_id"]: row["reason"] for row in rejects}, read_record(out / "manifest.json", Manifest)

    return run


def png(values: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def picture() -> bytes:
    return png(np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8))


def test_a_missing_view_is_rejected_where_the_index_names_others(convert, picture, capsys):
    files = {"a.png": (picture, "AP SUPINE"), "b.png": (picture, None), "c.png": (picture, "LL"),
             "d.png": (picture, "nan")}  # fmt: skip
    rejects, manifest = convert(files)
    assert rejects == {"b.png": "unknown_view", "c.png": "wrong_view", "d.png": "unknown_view"}
    assert manifest.without_view == 0
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert "3 of 4 images were rejected: unknown_view 2, wrong_view 1; each is named in" in said
    rejects, manifest = convert(files, views_missing="accept")
    assert rejects == {"c.png": "wrong_view"}
    assert manifest.without_view == 2
    assert "2 of 3 images name no view" in capsys.readouterr().err


def test_where_no_view_is_indexed_a_missing_one_is_accepted_and_counted(convert, picture, capsys):
    rejects, manifest = convert({"a.png": (picture, None)})
    assert (rejects, manifest.without_view) == ({}, 1)
    assert "views_missing: reject" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"as unknown_view.*views_missing: accept"):
        convert({"a.png": (picture, None)}, views_missing="reject")


def test_cells_that_state_no_view_name_none(convert, picture):
    """A column of `UNKNOWN` says no more than an empty one."""
    files = {"a.png": (picture, "UNKNOWN"), "b.png": (picture, "n/a"), "c.png": (picture, None)}
    rejects, manifest = convert(files)
    assert (rejects, manifest.without_view) == ({}, 3)


def test_index_and_header_are_read_alike(ramp):
    for text, view in (("AP_horizontal".upper(), "AP"), ("PA ERECT", "PA"), ("FRONTAL", "FRONTAL")):
        dataset = make_dataset(ramp, ViewPosition=text)
        assert read_dicom(file_bytes(dataset), None, DicomToArrowSettings()).view == view
        assert read_dicom(file_bytes(make_dataset(ramp)), text, DicomToArrowSettings()).view == view
    assert reason_of(make_dataset(ramp, ViewPosition="LLO")) == "wrong_view"


def test_a_file_without_modality_and_sop_class_is_accepted_by_a_key(convert, ramp):
    bare = make_dataset(ramp, Modality=None, SOPClassUID=None)
    del bare.ViewPosition
    buffer = BytesIO()
    bare.save_as(buffer, enforce_file_format=False)
    files = {"a.dcm": (buffer.getvalue(), None)}
    with pytest.raises(InputError, match=r"as wrong_modality.*modality_missing: accept"):
        convert(files)
    rejects, _ = convert(files, modality_missing="accept")
    assert rejects == {}
    accept = {"modality_missing": "accept"}
    assert reason_of(make_dataset(ramp, Modality="CT"), **accept) == "wrong_modality"
    assert reason_of(make_dataset(ramp, Modality=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), **accept) == (
        "wrong_sop_class"
    )


def broken_tables() -> dict[str, Dataset]:
    good = {"LUTDescriptor": [4, 0, 16], "LUTData": np.arange(4, dtype="<u2").tobytes()}
    changes = {
        "no data": {"LUTData": None},
        "no descriptor": {"LUTDescriptor": None},
        "another length": {"LUTDescriptor": [9, 0, 16]},
        "too few bits": {"LUTDescriptor": [4, 0, 3]},
        "entries beyond the bits": {"LUTDescriptor": [4, 0, 8], "LUTData": np.full(4, 999, dtype="<u2").tobytes()},
    }
    tables = {}
    for name, change in changes.items():
        item = Dataset()
        for keyword, value in (good | change).items():
            if value is not None:
                item.add_new(keyword, "US" if keyword == "LUTDescriptor" else "OW", value)
        tables[name] = item
    return tables


@pytest.mark.parametrize("kind", list(broken_tables()))
def test_an_unusable_voi_lut_beside_a_window_is_replaced_by_the_window(convert, ramp, kind, capsys):
    dataset = make_dataset(ramp, WindowCenter="2048", WindowWidth="1000")
    expected = grey_of(dataset)
    dataset.VOILUTSequence = [broken_tables()[kind]]
    np.testing.assert_array_equal(grey_of(dataset), expected)
    if kind.startswith("no "):  # pydicom, too, then takes the window
        peer = apply_voi_lut(dataset.pixel_array, dataset)
        np.testing.assert_allclose(expected, peer / 65535 * 255, atol=0.01)
    rejects, manifest = convert({"a.dcm": (file_bytes(dataset), None)})
    assert (rejects, manifest.voi_lut_unusable) == ({}, 1)
    assert "1 of 1 images have a VOI LUT that contradicts itself" in capsys.readouterr().err
    del dataset.WindowCenter
    assert reason_of(dataset) in ("lookup_table_invalid", "invalid_element")


def test_an_unusable_window_beside_a_usable_table_is_not_looked_at(ramp):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    dataset = make_dataset(ramp, VOILUTSequence=[item])
    expected = grey_of(dataset)
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = "1", "1", "CUBIC"
    np.testing.assert_array_equal(grey_of(dataset), expected)


@pytest.mark.parametrize(("bits", "doubtful"), [(10, True), (12, True), (14, True), (16, False)])
def test_values_of_few_bits_beside_a_burnt_in_mark_raise_an_alarm(convert, bits, doubtful, capsys):
    values = np.random.default_rng(0).integers(0, 2**bits, (96, 96)).astype(np.uint16)
    values[:3, :3] = 65535
    rejects, manifest = convert({"a.png": (png(values), "PA")})
    assert rejects == {}
    assert manifest.nearly_black == int(doubtful)
    assert ("1 of 1 images hold nearly all pixels within" in capsys.readouterr().err) == doubtful


def test_doubtful_images_are_named_in_the_order_of_the_index(convert, picture, capsys):
    values = np.random.default_rng(0).integers(0, 2**12, (96, 96)).astype(np.uint16)
    values[:3, :3] = 65535
    flat = png(values)
    black = {f"black{number:02}.png": (flat, "PA") for number in range(22)}
    _, manifest = convert({"a.png": (picture, "PA")} | black)
    assert manifest.nearly_black == 22
    assert manifest.first_doubtful == {"nearly_black": [f"black{number:02}.png" for number in range(20)]}
    said = capsys.readouterr().err
    assert "22 of 23 images hold nearly all pixels within" in said
    assert said.endswith("stretch the range: black00.png, black01.png, black02.png, ...\n")
    _, manifest = convert({"a.png": (picture, "PA"), "b.png": (flat, "PA")})
    assert capsys.readouterr().err.endswith("stretch the range: b.png\n")


def test_grey_range_is_that_of_numpys_percentiles():
    random = np.random.default_rng(1)
    for _ in range(20):
        values = random.normal(random.integers(255), random.integers(1, 80), (50, 40))
        content = np.clip(values, 0, 255).astype(np.uint8)
        low, high = np.percentile(content, [1, 99], method="inverted_cdf")
        assert grey_range(content) == int(high) - int(low)


def test_padding_and_wide_images_raise_no_alarm(convert):
    values = np.tile(np.linspace(0, 255, 640), (10, 1)).astype(np.uint8)  # most of the square is padding
    rejects, manifest = convert({"a.png": (png(values), "PA")})
    assert (rejects, manifest.nearly_black) == ({}, 0)


def test_small_images_are_rejected_by_a_key(ramp, picture):
    assert reason_of(make_dataset(ramp), min_side=49) == "too_small"  # 48 x 64
    grey_of(make_dataset(ramp), DicomToArrowSettings(min_side=48))
    with pytest.raises(RejectionError) as caught:
        read_radiograph(picture, "PA", DicomToArrowSettings(min_side=49))
    assert caught.value.reason == "too_small"
