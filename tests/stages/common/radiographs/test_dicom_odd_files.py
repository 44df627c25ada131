"""Odd and damaged DICOM files: each shows the right picture or is refused with a reason, never a wrong picture."""

import struct
from io import BytesIO

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from random_dicom import drawn
from written_dicom import (
    ANY,
    assert_shows,
    file_bytes,
    grey_levels,
    grey_of,
    make_compressed,
    make_dataset,
    reason_of,
    rle_frame,
    stretched,
)

from stages.common.radiographs.parsing import is_little_endian
from stages.common.radiographs.radiograph import fit_into_square
from stages.common.radiographs.readers import read_dicom
from stages.common.radiographs.rejection import RejectionError
from stages.dicom_to_arrow.contract import DicomToArrowSettings

TWELVE = {"BitsStored": 12, "HighBit": 11}


@pytest.mark.parametrize("seed", range(60))
def test_radiographs_drawn_at_random_show_what_the_clauses_say(seed):
    case = drawn(np.random.default_rng(seed))
    np.testing.assert_allclose(grey_of(case.data), case.grey, atol=1e-2, err_msg=case.description)


@pytest.mark.parametrize("seed", range(20))
def test_the_square_is_the_resampled_grey(seed):
    radiograph = read_dicom(drawn(np.random.default_rng(seed)).data, None, ANY)
    for size in (16, 24, 100):
        exact = fit_into_square(grey_levels(radiograph.levels), radiograph.pixel_aspect, size)
        square = radiograph.square(size)
        assert square.content == exact.content
        assert np.abs(square.pixels.astype(int) - exact.pixels).max() <= 1
        assert (square.pixels != exact.pixels).mean() < 0.05


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(48, 64), (33, 21), (7, 9)])
@pytest.mark.parametrize("extra", [1, 2, 3, 64, 1000])
def test_more_bytes_than_one_frame(rows, columns, extra):
    values = np.random.default_rng(0).integers(0, 256, (rows, columns), dtype=np.uint8)
    dataset = make_dataset(values)
    data = values.tobytes() + bytes(extra)
    dataset.PixelData = data + bytes(len(data) % 2)
    if extra == 1 and rows * columns % 2:  # the byte that makes it even
        assert_shows(dataset, values)
    else:
        assert reason_of(dataset) == "size_mismatch"


@pytest.mark.parametrize("frames", [None, "", "0", "1"])
@pytest.mark.parametrize(("rows", "reason"), [(48, None), (24, "size_mismatch"), (96, "size_mismatch")])
def test_the_length_tells_the_frames(ramp, frames, rows, reason):
    dataset = make_dataset(ramp, Rows=rows)
    if frames is not None:
        dataset.NumberOfFrames = frames
    if reason:
        assert reason_of(dataset) == reason
    else:
        assert_shows(dataset, ramp)


@pytest.mark.parametrize(("frames", "reason"), [("2", "multi_frame"), ("-1", "invalid_element")])
def test_frames(ramp, frames, reason):
    assert reason_of(make_dataset(ramp, NumberOfFrames=frames)) == reason


def test_pixel_data_that_the_file_cuts_off(ramp):
    data = file_bytes(make_dataset(ramp))
    for lost in (1, 2, 100, 48 * 64 * 2 - 1):
        assert reason_of(data[:-lost]) == "size_mismatch"
    assert reason_of(data[: -48 * 64 * 2]) == "no_pixel_data"


@pytest.mark.filterwarnings("ignore")  # as the stage ignores pydicom's warnings
def test_a_header_that_is_cut_anywhere_is_called_truncated(ramp):
    dataset = make_dataset(ramp, PatientName="X" * 41, ViewCodeSequence=[Dataset()])
    header = len(file_bytes(dataset)) - 48 * 64 * 2 - 12
    data, boundaries = file_bytes(dataset), 0
    for kept in range(132, header + 12):
        reason = reason_of(data[:kept])
        assert reason in ("truncated_header", "no_pixel_data"), kept  # never wrong_modality
        boundaries += reason == "no_pixel_data"
    assert boundaries <= len(dataset)  # between two elements nothing shows that more should follow


def test_a_cut_deflated_header_is_called_truncated(ramp):
    dataset = make_dataset(ramp, ImageComments="comment " * 500)
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = file_bytes(dataset)
    assert reason_of(whole) == "no_pixel_data"
    assert reason_of(whole[:-30]) == "truncated_header"


# --- elements --------------------------------------------------------------------------------------------------------


