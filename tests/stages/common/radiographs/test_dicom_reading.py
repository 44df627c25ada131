"""DICOM files written for the test: what must come out right, whatever the encoding."""

from io import BytesIO

import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from written_dicom import (
    ANY,
    assert_shows,
    file_bytes,
    grey_of,
    make_compressed,
    make_dataset,
    reason_of,
    stretched,
    transcoded,
)

from stages.common.radiographs.readers import read_dicom

# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_native_encodings(ramp, syntax, kind):
    values = (ramp >> 4).astype(kind) if kind is np.uint8 else ramp.astype(kind)
    assert_shows(make_dataset(values - kind(100) if kind is np.int16 else values, syntax), values)


def test_an_odd_number_of_bytes_is_padded(ramp):
    values = (ramp >> 4).astype(np.uint8)[:5, :7]
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        assert_shows(make_dataset(values, syntax), values)


@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_compression_of_another_encoder(ramp, name, bits, tmp_path):
    values = (ramp >> 4).astype(np.uint8) if bits == 8 else ramp << (bits - 12)
    dataset = make_dataset(values, BitsStored=bits, HighBit=bits - 1)
    assert_shows(transcoded(dataset, name, tmp_path), values)


def test_signed_lossless_compression(ramp, tmp_path):
    values = ramp.astype(np.int16) - 2048
    dataset = make_dataset(values, BitsStored=12, HighBit=11)
    for name in ("JPEG2000Lossless", "RLELossless"):
        assert_shows(transcoded(dataset, name, tmp_path), values)


def test_a_codestream_whose_sign_contradicts_the_header(ramp):
    """Two's complement of 12 bits, compressed as unsigned numbers, as some encoders do."""
    values = ramp.astype(np.int16) - 2048
    frame = bytes(encode_array((values & 0xFFF).astype(np.uint16), bits_stored=12))
    assert_shows(make_compressed(values, frame, JPEG2000Lossless, BitsStored=12, HighBit=11), values)
    frame = bytes(encode_array(ramp.astype(np.int16) - 2048, bits_stored=12))  # signed, under an unsigned header
    expected = (ramp.astype(np.int64) - 2048) % 4096
    assert_shows(make_compressed(ramp, frame, JPEG2000Lossless, BitsStored=12, HighBit=11), expected)


def test_files_without_meta_information(ramp):
    dataset = make_dataset(ramp, ImplicitVRLittleEndian)
    for implicit, little in ((True, True), (False, True), (False, False)):
        values = ramp if little else ramp.byteswap()
        dataset.PixelData = values.tobytes()
        bare = Dataset(dataset)
        buffer = BytesIO()
        bare.save_as(buffer, implicit_vr=implicit, little_endian=little)
        assert_shows(buffer.getvalue(), ramp)


def test_colours_become_luma(ramp):
    rgb = np.stack([(ramp >> 4), (ramp >> 5), (ramp[::-1] >> 4)], axis=-1).astype(np.uint8)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey_of(make_dataset(rgb)), luma, atol=1e-3)
    planes = make_dataset(rgb, PlanarConfiguration=1)
    planes.PixelData = np.ascontiguousarray(np.moveaxis(rgb, -1, 0)).tobytes()
    np.testing.assert_allclose(grey_of(planes), luma, atol=1e-3)
    ybr = make_dataset(rgb, PhotometricInterpretation="YBR_FULL")  # the first sample is Y, the grey level itself
    np.testing.assert_allclose(grey_of(ybr), rgb[..., 0], atol=1e-3)
    deep = make_dataset(rgb.astype(np.uint16) * 16, BitsStored=12, HighBit=11)
    np.testing.assert_allclose(grey_of(deep), luma * 16 / 4095 * 255, atol=1e-3)


def test_palettes_become_luma():
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colours = np.random.default_rng(0).integers(0, 65536, (3, 64), dtype=np.uint16)
    dataset = make_dataset(values, PhotometricInterpretation="PALETTE COLOR")
    for name, entries in zip(("Red", "Green", "Blue"), colours, strict=True):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [64, 0, 16])
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", entries.tobytes())
    expected = np.tensordot([0.299, 0.587, 0.114], colours, 1)[values] / 65535 * 255
    np.testing.assert_allclose(grey_of(dataset), expected, atol=1e-2)


