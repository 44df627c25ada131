"""Files that a reader shows wrongly without a word: odd palettes, colours that contradict, unreported damage."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless
from written_dicom import assert_shows, file_row, grey_of, make_compressed, make_dataset, reason_of

from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_file

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def eight(ramp: np.ndarray) -> np.ndarray:
    return (ramp >> 4).astype(np.uint8)


def with_palette(stored: np.ndarray, tables: np.ndarray, bits: int, packed: bool, first: int = 0, **elements: Any):
    """A PALETTE COLOR data set; `tables`: 3 x entries. 8-bit entries lie two in a word (packed) or one in a word."""
    syntax = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset = make_dataset(stored, syntax, PhotometricInterpretation="PALETTE COLOR", **elements)
    order = "<" if syntax.is_little_endian else ">"
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        words = table.astype(np.uint8).tobytes() if packed else table.astype(np.uint16).tobytes()
        data = np.frombuffer(words, dtype="<u2").astype(f"{order}u2").tobytes()
        name, kind = f"{colour}PaletteColorLookupTable", "SS" if first < 0 else "US"
        dataset.add_new(f"{name}Descriptor", kind, [tables.shape[1], first, bits])
        dataset.add_new(f"{name}Data", "OW", data)
    return dataset


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("bits", "packed"), [(16, False), (12, False), (8, False), (8, True)])
@pytest.mark.parametrize("kind", ["plain", "left-justified", "first", "signed"])
def test_palettes_of_every_layout(eight, syntax, bits, packed, kind):
    tables = np.random.default_rng(bits).integers(0, 2**bits, (3, 256))
    stored, index, elements = eight, eight.astype(int), {"syntax": syntax}
    if kind == "left-justified":
        stored, elements = eight.astype(np.uint16) << 8, elements | {"BitsStored": 8, "HighBit": 15}
    if kind == "first":  # values below it take the first entry
        index, elements = np.maximum(index - 40, 0), elements | {"first": 40}
    if kind == "signed":
        stored, elements = (eight.astype(int) - 128).astype(np.int8), elements | {"first": -128}
    expected = (LUMA @ tables)[index] * 255 / (2**bits - 1)
    np.testing.assert_allclose(grey_of(with_palette(stored, tables, bits, packed, **elements)), expected, atol=0.01)


def test_palettes_that_cannot_be(eight):
    tables = np.tile(np.arange(256) * 257, (3, 1))
    assert reason_of(with_palette(eight.astype(np.uint16) | 512, tables, 16, False, BitsStored=8, HighBit=7)) == (
        "bits_inconsistent"
    )
    dataset = with_palette(eight, tables, 16, False)
    dataset.GreenPaletteColorLookupTableDescriptor = [256, 1, 16]
    assert reason_of(dataset) == "lookup_table_invalid"
    dataset = with_palette(eight, tables, 16, False)
    dataset.add_new("SegmentedRedPaletteColorLookupTableData", "OW", b"\0\0\1\0\0\0")
    assert reason_of(dataset) == "lookup_table_invalid"


def rle_by_row(words: np.ndarray) -> bytes:
    """PS3.5 G.3.1: every row apart, so that a decoder which stops after half of the rows stops at a run's end."""
    segments = []
    for plane in (words >> 8, words & 0xFF):
        rows = b"".join(bytes([len(row) - 1]) + row.astype(np.uint8).tobytes() for row in plane)
        segments.append(rows + b"\0" * (len(rows) % 2))
    return struct.pack("<16L", 2, 64, 64 + len(segments[0]), *[0] * 13) + b"".join(segments)


def test_run_lengths_of_more_rows_than_the_header_says(ramp):
    frame = rle_by_row(ramp)
    assert_shows(make_compressed(ramp, frame, RLELossless), ramp)
    assert_shows(make_compressed((ramp - 2048).view(np.int16), rle_by_row(ramp - 2048), RLELossless),
                 (ramp - 2048).view(np.int16))  # fmt: skip
    for rows in (24, 47, 49, 96):
        assert reason_of(make_compressed(ramp, frame, RLELossless, Rows=rows)) == "codestream_mismatch"


@pytest.mark.parametrize(
    ("transformed", "photometric", "accepted"),
    [
        (True, "YBR_RCT", True),
        (True, "RGB", True),
        (False, "RGB", True),
        (True, "YBR_FULL", False),
        (False, "YBR_RCT", False),
        (False, "YBR_ICT", False),
    ],
)
def test_colour_transformations_of_jpeg_2000(eight, transformed, photometric, accepted):
    colours = np.stack([eight, eight[::-1], eight[:, ::-1]], axis=-1)
    frame = bytes(encode_array(colours, photometric_interpretation=1, use_mct=transformed))
    dataset = make_compressed(colours, frame, JPEG2000Lossless, PhotometricInterpretation=photometric)
    if accepted:
        np.testing.assert_allclose(grey_of(dataset), colours @ LUMA, atol=0.01)
    else:
        assert reason_of(dataset) == "codestream_mismatch"


def test_colours_that_only_jpeg_2000_has(eight):
    colours = np.stack([eight] * 3, axis=-1)
    assert reason_of(make_dataset(colours, PhotometricInterpretation="YBR_RCT")) == "photometric_unsupported"
    one_bit = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    assert reason_of(make_dataset(colours, **one_bit)) == "bits_inconsistent"


def jpeg(values: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def damaged(frame: bytes, how: str) -> bytes:
    """Fragments in another order, or a part of the scan overwritten: bits that libjpeg takes for other pixels."""
    if how == "swapped":
        quarter = len(frame) // 4
        return frame[:quarter] + frame[2 * quarter : 3 * quarter] + frame[quarter : 2 * quarter] + frame[3 * quarter :]
    middle = 2 * len(frame) // 3
    return frame[:middle] + bytes(60) + frame[middle + 60 :]


@pytest.mark.parametrize("how", ["swapped", "zeroed"])
@pytest.mark.parametrize("seed", range(5))
def test_a_scan_with_bytes_to_spare_is_damaged(how, seed, tmp_path):
    values = np.random.default_rng(seed).integers(0, 256, (80, 80), dtype=np.uint8)
    frame = damaged(jpeg(values), how)
    eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    dataset: Dataset = make_compressed(values, frame, JPEGBaseline8Bit, **eight_bits)
    assert reason_of(dataset) == "decode_failed"
    (tmp_path / "a.jpg").write_bytes(frame)  # MIMIC-CXR-JPG
    reject = convert_file(file_row("a", "a.jpg"), tmp_path, DicomToArrowSettings()).reject
    assert reject is not None
    assert reject["reason"] == "decode_failed"