def replaced(dataset: Dataset, keyword: str, vr: str, value: bytes) -> bytes:
    """The file with an element of explicit little endian VR that pydicom would not write."""
    dataset.add_new(keyword, "UT", "HERE")
    data = file_bytes(dataset)
    tag = struct.pack("<HH", dataset[keyword].tag.group, dataset[keyword].tag.elem)
    old = tag + b"UT\0\0" + struct.pack("<L", 4) + b"HERE"
    assert data.count(old) == 1
    long = vr in ("OB", "OW", "UN", "UT", "SQ")
    length = b"\0\0" + struct.pack("<L", len(value)) if long else struct.pack("<H", len(value))
    return data.replace(old, tag + vr.encode() + length + value)


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "reason"),
    [
        ("Rows", "IS", b"48", None),
        ("Rows", "DS", b"48.0", None),
        ("Rows", "UL", b"\x30\0\0\0", None),
        ("Rows", "UN", b"\x30\0", None),
        ("Rows", "SS", b"\xd0\xff", "invalid_element"),
        ("Rows", "OB", b"48", "invalid_element"),  # no number, though float() would take it for one
        ("Rows", "LO", b"48 rows ", "invalid_element"),
        ("Rows", "US", b"", "missing_element"),
        ("Rows", "US", b"\x30", "invalid_element"),
        ("Columns", "FL", struct.pack("<f", 64.5), "invalid_element"),
        ("BitsStored", "DS", b"1_2 ", "invalid_element"),
        ("RescaleSlope", "DS", b"1,5 ", "invalid_element"),
        ("RescaleSlope", "DS", b"1\\2 ", "invalid_element"),
        ("RescaleSlope", "DS", b"nan ", "invalid_element"),
        ("RescaleSlope", "DS", b"1E308 ", "invalid_element"),
        ("RescaleSlope", "DS", b" 1.5  ", None),
        ("RescaleSlope", "DS", b"+.5E1\0", None),
        ("RescaleSlope", "DS", b"    ", None),
        ("WindowCenter", "DS", b"2e3x", "invalid_element"),
        ("ModalityLUTSequence", "LO", b"none", "invalid_element"),
        ("VOILUTSequence", "OB", b"\1\2\3\4", "invalid_element"),
        ("PixelSpacing", "DS", b"0.1\\9 ", "invalid_element"),  # ninety times as wide as high
        ("PixelSpacing", "DS", b"a\\b ", "invalid_element"),
        ("PixelPaddingValue", "DS", b"1.5 ", "invalid_element"),
        ("NumberOfFrames", "IS", b"one ", "invalid_element"),
    ],
)  # fmt: skip
def test_elements_of_a_wrong_type_or_value(ramp, keyword, vr, value, reason):
    data = replaced(make_dataset(ramp, RescaleIntercept="0"), keyword, vr, value)
    if reason is None:
        np.testing.assert_allclose(grey_of(data), stretched(ramp), atol=1e-3)
    else:
        assert reason_of(data) == reason


def test_half_a_rescale(ramp):
    for elements in ({"RescaleSlope": "2"}, {"RescaleIntercept": "-1024"}):
        assert reason_of(make_dataset(ramp, **elements)) == "missing_element"
    for elements in ({"RescaleSlope": "1"}, {"RescaleIntercept": "0"}):
        assert_shows(make_dataset(ramp, **elements), ramp)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsStored", "RescaleSlope", "PhotometricInterpretation"])
def test_an_element_that_is_there_twice(ramp, keyword):
    dataset = make_dataset(ramp, RescaleSlope="1", RescaleIntercept="0")
    data = file_bytes(dataset)
    element = dataset[keyword]
    start = data.rindex(struct.pack("<HH", element.tag.group, element.tag.elem))
    end = start + 8 + int.from_bytes(data[start + 6 : start + 8], "little")
    assert reason_of(data[:end] + data[start:end] + data[end:]) == "invalid_element"
    private = make_dataset(ramp)
    private.private_block(0x0029, "TESTS", create=True).add_new(1, "LO", "x")
    data = file_bytes(private)
    start = data.index(b"\x29\0\x01\x10LO")
    assert_shows(data[:start] + data[start : start + 10] * 2 + data[start + 10 :], ramp)


def test_pixel_data_that_are_there_twice(ramp):
    for content in (make_dataset(ramp), make_dataset(ramp, ExplicitVRBigEndian),
                    make_compressed(ramp, rle_frame(ramp), RLELossless)):  # fmt: skip
        data = file_bytes(content)
        tag = b"\x7f\xe0\0\x10" if content.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else b"\xe0\x7f\x10\0"
        assert reason_of(data + data[data.rindex(tag) :]) == "invalid_element"
    padding = struct.pack("<HH2s2sL", 0xFFFC, 0xFFFC, b"OB", b"", 6) + bytes(6)  # Data Set Trailing Padding
    assert_shows(file_bytes(make_dataset(ramp)) + padding, ramp)


def test_the_icon_is_not_the_image(ramp):
    icon = make_dataset((ramp[:8, :8] >> 4).astype(np.uint8))
    del icon.file_meta
    for undefined in (True, False):
        item = Dataset(icon)
        item.is_undefined_length_sequence_item = undefined
        dataset = make_dataset(ramp, IconImageSequence=Sequence([item]))
        dataset["IconImageSequence"].is_undefined_length = undefined
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            dataset.file_meta.TransferSyntaxUID = syntax
            assert_shows(dataset, ramp)
        del dataset.PixelData
        assert reason_of(dataset) == "no_pixel_data"


