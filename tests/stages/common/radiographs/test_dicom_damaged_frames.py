"""Compressed frames, damaged or in contradiction with the header: the right picture or a reason, for every codec."""

import struct
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from random_dicom import jpeg_lossless
from written_dicom import (
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

from stages.common.radiographs.radiograph import Radiograph
from stages.common.radiographs.readers import read_dicom
from stages.dicom_to_arrow.contract import DicomToArrowSettings

TWELVE = {"BitsStored": 12, "HighBit": 11}
END = b"\xff\xd9"


def encoded(values: np.ndarray, kind: str) -> tuple[bytes, object]:
    """A frame of the image, and its transfer syntax."""
    if kind == "jpeg":
        buffer = BytesIO()
        Image.fromarray((values >> 4).astype(np.uint8)).save(buffer, "JPEG", quality=95)
        return buffer.getvalue(), JPEGBaseline8Bit
    return {
        "extended": lambda: (bytes(imagecodecs.jpeg8_encode(values, level=95, bitspersample=12)), JPEGExtended12Bit),
        "lossless": lambda: (jpeg_lossless(values, 12, predictor=1), JPEGLosslessSV1),
        "jpeg-ls": lambda: (bytes(imagecodecs.jpegls_encode(values)), JPEGLSLossless),
        "near": lambda: (bytes(imagecodecs.jpegls_encode(values, level=2)), JPEGLSNearLossless),
        "j2k": lambda: (bytes(encode_array(values, bits_stored=12)), JPEG2000Lossless),
        "j2k lossy": lambda: (bytes(encode_array(values, bits_stored=12, compression_ratios=[8])), JPEG2000),
        "ht": lambda: (bytes(imagecodecs.htj2k_encode(values)), HTJ2KLossless),
    }[kind]()


def image_of(ramp: np.ndarray, kind: str, **elements: object) -> Dataset:
    frame, syntax = encoded(ramp, kind)
    bits = {} if kind in ("jpeg-ls", "near", "ht") else TWELVE
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7} if kind == "jpeg" else bits
    return make_compressed(ramp, elements.pop("frame", frame), syntax, **eight | elements)


KINDS = ["jpeg", "extended", "lossless", "jpeg-ls", "near", "j2k", "j2k lossy", "ht"]


@pytest.fixture
def noisy(ramp: np.ndarray) -> np.ndarray:
    return (ramp // 2 + np.random.default_rng(0).integers(0, 200, ramp.shape)).astype(np.uint16)


@pytest.mark.parametrize("kind", KINDS)
def test_every_codec_shows_the_picture(noisy, kind):
    dataset = image_of(noisy, kind)
    if kind == "jpeg":
        expected = np.asarray(Image.open(BytesIO(encoded(noisy, kind)[0])))
    else:
        expected = imagecodecs.jpeg2k_decode(encoded(noisy, kind)[0]) if kind == "j2k lossy" else noisy
    tolerance = {"extended": 1, "near": 0.6}.get(kind, 1e-2)
    assert np.abs(grey_of(dataset) - stretched(expected)).max() < tolerance


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("elements", [{"Rows": 47}, {"Columns": 65}, {"Rows": 24}, {"Rows": 64, "Columns": 48}])
def test_codestreams_of_another_size(noisy, kind, elements):
    assert reason_of(image_of(noisy, kind, **elements)) == "codestream_mismatch"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.8, 0.97])
def test_codestreams_that_end_early(noisy, kind, kept):
    """Cut; cut with the end marker put back; a piece taken out; the last of several fragments missing."""
    frame, _ = encoded(noisy, kind)
    cut = frame[: int(kept * len(frame))].rstrip(b"\xff")
    assert reason_of(image_of(noisy, kind, frame=cut)) in ("truncated_frame", "decode_failed")
    assert reason_of(image_of(noisy, kind, frame=cut + END)) in ("truncated_frame", "decode_failed")
    dataset = image_of(noisy, kind)
    dataset.PixelData = encapsulate([frame], fragments_per_frame=3)
    whole = grey_of(image_of(noisy, kind))
    np.testing.assert_array_equal(grey_of(dataset), whole)
    third = (len(frame) + 2) // 3
    dataset.PixelData = encapsulate([frame[: 2 * third]], fragments_per_frame=2)
    assert reason_of(dataset) in ("truncated_frame", "decode_failed")