def test_one_bit():
    bits = np.random.default_rng(0).integers(0, 2, (16, 24), dtype=np.uint8)
    dataset = make_dataset(bits, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    assert_shows(dataset, bits)


# --- bits ------------------------------------------------------------------------------------------------------------


def test_left_justified_values_are_shifted(ramp):
    assert_shows(make_dataset(ramp << 4, BitsStored=12, HighBit=15), ramp)
    signed = (ramp.astype(np.int16) - 2048) << 4
    assert_shows(make_dataset(signed, BitsStored=12, HighBit=15), ramp)


def test_two_s_complement_of_bits_stored_with_and_without_sign_extension(ramp):
    values = ramp.astype(np.int16) - 2048
    assert_shows(make_dataset(values, BitsStored=12, HighBit=11), values)
    assert_shows(make_dataset(values & 0xFFF, BitsStored=12, HighBit=11), values)


def test_declared_overlays_in_unused_bits_are_ignored(ramp):
    overlay = np.zeros_like(ramp)
    overlay[10:20] = 1 << 13
    dataset = make_dataset(ramp | overlay, BitsStored=12, HighBit=11)
    assert reason_of(dataset) == "bits_inconsistent"
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 13)
    assert_shows(dataset, ramp)
    signed = (ramp.astype(np.int16) - 2048) ^ overlay.astype(np.int16)
    dataset = make_dataset(signed, BitsStored=12, HighBit=11)
    dataset.add_new(0x60000102, "US", 13)
    assert_shows(dataset, ramp)


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (4096, {"BitsStored": 12, "HighBit": 11}),
        (65535, {"BitsStored": 12, "HighBit": 11}),
        (4095 << 3, {"BitsStored": 12, "HighBit": 15}),  # a bit below the stored ones
        (0, {"BitsStored": 12, "HighBit": 10}),
        (0, {"BitsStored": 17, "HighBit": 16}),
        (0, {"BitsStored": 0, "HighBit": 0}),
        (0, {"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}),
        (0, {"BitsStored": 12, "HighBit": 16}),
    ],
)
def test_contradictory_bits_are_refused_never_wrapped(ramp, value, elements):
    stored = ramp << 4 if elements["HighBit"] == 15 else ramp
    stored[0, 0] |= value
    stored[-1, -1] &= 4095 if elements["HighBit"] != 15 else 65535
    assert reason_of(make_dataset(stored, **elements)) == "bits_inconsistent"


def test_signed_values_beyond_bits_stored_are_refused(ramp):
    values = ramp.astype(np.int16) - 2048
    for beyond in (2048, -2049, 5000, -30000):
        values[3, 3] = beyond
        assert reason_of(make_dataset(values, BitsStored=12, HighBit=11)) == "bits_inconsistent"


def test_values_above_bits_stored_in_compressed_data(ramp):
    values = ramp.copy()
    values[0, 0] = 5000
    frame = bytes(encode_array(values, bits_stored=16))
    assert reason_of(make_compressed(values, frame, JPEG2000Lossless, BitsStored=12, HighBit=11)) == "bits_inconsistent"
    frame = bytes(encode_array(ramp, bits_stored=12))
    assert reason_of(make_compressed(ramp, frame, JPEG2000Lossless, BitsStored=12, HighBit=15)) == "bits_inconsistent"


# --- display ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE"])
def test_polarity(ramp, photometric, shape):
    elements = {"PhotometricInterpretation": photometric, "WindowCenter": "2000", "WindowWidth": "1000"}
    dataset = make_dataset(ramp, **elements | ({"PresentationLUTShape": shape} if shape else {}))
    grey = grey_of(dataset)
    inverted = photometric == "MONOCHROME1" or shape == "INVERSE"
    assert grey[0, 0] == (255 if inverted else 0)
    assert grey[-1, -1] == (0 if inverted else 255)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_value_and_range(ramp, syntax, photometric):
    values = ramp.astype(np.int16)
    values[:8], values[8:16] = -2000, -1990
    dataset = make_dataset(values, syntax, PhotometricInterpretation=photometric)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1980)
    inside = stretched(ramp[16:])
    grey = grey_of(dataset)
    assert (grey[:16] == 0).all()
    np.testing.assert_allclose(grey[16:], 255 - inside if photometric == "MONOCHROME1" else inside, atol=1e-3)
    dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = -1980, -2000  # the other order
    np.testing.assert_array_equal(grey_of(dataset), grey)


def test_padding_outside_bits_stored_and_of_the_wrong_representation(ramp):
    stored = ramp.copy()
    stored[:8] = 65535
    dataset = make_dataset(stored, BitsStored=12, HighBit=11, PixelPaddingValue=65535)
    grey = grey_of(dataset)
    assert (grey[:8] == 0).all()
    np.testing.assert_allclose(grey[8:], stretched(ramp[8:]), atol=1e-3)
    signed = ramp.astype(np.int16)
    signed[:8] = -2000
    dataset = make_dataset(signed)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    np.testing.assert_allclose(grey_of(dataset)[8:], stretched(ramp[8:]), atol=1e-3)


def lut(entries: np.ndarray, first: int, bits: int, data_vr: str = "OW") -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first, bits])
    raw = entries.astype(np.uint16)
    item.add_new("LUTData", data_vr, raw.tobytes() if data_vr == "OW" else [int(entry) for entry in raw])
    return Sequence([item])