def test_float_pixels_and_documents(ramp):
    dataset = make_dataset(ramp, PixelData=None)
    dataset.FloatPixelData = ramp.astype(np.float32).tobytes()
    assert reason_of(dataset) == "no_pixel_data"
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SOPClassUID, document.Modality = "1.2.840.10008.5.1.4.1.1.104.1", "DOC"
    document.EncapsulatedDocument = b"%PDF-1.4"
    document.SOPInstanceUID = "1.2.3"
    assert reason_of(document) == "wrong_modality"
    assert reason_of(document, modalities=()) == "wrong_sop_class"
    assert reason_of(document, modalities=(), sop_classes=()) == "no_pixel_data"


def test_pixel_data_of_another_vr(ramp):
    dataset = make_dataset(ramp, ExplicitVRBigEndian)
    dataset["PixelData"].VR = "OB"  # sixteen bits are words, whose bytes would be swapped
    assert reason_of(dataset) == "invalid_element"
    eight = (ramp >> 4).astype(np.uint8)
    words = make_dataset(eight, ExplicitVRBigEndian)
    words.PixelData = np.frombuffer(words.PixelData, dtype=np.uint16).byteswap().tobytes()
    words["PixelData"].VR = "OW"
    assert_shows(words, eight)


def test_elements_whose_order_of_bytes_nobody_knows_are_refused():
    """pydicom: `original_encoding` of a data set that was made, not read, is (None, None)."""
    with pytest.raises(RejectionError, match="order of bytes"):
        is_little_endian(Dataset())


def test_a_table_of_signed_values_under_an_implicit_encoding(ramp):
    """C.11.2.1.1: the first value mapped is signed where the Modality LUT gives negative values."""
    entries = (np.arange(4096) ** 2 % 65536).astype(np.uint16)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 65536 - 1024, 16])
    item.add_new("LUTData", "OW", entries.tobytes())
    dataset = make_dataset(ramp, ImplicitVRLittleEndian, **TWELVE, VOILUTSequence=Sequence([item]),
                           RescaleSlope="1", RescaleIntercept="-1024")  # fmt: skip
    np.testing.assert_allclose(grey_of(dataset), entries[ramp] / 65535 * 255, atol=1e-3)


@pytest.mark.parametrize("element", [-2000, 4096 - 2000])
@pytest.mark.parametrize("extended", [True, False])
def test_padding_in_two_s_complement_of_twelve_bits(ramp, element, extended):
    """The same bits, with the unused ones zero or repeating the sign, in the pixels as in the element."""
    values = ramp.astype(np.int16) - 1500
    values = values.clip(-1500, 2047)
    values[:10] = -2000
    dataset = make_dataset(values if extended else values & 0xFFF, **TWELVE)
    dataset.add_new("PixelPaddingValue", "SS", element)
    if extended and element > 0:  # 2096 is then another number, which no pixel has
        np.testing.assert_allclose(grey_of(dataset), stretched(values), atol=1e-3)
        return
    grey = grey_of(dataset)
    assert (grey[:10] == 0).all()
    np.testing.assert_allclose(grey[10:], stretched(values[10:]), atol=1e-3)


# --- what goes in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["BurnedInAnnotation", "RecognizableVisualFeatures"])
def test_burned_in_text(ramp, keyword):
    assert reason_of(make_dataset(ramp, **{keyword: "YES"})) == "burned_in"
    assert_shows(make_dataset(ramp, **{keyword: "NO"}), ramp)
    accepting = DicomToArrowSettings(burned_in="accept")
    np.testing.assert_allclose(grey_of(make_dataset(ramp, **{keyword: "YES"}), accepting), stretched(ramp), atol=1e-3)


def test_images_for_processing_are_not_for_display(ramp):
    raw = make_dataset(ramp, SOPClassUID=DigitalXRayImageStorageForProcessing)
    assert reason_of(raw) == "wrong_sop_class"
    assert reason_of(make_dataset(ramp, PresentationIntentType="FOR PROCESSING")) == "wrong_sop_class"
    assert reason_of(make_dataset(ramp, SOPClassUID="1.2.3.4")) == "wrong_sop_class"
    bare = Dataset(make_dataset(ramp))
    del bare.SOPClassUID
    buffer = BytesIO()
    bare.save_as(buffer, implicit_vr=True, little_endian=True)
    assert_shows(buffer.getvalue(), ramp)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"SeriesDescription": "CHEST LAT"}, "LATERAL"),
        ({"SeriesDescription": "Thorax, LL"}, "LATERAL"),
        ({"ProtocolName": "chest lateral"}, "LATERAL"),
        ({"SeriesDescription": "W Chest PA"}, "PA"),
        ({"SeriesDescription": "CHEST PA AND LATERAL"}, None),
        ({"SeriesDescription": "PALATE"}, None),
        ({"SeriesDescription": "CHEST LAT", "ViewPosition": "AP"}, "AP"),
    ],
)
def test_views_of_descriptions(ramp, elements, expected):
    dataset = make_dataset(ramp, **{"ViewPosition": ""} | elements)
    if expected == "LATERAL":
        assert reason_of(dataset) == "wrong_view"
    else:
        assert read_dicom(file_bytes(dataset), None, ANY).view == expected