@pytest.mark.parametrize(("rows", "columns"), [(400, 602), (401, 603), (303, 404)])
def test_jpeg_2000_at_half_the_size(rows, columns):
    y, x = np.mgrid[0:rows, 0:columns]
    values = ((np.sin(y / 30) * np.cos(x / 25) + 1) * 2000).astype(np.uint16)
    frame = bytes(encode_array(values, bits_stored=12))

    def read(reduce: int, **elements: object) -> Radiograph:
        dataset = make_compressed(values, frame, JPEG2000Lossless, **TWELVE, **elements)
        return read_dicom(file_bytes(dataset), None, DicomToArrowSettings(size=64, jpeg2000_reduce=reduce))

    window = {"WindowCenter": "2000", "WindowWidth": "3000"}
    half, full = read(1, **window), read(0, **window)
    assert half.levels.values.shape == ((rows + 1) // 2, (columns + 1) // 2)
    assert half.shape == full.shape == (rows, columns)
    assert half.square(64).content == full.square(64).content
    # A sample of the low-pass band stands at every second pixel, half a pixel off the middle of the two; at the border
    # the wavelet mirrors the picture.
    assert np.abs(grey_levels(half.levels) - grey_levels(full.levels)[::2, ::2])[1:-1, 1:-1].max() < 0.5
    for elements in ({}, window | {"VOILUTFunction": "SIGMOID"}, window | {"PixelPaddingValue": 0}):
        assert read(1, **elements).levels.values.shape == (rows, columns)


def test_values_above_bits_stored_in_every_lossless_codec(noisy):
    noisy[5, 6] = 5000
    for frame, syntax in (
        (jpeg_lossless(noisy, 16, predictor=1), JPEGLosslessSV1),
        (jpeg_lossless(noisy, 13, predictor=4), JPEGLossless),
        (imagecodecs.jpegls_encode(noisy), JPEGLSLossless),
        (encode_array(noisy, bits_stored=16), JPEG2000Lossless),
        (imagecodecs.htj2k_encode(noisy), HTJ2KLossless),
        (rle_frame(noisy), RLELossless),
    ):
        assert reason_of(make_compressed(noisy, bytes(frame), syntax, **TWELVE)) == "bits_inconsistent"


@pytest.mark.parametrize("bits", [*range(2, 17)])
@pytest.mark.parametrize("predictor", [1, 7])
def test_jpeg_lossless_of_any_precision(noisy, bits, predictor):
    values = (noisy >> max(0, 12 - bits)).astype(np.uint16) & (2**bits - 1)
    syntax = JPEGLosslessSV1 if predictor == 1 else JPEGLossless
    frame = jpeg_lossless(values, bits, predictor)
    assert_shows(make_compressed(values, frame, syntax, BitsStored=bits, HighBit=bits - 1), values)


def test_precision_below_bits_stored_and_above_bits_allocated(noisy):
    frame, _ = encoded(noisy, "lossless")
    fourteen = {"BitsStored": 14, "HighBit": 13}
    assert_shows(make_compressed(noisy, frame, JPEGLosslessSV1, **fourteen), noisy)
    signed = noisy.astype(np.int16)  # which of the bits is the sign?
    assert reason_of(make_compressed(signed, frame, JPEGLosslessSV1, **fourteen)) == "bits_inconsistent"
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    assert reason_of(make_compressed(noisy, frame, JPEGLosslessSV1, **eight)) == "bits_inconsistent"
    bytes_alone = jpeg_lossless(noisy >> 4, 8, predictor=1)  # scaled down, under the header of the twelve bits
    assert reason_of(make_compressed(noisy, bytes_alone, JPEGLosslessSV1, **TWELVE)) == "bits_inconsistent"


def test_another_process_than_the_transfer_syntax_names(noisy):
    lossless, baseline = encoded(noisy, "lossless")[0], encoded(noisy, "jpeg")[0]
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    assert reason_of(make_compressed(noisy, lossless, JPEGExtended12Bit, **TWELVE)) == "codestream_mismatch"
    assert reason_of(make_compressed(noisy, lossless, JPEGLSLossless, **TWELVE)) == "codestream_mismatch"
    assert reason_of(make_compressed(noisy, baseline, JPEGLosslessSV1, **eight)) == "codestream_mismatch"


def colour_jpeg(rgb: np.ndarray, keep_rgb: bool, markers: bool) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=98, subsampling=0, keep_rgb=keep_rgb)
    frame = buffer.getvalue()
    if not markers:  # APP0 and APP14 taken out; component ids 1, 2, 3, from which nothing can be told
        for marker in (b"\xff\xe0", b"\xff\xee"):
            if (start := frame.find(marker)) >= 0:
                frame = frame[:start] + frame[start + 2 + struct.unpack(">H", frame[start + 2 : start + 4])[0] :]
        for name, number in zip(b"RGB", (1, 2, 3), strict=True):
            start = frame.index(b"\xff\xc0")
            head = bytearray(frame)
            for place in (start + 10 + 3 * (number - 1), frame.index(b"\xff\xda") + 5 + 2 * (number - 1)):
                if head[place] == name:
                    head[place] = number
            frame = bytes(head)
    return frame


