"""JPEG and PNG files as MIMIC-CXR-JPG and folders hold them."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from written_dicom import grey_levels

from stages.common.radiographs.readers import read_raster
from stages.common.radiographs.rejection import RejectionError
from stages.dicom_to_arrow.contract import DicomToArrowSettings

GREY = (np.arange(40 * 30).reshape(40, 30) % 251).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY // 2], axis=-1)
LUMA = RGB @ np.array([0.299, 0.587, 0.114])


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(data: bytes, view: str | None = "PA", **settings: object):
    return read_raster(data, view, DicomToArrowSettings(**settings))


def test_grey_is_taken_as_it_is():
    radiograph = read(encoded(Image.fromarray(GREY)))
    np.testing.assert_array_equal(grey_levels(radiograph.levels), GREY)
    assert (radiograph.window, radiograph.photometric, radiograph.view) == ("none", "MONOCHROME2", "PA")
    assert radiograph.row_spacing is None


def test_jpeg_agrees_with_pillow():
    for data in (encoded(Image.fromarray(GREY), "JPEG"), encoded(Image.fromarray(GREY), "JPEG", progressive=True)):
        np.testing.assert_array_equal(grey_levels(read(data).levels), np.asarray(Image.open(BytesIO(data))))


def test_colours_and_transparency():
    coloured = read(encoded(Image.fromarray(RGB)))
    np.testing.assert_allclose(grey_levels(coloured.levels), LUMA, atol=1e-3)
    assert coloured.photometric == "RGB"
    three_times = read(encoded(Image.fromarray(np.repeat(GREY[..., None], 3, axis=-1))))
    np.testing.assert_allclose(grey_levels(three_times.levels), GREY, atol=1e-3)
    alpha = np.full(GREY.shape, 255, dtype=np.uint8)
    alpha[:10] = 0
    transparent = read(encoded(Image.fromarray(np.dstack([RGB, alpha]))))
    assert (grey_levels(transparent.levels)[:10] == 0).all()
    np.testing.assert_allclose(grey_levels(transparent.levels)[10:], LUMA[10:], atol=1)
    palette = Image.fromarray(RGB).quantize(64)
    expected = np.asarray(palette.convert("RGB")) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey_levels(read(encoded(palette)).levels), expected, atol=1e-3)


def test_sixteen_bits_are_stretched_over_their_range():
    deep = GREY.astype(np.uint16) * 16 + 1000
    radiograph = read(encoded(Image.fromarray(deep)))
    np.testing.assert_allclose(grey_levels(radiograph.levels), GREY / 250 * 255, atol=1e-2)
    assert radiograph.window == "minmax"


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter clockwise
    radiograph = read(encoded(Image.fromarray(GREY), "PNG", exif=exif))
    np.testing.assert_array_equal(grey_levels(radiograph.levels), np.rot90(GREY, -1))


JPEG, PNG = encoded(Image.fromarray(GREY), "JPEG"), encoded(Image.fromarray(GREY))


@pytest.mark.parametrize(
    ("data", "settings", "reason"),
    [
        (JPEG[:-2], {}, "truncated_frame"),
        (JPEG[: len(JPEG) // 2], {}, "truncated_frame"),
        (JPEG[:20], {}, "decode_failed"),
        (PNG[: len(PNG) // 2], {}, "decode_failed"),
        (PNG[:-30] + b"\0" * 30, {}, "decode_failed"),
        (PNG[:30], {}, "decode_failed"),
        (PNG, {"max_pixels": 1199}, "too_large"),
        (encoded(Image.fromarray(GREY * 0 + 3)), {}, "constant_image"),
        (encoded(Image.fromarray(GREY), save_all=True, append_images=[Image.fromarray(GREY[::-1])]), {}, "multi_frame"),
    ],
)
def test_refusals(data, settings, reason):
    with pytest.raises(RejectionError) as caught:
        read(data, **settings)
    assert caught.value.reason == reason


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep_png(samples: np.ndarray, colour_type: int, *more: bytes) -> bytes:
    """A PNG of 16 bits a sample, written by hand: Pillow writes none in colour."""
    rows, columns = samples.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    header = struct.pack(">IIBBBBB", columns, rows, 16, colour_type, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_colour_are_stretched_like_grey(colour_type, samples):
    """12-bit values, of which the high bytes alone are 0 to 15."""
    deep = np.repeat((GREY.astype(np.uint16) * 16)[..., None], samples, axis=-1)
    if colour_type != 2:
        deep[..., -1] = 65535
    radiograph = read(deep_png(deep, colour_type))
    np.testing.assert_allclose(grey_levels(radiograph.levels), GREY / 250 * 255, atol=1e-2)
    assert (radiograph.window, radiograph.photometric) == ("minmax", "RGB")
    if colour_type != 2:
        deep[:10, :, -1] = 0  # transparent
        assert (grey_levels(read(deep_png(deep, colour_type)).levels)[:10] == 0).all()
        deep[:10, :, -1] = 65535
        deep[..., :-1] = 7
        with pytest.raises(RejectionError, match="same value"):
            read(deep_png(deep, colour_type))


def test_sixteen_bits_of_colour_keep_the_weights_and_the_key_of_transparency():
    deep = RGB.astype(np.uint16) * 16
    luma = LUMA - LUMA.min()
    np.testing.assert_allclose(grey_levels(read(deep_png(deep, 2)).levels), luma / luma.max() * 255, atol=1e-2)
    key = chunk(b"tRNS", deep[5, 5].astype(">u2").tobytes())
    keyed = (RGB[5, 5] == RGB).all(axis=-1)
    assert keyed.sum() < keyed.size / 2
    assert (grey_levels(read(deep_png(deep, 2, key)).levels)[keyed] == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_of_colour_are_turned_as_eight_are(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = read(encoded(Image.fromarray(RGB), exif=exif))
    deep = read(deep_png(RGB.astype(np.uint16) * 257, 2, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))))
    assert deep.shape == turned.shape
    expected = grey_levels(turned.levels) - LUMA.min()
    np.testing.assert_allclose(grey_levels(deep.levels), expected / expected.max() * 255, atol=1e-2)


def test_a_flipped_bit_of_a_png_is_refused_wherever_it_is():
    """Pillow verifies no checksum of IDAT; its zlib stream ends with one, but Pillow stops at the last pixel."""
    noise = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)))
    for place in range(8, len(noise)):
        damaged = bytearray(noise)
        damaged[place] ^= 1
        with pytest.raises(RejectionError) as caught:
            read(bytes(damaged))
        assert caught.value.reason == "decode_failed"
    with pytest.raises(RejectionError):
        read(noise[:-12])  # without IEND
    read(noise + b"\0" * 40)  # what follows IEND is no part of it


def test_view_of_the_index_decides():
    with pytest.raises(RejectionError) as caught:
        read(PNG, "LATERAL")
    assert caught.value.reason == "wrong_view"
    assert read(PNG, None).view is None
