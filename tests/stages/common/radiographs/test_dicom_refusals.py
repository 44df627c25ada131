"""DICOM files written for the test: what must be refused, with which code, and what may not be said."""

from io import BytesIO

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)
from written_dicom import (
    assert_shows,
    file_bytes,
    make_compressed,
    make_dataset,
    reason_of,
    rle_frame,
    transcoded,
)

# --- refusals --------------------------------------------------------------------------------------------------------


def jpeg2000(values: np.ndarray, **elements: object) -> Dataset:
    return make_compressed(values, bytes(encode_array(values)), JPEG2000Lossless, **elements)


REFUSALS = {
    "modality": (lambda r: make_dataset(r, Modality="CT"), "wrong_modality"),
    "no modality": (lambda r: make_dataset(r, Modality=None), "wrong_modality"),
    "lateral": (lambda r: make_dataset(r, ViewPosition="LL"), "wrong_view"),
    "frames": (lambda r: make_dataset(r, NumberOfFrames="2"), "multi_frame"),
    "rows halved": (lambda r: make_dataset(r, Rows=24, NumberOfFrames="2"), "multi_frame"),
    "rows halved, one frame": (lambda r: make_dataset(r, Rows=24), "size_mismatch"),
    "a row too many": (lambda r: make_dataset(r, Rows=49), "size_mismatch"),
    "one pixel fewer": (lambda r: make_dataset(r[:32, :32], Rows=31, Columns=33), "size_mismatch"),
    "truncated": (lambda r: make_dataset(r, PixelData=r.tobytes()[:-2]), "size_mismatch"),
    "half the bits": (lambda r: make_dataset(r, BitsAllocated=8, BitsStored=8, HighBit=7), "size_mismatch"),
    "no rows": (lambda r: make_dataset(r, Rows=None), "missing_element"),
    "zero rows": (lambda r: make_dataset(r, Rows=0), "invalid_element"),
    "two values of rows": (lambda r: make_dataset(r, Rows=[48, 48]), "invalid_element"),
    "representation": (lambda r: make_dataset(r, PixelRepresentation=2), "invalid_element"),
    "no pixels": (lambda r: make_dataset(r, PixelData=None), "no_pixel_data"),
    "empty pixels": (lambda r: make_dataset(r, PixelData=b""), "no_pixel_data"),
    "slope 0": (lambda r: make_dataset(r, RescaleSlope="0", RescaleIntercept="0"), "rescale_slope_zero"),
    "slope text": (lambda r: make_dataset(r, RescaleSlope="1e999", RescaleIntercept="0"), "invalid_element"),
    "function": (lambda r: make_dataset(r, VOILUTFunction="CUBIC"), "invalid_element"),
    "constant": (lambda r: make_dataset(r * 0 + 7), "constant_image"),
    "all padding": (lambda r: make_dataset(r, PixelPaddingValue=0, PixelPaddingRangeLimit=4095), "constant_image"),
    "window misses": (lambda r: make_dataset(r, WindowCenter="9000", WindowWidth="10"), "constant_image"),
    "constant colour": (lambda r: make_dataset(np.full((*r.shape, 3), 9, np.uint8)), "constant_image"),
    "photometric": (lambda r: make_dataset(r, PhotometricInterpretation="HSV"), "photometric_unsupported"),
    "grey of 3": (lambda r: make_dataset(r, PhotometricInterpretation="RGB"), "photometric_unsupported"),
    "mpeg": (lambda r: make_compressed(r, b"\0\0\1\xb3" * 9, MPEG2MPML), "transfer_syntax_unsupported"),
    "rows of codestream": (lambda r: jpeg2000(r, Rows=47), "codestream_mismatch"),
    "columns of codestream": (lambda r: jpeg2000(r, Columns=65), "codestream_mismatch"),
    "no codestream": (lambda r: make_compressed(r, b"abc" * 50, JPEG2000Lossless), "decode_failed"),
    "wrong codec": (lambda r: make_compressed(r, bytes(encode_array(r)), JPEGLosslessSV1), "decode_failed"),
    "bad rle": (lambda r: make_compressed(r, b"\7" * 200, RLELossless), "decode_failed"),
    "cut": (lambda r: make_compressed(r, bytes(encode_array(r))[:-40], JPEG2000Lossless), "truncated_frame"),
    "two images": (lambda r: make_compressed(r, bytes(encode_array(r)) * 2, JPEG2000Lossless), "multi_frame"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(ramp, make, reason):
    assert reason_of(make(ramp)) == reason


def test_native_pixels_under_a_compressed_syntax_and_the_reverse(ramp):
    dataset = make_dataset(ramp)
    data = file_bytes(dataset).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    assert reason_of(data) == "transfer_syntax_unsupported"
    compressed = file_bytes(make_compressed(ramp, b"x" * 100, RLELossless))
    data = compressed.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    assert reason_of(data) == "transfer_syntax_unsupported"


def test_two_frames_in_the_fragments_of_one(ramp):
    frame = rle_frame(ramp)
    dataset = make_compressed(ramp, frame, RLELossless)
    assert_shows(dataset, ramp)
    for has_bot in (True, False):
        dataset.PixelData = encapsulate([frame, frame], has_bot=has_bot)
        assert reason_of(dataset) == "multi_frame"


def test_a_jpeg_cut_in_the_middle_is_refused(ramp, tmp_path):
    values = (ramp >> 4).astype(np.uint8)
    dataset = dcmread(BytesIO(transcoded(make_dataset(values), "JPEGLosslessProcess14_1", tmp_path)))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert_shows(make_compressed(values, frame, JPEGLosslessSV1), values)
    assert reason_of(make_compressed(values, frame[: len(frame) // 2], JPEGLosslessSV1)) == "truncated_frame"


def test_caps(ramp):
    assert reason_of(make_dataset(ramp), max_pixels=48 * 64 - 1) == "too_large"
    zeros = make_dataset(np.zeros((2000, 2000), dtype=np.uint16), DeflatedExplicitVRLittleEndian)
    data = file_bytes(zeros)
    assert len(data) < 20_000  # 8 MB once inflated
    assert reason_of(data, max_file_bytes=1_000_000) == "too_large"
    assert reason_of(data, max_file_bytes=10_000_000) == "constant_image"
    assert reason_of(data[:300] + b"\xff" * 100) == "unreadable_header"


def jpeg(values: np.ndarray, **elements: object) -> tuple[bytes, Dataset]:
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=95)
    return buffer.getvalue(), make_compressed(values, buffer.getvalue(), JPEGBaseline8Bit, **elements)


def test_a_jpeg_that_only_looks_whole_is_refused(convert, capfd):
    """The scan is cut and the end marker put back: libjpeg fills the rest with grey and mutters."""
    values = np.random.default_rng(0).integers(0, 256, (80, 90), dtype=np.uint8)
    frame, dataset = jpeg(values)
    assert convert(dataset).image is not None
    assert convert(frame).image is not None
    cut = frame[: len(frame) // 2] + b"\xff\xd9"
    for content in (make_compressed(values, cut, JPEGBaseline8Bit), cut):
        assert convert(content).reject["reason"] == "decode_failed"
    padded = frame[:-2] + b"\0\0\0" + frame[-2:]  # bytes to spare behind the last pixel do no harm
    assert convert(make_compressed(values, padded, JPEGBaseline8Bit)).image is not None
    assert capfd.readouterr() == ("", "")


class Panic(BaseException):
    """As the exception of a Rust panic, no Exception."""


@pytest.mark.parametrize(("error", "survives"), [(Panic, True), (KeyboardInterrupt, False), (SystemExit, False)])
def test_a_panic_costs_one_file_and_an_interruption_stops(ramp, monkeypatch, convert, error, survives):
    frame = rle_frame(ramp)

    def panic(*_: object, **__: object) -> None:
        raise error("CANARY")

    monkeypatch.setattr("stages.common.radiographs.decoding.decode_segment", panic)
    dataset = make_compressed(ramp, frame, RLELossless)
    if survives:
        assert convert(dataset).reject["reason"] == "decode_failed"
        assert "CANARY" not in convert(dataset).reject["message"]
    else:
        with pytest.raises(error):
            convert(dataset)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, at writing these values
@pytest.mark.parametrize(
    "keyword",
    ["Modality", "ViewPosition", "PhotometricInterpretation", "VOILUTFunction", "PresentationLUTShape", "RescaleSlope",
     "PixelSpacing", "NumberOfFrames", "WindowCenter", "BodyPartExamined", "PatientOrientation", "SOPClassUID"],
)  # fmt: skip
def test_no_text_of_the_file_reaches_a_row(ramp, convert, keyword):
    marked = "CANARY"
    dataset = make_dataset(ramp, PatientName="CANARY^A", PatientID="CANARY", InstitutionName="CANARY")
    number = keyword in ("RescaleSlope", "PixelSpacing", "NumberOfFrames", "WindowCenter")
    setattr(dataset, keyword, {"PixelSpacing": ["77", "99"]}.get(keyword, "77") if number else marked)
    data = file_bytes(dataset)
    if number:  # these values would not be written
        data = data.replace(b"77", b"CA", 1)
    outcome = convert(data, view=None, body_parts=("CHEST",) if keyword == "BodyPartExamined" else ())
    row = outcome.reject or {key: value for key, value in outcome.image.items() if key != "pixels"}
    assert "CANARY" not in str(row)
    assert outcome.reject is None or outcome.reject["reason"] != "unexpected_error"


def test_quirks_do_not_warn(ramp, convert, capfd):
    dataset = make_dataset(ramp)
    data = file_bytes(dataset)
    dataset.PatientAge = "062Y"
    data = file_bytes(dataset).replace(b"AS\x04\x00062Y", b"AS\x04\x0062  ")
    assert convert(data).image is not None  # warnings are errors under pytest
    assert capfd.readouterr() == ("", "")


def test_not_an_image(convert):
    for data in (b"", b"a text file, and nothing else" * 9, b"PK\x03\x04" + b"\0" * 200):
        assert convert(data).reject["reason"] == "not_an_image"
    assert convert(b"\0" * 128 + b"DICM").reject["reason"] == "truncated_header"
    assert convert(b"\0" * 128 + b"DICM" + b"\xff" * 500).reject["reason"] in ("unreadable_header", "wrong_modality")