@pytest.mark.parametrize("data_vr", ["OW", "US"])
def test_modality_and_voi_tables(ramp, data_vr):
    entries = (np.linspace(0, 1, 4096) ** 2 * 65535).astype(np.uint16)
    dataset = make_dataset(ramp, BitsStored=12, HighBit=11, VOILUTSequence=lut(entries, 0, 16, data_vr),
                           WindowCenter="100", WindowWidth="10")  # fmt: skip
    np.testing.assert_allclose(grey_of(dataset), entries[ramp] / 65535 * 255, atol=1e-3)
    halves = np.arange(4096) // 2
    dataset = make_dataset(ramp, ModalityLUTSequence=lut(halves, 0, 12, data_vr), WindowCenter="1024.5",
                           WindowWidth="2048")  # fmt: skip
    np.testing.assert_allclose(grey_of(dataset), (ramp // 2 / 2047).clip(0, 1) * 255, atol=0.1)


def test_a_table_of_65536_entries_and_one_of_packed_bytes(ramp):
    dataset = make_dataset(ramp, VOILUTSequence=lut(np.arange(65536), 0, 16))
    np.testing.assert_allclose(grey_of(dataset), ramp / 65535 * 255, atol=1e-3)
    packed = lut(np.arange(256), 0, 8)
    packed[0].LUTData = np.arange(256, dtype=np.uint8).tobytes()
    values = (ramp >> 4).astype(np.uint8)
    np.testing.assert_allclose(grey_of(make_dataset(values, VOILUTSequence=packed)), values, atol=1e-3)


@pytest.mark.parametrize(
    "sequence",
    [lut(np.arange(100), 0, 16), lut(np.arange(100), 0, 5), lut(np.arange(1000), 0, 8), Sequence([Dataset()])],
)
def test_tables_that_contradict_their_descriptor(ramp, sequence):
    if "LUTData" in sequence[0] and len(sequence[0].LUTData) == 200:
        sequence[0].LUTData = sequence[0].LUTData[:100]
    assert reason_of(make_dataset(ramp, VOILUTSequence=sequence)) == "lookup_table_invalid"


def test_a_table_of_a_vr_that_does_not_exist(ramp):
    data = file_bytes(make_dataset(ramp, VOILUTSequence=lut(np.arange(100), 0, 16)))
    element = b"\x28\0\x06\x30"  # LUTData
    assert data.count(element) == 1
    place = data.index(element) + 4
    assert reason_of(data[:place] + b"\x55\xd3" + data[place + 2 :]) in ("invalid_element", "unreadable_header")


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "2000", "WindowWidth": "0"},
        {"WindowCenter": "2000", "WindowWidth": "-5"},
        {"WindowCenter": "2000", "WindowWidth": "0.5"},
        {"WindowCenter": "2000"},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
)
def test_a_window_that_the_standard_forbids_is_none(ramp, elements):
    dataset = make_dataset(ramp, **elements)
    assert_shows(dataset, ramp)
    assert read_dicom(file_bytes(dataset), None, ANY).window == "minmax"


def test_the_first_of_several_windows_after_the_rescale(ramp):
    dataset = make_dataset(ramp, RescaleSlope="0.5", RescaleIntercept="-100", WindowCenter=["500", "1"],
                           WindowWidth=["400", "1"])  # fmt: skip
    expected = ((ramp * 0.5 - 100 - 499.5) / 399 + 0.5).clip(0, 1) * 255
    np.testing.assert_allclose(grey_of(dataset), expected, atol=1e-3)
    assert read_dicom(file_bytes(dataset), None, ANY).window == "window 500/400 LINEAR"


# --- spacing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, (None, None, 1.0)),
        ({"PixelSpacing": ["0.2", "0.1"]}, (0.2, 0.1, 2.0)),
        ({"ImagerPixelSpacing": ["0.1", "0.2"]}, (0.1, 0.2, 0.5)),
        ({"PixelSpacing": ["0.2", "0.2"], "ImagerPixelSpacing": ["0.1", "0.2"]}, (0.2, 0.2, 1.0)),
        ({"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.3", "0.3"]}, (0.3, 0.3, 1.0)),
        ({"PixelAspectRatio": ["3", "2"]}, (None, None, 1.5)),
        ({"PixelSpacing": ["0.2", "0.2"], "PixelAspectRatio": ["3", "2"]}, (0.2, 0.2, 1.0)),
        ({"PixelSpacing": ["0.2"]}, (None, None, 1.0)),
    ],
)
def test_spacing(ramp, elements, expected, convert):
    radiograph = read_dicom(file_bytes(make_dataset(ramp, **elements)), None, ANY)
    found = (radiograph.row_spacing, radiograph.column_spacing, radiograph.pixel_aspect)
    assert found == pytest.approx(expected)
    box = convert(make_dataset(ramp, **elements), size=96).image["content_box"]
    assert box[3] / box[2] == pytest.approx(48 * expected[2] / 64, abs=0.02)
