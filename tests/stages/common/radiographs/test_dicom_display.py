"""The grey-scale chain against pydicom's implementation of the same clauses, closed forms and planted padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian
from written_dicom import grey_levels

from stages.common.radiographs.display import (
    Display,
    LookupTable,
    Rescale,
    Stored,
    Window,
    is_inverted,
    modality_values,
    to_levels,
    voi_values,
    window_values,
)
from stages.common.radiographs.rejection import RejectionError

FUNCTIONS = ["LINEAR", "LINEAR_EXACT", "SIGMOID"]
tables = st.builds(
    lambda first, bits, entries: LookupTable(first, (np.array(entries) % 2**bits).astype(np.uint16), bits),
    first=st.integers(-50, 50),
    bits=st.sampled_from([8, *range(10, 17)]),
    entries=st.lists(st.integers(0, 65535), min_size=2, max_size=40),
)
stored_values = st.lists(st.integers(-200, 200), min_size=1, max_size=30).map(lambda v: np.array(v, dtype=np.int16))


def shown(stored: np.ndarray, padding: np.ndarray | None, display: Display) -> np.ndarray:
    """Grey levels of stored values."""
    return grey_levels(to_levels(Stored.of(stored, padding), display))


def lut_item(table: LookupTable) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [len(table.entries), table.first, table.bits])
    item.add_new("LUTData", "US", [int(entry) for entry in table.entries])
    return item


def described(**elements: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 12, 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@given(values=stored_values, slope=st.floats(-20, 20), intercept=st.floats(-3000, 3000))
def test_rescale_agrees_with_pydicom(values, slope, intercept):
    dataset = described(RescaleSlope=str(round(slope, 6)), RescaleIntercept=str(round(intercept, 6)))
    rescale = Rescale(float(dataset.RescaleSlope), float(dataset.RescaleIntercept))
    np.testing.assert_allclose(modality_values(values, rescale), apply_modality_lut(values, dataset))


@given(values=stored_values, table=tables.filter(lambda table: table.bits in (8, 16)))  # pydicom knows only these
def test_modality_table_agrees_with_pydicom(values, table):
    dataset = described(ModalityLUTSequence=[lut_item(table)])
    np.testing.assert_array_equal(modality_values(values, table), apply_modality_lut(values, dataset))


@given(values=stored_values, table=tables)
def test_voi_table_agrees_with_pydicom(values, table):
    # pydicom holds indices in the type of the entries: 8 bits cannot count what lies far above `first`
    values = values.clip(table.first - 100, table.first + 100)
    expected = apply_voi_lut(values, described(VOILUTSequence=[lut_item(table)]))
    np.testing.assert_allclose(voi_values(values.astype(float), table), expected / (2**table.bits - 1))


@given(
    values=st.lists(st.integers(0, 4095), min_size=1, max_size=30),
    center=st.floats(-500, 5000).map(lambda v: round(v, 3)),
    width=st.floats(1, 6000).map(lambda v: round(v, 3)),
    function=st.sampled_from(FUNCTIONS),
)
def test_window_agrees_with_pydicom(values, center, width, function):
    values = np.array(values, dtype=np.uint16)
    dataset = described(WindowCenter=str(center), WindowWidth=str(width), VOILUTFunction=function)
    with np.errstate(over="ignore"):  # pydicom's SIGMOID lets exp overflow to infinity, which is right
        expected = apply_windowing(values, dataset) / 4095  # it maps to the range of BitsStored
    found = window_values(values.astype(float), Window(center, width, function))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("window", "value", "expected"),
    [
        # C.11.2.1.2.1, notes: centre 2048, width 4096 maps 0 to black and 4095 to white
        (Window(2048.0, 4096.0), 0, 0.0),
        (Window(2048.0, 4096.0), 4095, 1.0),
        # width 1 is a step at the centre - 0.5
        (Window(100.0, 1.0), 99, 0.0),
        (Window(100.0, 1.0), 100, 1.0),
        # LINEAR_EXACT: half a width below, at, and above the centre
        (Window(100.0, 50.0, "LINEAR_EXACT"), 75, 0.0),
        (Window(100.0, 50.0, "LINEAR_EXACT"), 100, 0.5),
        (Window(100.0, 50.0, "LINEAR_EXACT"), 125, 1.0),
        # SIGMOID: 1/2 at the centre, 1 / (1 + e^-2) half a width above
        (Window(100.0, 50.0, "SIGMOID"), 100, 0.5),
        (Window(100.0, 50.0, "SIGMOID"), 125, 1 / (1 + np.exp(-2))),
        (Window(100.0, 1e-6, "SIGMOID"), 0, 0.0),
    ],
)
def test_windows_in_closed_form(window, value, expected):
    assert window_values(np.array([float(value)]), window)[0] == pytest.approx(expected, abs=1e-12)


POLARITY = [
    ("MONOCHROME2", "", False),
    ("MONOCHROME2", "IDENTITY", False),
    ("MONOCHROME2", "INVERSE", True),
    ("MONOCHROME1", "", True),
    ("MONOCHROME1", "IDENTITY", True),
    ("MONOCHROME1", "INVERSE", True),
]


@pytest.mark.parametrize(("photometric", "shape", "expected"), POLARITY)
def test_polarity_is_inverted_at_most_once(photometric, shape, expected):
    assert is_inverted(photometric, shape) is expected


GREY_RAMP = np.arange(0, 1024, dtype=np.uint16).reshape(32, 32)


@pytest.mark.parametrize("voi", [None, Window(500.0, 600.0), Window(500.0, 600.0, "SIGMOID")])
def test_inversion_is_the_complement_after_the_window(voi):
    plain = shown(GREY_RAMP, None, Display(Rescale(), voi, False))
    inverted = shown(GREY_RAMP, None, Display(Rescale(), voi, True))
    np.testing.assert_allclose(plain + inverted, 255, atol=1e-4)
    assert (np.diff(plain.ravel()) >= 0).all()


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_is_black_and_counts_in_no_statistic(inverted):
    stored = GREY_RAMP.astype(np.int16) + 100
    padding = np.zeros(stored.shape, dtype=bool)
    padding[:4] = True
    clean = shown(stored[4:], None, Display(Rescale(), None, inverted))
    for value in (-2000, 30_000):
        stored[:4] = value
        grey = shown(stored, padding, Display(Rescale(), None, inverted))
        assert (grey[:4] == 0).all()
        np.testing.assert_allclose(grey[4:], clean, atol=1e-4)
    np.testing.assert_allclose([clean.min(), clean.max()], [0, 255], atol=1e-4)


def test_a_negative_slope_turns_the_order_and_keeps_the_range():
    grey = shown(GREY_RAMP, None, Display(Rescale(-10.0, 3000.0), None, False))
    np.testing.assert_allclose(grey, shown(GREY_RAMP, None, Display(Rescale(), None, True)), atol=1e-4)


@pytest.mark.parametrize("voi", [None, Window(3e8, 5e8), Window(3e8, 5e8, "SIGMOID")])
def test_values_too_many_for_a_table_take_the_same_chain(voi):
    """32-bit values run through the chain themselves; scaled down they run through a table."""
    small = np.arange(0, 66 * 100, dtype=np.int32).reshape(66, 100)
    large = small * 100_000
    scaled = voi and Window(voi.center / 1e5, voi.width / 1e5, voi.function)
    exact = (
        None if voi is None else Window(scaled.center + 0.5, scaled.width + 1) if voi.function == "LINEAR" else scaled
    )
    found = shown(large, None, Display(Rescale(), voi, False))
    np.testing.assert_allclose(found, shown(small, None, Display(Rescale(), exact, False)), atol=1e-3)


def test_a_table_that_turns_around_is_judged_by_the_values_that_occur():
    table = LookupTable(0, np.array([10, 0, 200, 255, 10], dtype=np.uint16), 8)
    stored = np.array([[0, 2], [3, 4]], dtype=np.uint8)
    grey = shown(stored, None, Display(table, None, False))
    np.testing.assert_allclose(grey, (np.array([[10, 200], [255, 10]]) - 10) / 245 * 255, atol=1e-4)
    with pytest.raises(RejectionError) as caught:
        shown(np.array([[0, 4]], dtype=np.uint8), None, Display(table, None, False))
    assert caught.value.reason == "constant_image"


@pytest.mark.parametrize(
    ("stored", "padding", "voi"),
    [
        (np.full((4, 4), 7, dtype=np.uint8), None, None),
        (np.full((4, 4), 7, dtype=np.uint8), np.ones((4, 4), dtype=bool), None),
        (np.arange(16, dtype=np.uint8).reshape(4, 4), None, Window(1000.0, 10.0)),
        (np.arange(16, dtype=np.uint8).reshape(4, 4), None, LookupTable(0, np.array([3, 3], dtype=np.uint16), 8)),
    ],
)
def test_constant_images_are_refused(stored, padding, voi):
    with pytest.raises(RejectionError) as caught:
        shown(stored, padding, Display(Rescale(), voi, False))
    assert caught.value.reason == "constant_image"


def test_window_descriptions():
    assert Display(Rescale(), None, False).window == "minmax"
    assert Display(Rescale(), Window(2048.0, 4096.5), False).window == "window 2048/4096.5 LINEAR"
    assert Display(Rescale(), LookupTable(0, np.zeros(2, dtype=np.uint16), 8), False).window == "lut"