@pytest.mark.parametrize("keep_rgb", [True, False])
@pytest.mark.parametrize("markers", [True, False])
def test_colours_of_a_jpeg(ramp, keep_rgb, markers):
    """What the codestream says of its colours counts; where it is silent, the header does."""
    rgb = np.stack([ramp >> 4, np.full(ramp.shape, 90), ramp[::-1] >> 5], axis=-1).astype(np.uint8)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    frame = colour_jpeg(rgb, keep_rgb, markers)
    for photometric in ("RGB", "YBR_FULL", "YBR_FULL_422"):
        if markers or (photometric == "RGB") == keep_rgb:
            dataset = make_compressed(rgb, frame, JPEGBaseline8Bit, PhotometricInterpretation=photometric)
            assert np.abs(grey_of(dataset) - luma).max() < 3


def test_native_ybr_and_planes(ramp):
    ybr = np.asarray(Image.fromarray(np.stack([ramp >> 4, ramp >> 5, ramp >> 6], -1).astype(np.uint8)).convert("YCbCr"))
    dataset = make_dataset(ybr, PhotometricInterpretation="YBR_FULL_422")
    pairs = ybr.reshape(48, 32, 2, 3)
    dataset.PixelData = np.concatenate([pairs[:, :, :, 0], pairs[:, :, 0, 1:]], axis=-1).tobytes()
    np.testing.assert_allclose(grey_of(dataset), ybr[..., 0], atol=1e-3)
    rgb = np.ascontiguousarray(ybr)
    assert reason_of(make_dataset(rgb, PlanarConfiguration=None)) == "missing_element"
    assert reason_of(make_dataset(rgb, PlanarConfiguration=2)) == "invalid_element"
    odd = make_dataset(rgb[:, :63], PhotometricInterpretation="YBR_FULL_422", PixelData=bytes(48 * 63 * 2))
    assert reason_of(odd) == "photometric_unsupported"


# --- run lengths ---


@pytest.mark.parametrize(("rows", "columns"), [(24, 64), (48, 32), (49, 64), (96, 64)])
def test_run_lengths_of_another_size(ramp, rows, columns):
    dataset = make_compressed(ramp, rle_frame(ramp), RLELossless, Rows=rows, Columns=columns)
    assert reason_of(dataset) == "codestream_mismatch"


def test_run_length_headers_that_cannot_be(ramp):
    frame = rle_frame(ramp)
    for count in (0, 1, 3, 15, 16, 2**31):
        wrong = struct.pack("<L", count) + frame[4:]
        assert reason_of(make_compressed(ramp, wrong, RLELossless)) == "decode_failed"
    first, second = frame[4:8], frame[8:12]
    for offsets in (second + first, first + first, first + b"\xff\xff\xff\x7f", b"\0\0\0\0" + second):
        assert reason_of(make_compressed(ramp, frame[:4] + offsets + frame[12:], RLELossless)) == "decode_failed"
    eight = (ramp >> 4).astype(np.uint8)
    assert reason_of(make_compressed(ramp, rle_frame(eight), RLELossless)) == "decode_failed"
    assert reason_of(make_compressed(eight, rle_frame(ramp), RLELossless)) == "decode_failed"
