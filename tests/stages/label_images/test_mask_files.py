"""Masks in PNG files: stored samples decide, and whatever may be another mask than it seems is refused."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from stages.common.data.run_lengths import decode
from stages.label_images.mask_files import MaskError, read_mask

SHAPE = (5, 7)
INSIDE = np.zeros(SHAPE, dtype=bool)
INSIDE[1:3, 2:6] = True
INSIDE[4, 0] = True
ONES = INSIDE.astype(np.uint8)
SETTINGS = {"layout": "folder", "finding": "f", "table": "t.csv", "identifiers": "distributed",
            "columns": {"image": "file", "target": "sick", "mask": "mask", "lung_mask": "lung"}}  # fmt: skip


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(ONES, "P")
    image.putpalette([0, 0, 0, *colour])
    return image


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep_colours(samples: np.ndarray, *more: bytes) -> bytes:
    """A PNG of RGB with 16 bits, which Pillow does not write."""
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, 2, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


def blue(value: int, kind: type = np.uint8) -> np.ndarray:
    """Every colour but blue is 0; Pillow's grey of it is 0, too."""
    return np.dstack([ONES * 0, ONES * 0, ONES]).astype(kind) * kind(value)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., np.ndarray]:
    def read(data: bytes, shape: tuple[int, int] = SHAPE) -> np.ndarray:
        (tmp_path / "m.png").write_bytes(data)
        return read_mask(tmp_path, "m.png", *shape)

    return read


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(INSIDE)),
        saved(Image.fromarray(ONES)),
        saved(Image.fromarray(ONES * 255)),
        saved(Image.fromarray(ONES.astype(np.uint16))),
        saved(Image.fromarray(ONES.astype(np.uint16) * 256)),
        saved(palette((255, 255, 255))),
        saved(palette((0, 0, 1))),
        saved(palette((0, 0, 0))),
        saved(palette((0, 0, 0)), bits=2),
        saved(Image.fromarray(blue(1))),
        deep_colours(blue(1, np.uint16)),
        deep_colours(blue(256, np.uint16)),
    ],
)
def test_any_sample_or_index_but_zero_is_inside(read, data):
    np.testing.assert_array_equal(read(data), INSIDE)


GREY = Image.fromarray(ONES * 255)
ALPHA = Image.fromarray(np.dstack([ONES * 0, ONES * 0, ONES * 0, ONES * 255]))
FRAMES = saved(GREY, save_all=True, append_images=[Image.fromarray(255 - ONES)])
FLOATS = saved(Image.fromarray(ONES.astype(np.float32) / 2), "TIFF")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (saved(GREY, "JPEG"), "the file is not a PNG"),
        (saved(GREY, "GIF"), "the file is not a PNG"),
        (FLOATS, "the file is not a PNG"),
        (b"", "the file is not a PNG"),
        (saved(ALPHA), "it has transparency"),
        (saved(ALPHA.convert("LA")), "it has transparency"),
        (saved(palette((255, 0, 0)), transparency=0), "it has transparency"),
        (saved(GREY, transparency=0), "it has transparency"),
        (FRAMES, "it has several frames"),
        (saved(GREY)[:-20], "a chunk of the PNG is cut, or its checksum is wrong"),
        (saved(GREY).replace(b"IEND", b"IENd"), "a chunk of the PNG is cut, or its checksum is wrong"),
        (saved(Image.fromarray(ONES[:4])), "4 x 7 pixels, but the image has 5 x 7"),
        (saved(Image.fromarray(ONES.T)), "7 x 5 pixels, but the image has 5 x 7"),
    ],
)
def test_what_may_be_another_mask_is_refused(read, data, complaint):
    with pytest.raises(MaskError, match=complaint) as caught:
        read(data)
    assert caught.value.remedy


def test_a_flipped_bit_is_refused_wherever_it_is(read):
    whole = saved(GREY)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises(MaskError):
            read(bytes(damaged))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_a_mask_is_turned_as_images_are(read, orientation, deep):
    """What EXIF's table says of the first stored row and column, written as transformations of the upright mask."""
    stored = {1: INSIDE, 2: np.fliplr(INSIDE), 3: np.rot90(INSIDE, 2), 4: np.flipud(INSIDE), 5: INSIDE.T,
              6: np.rot90(INSIDE), 7: np.rot90(INSIDE.T, 2), 8: np.rot90(INSIDE, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    if deep:
        samples = np.repeat(stored[..., None], 3, axis=-1).astype(np.uint16)
        data = deep_colours(samples, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        data = saved(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read(data), INSIDE)


def test_more_pixels_than_pillow_decodes_are_one_error(read, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(MaskError, match="5 x 7 pixels are too many to decode"):
        read(saved(GREY))
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 100, zip=True)
    with pytest.raises(MaskError, match="cannot be decoded"):
        read(saved(GREY, pnginfo=text))


def test_links_must_stay_below_the_root_and_pipes_are_not_waited_on(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "out.png").write_bytes(saved(GREY))
    (root / "in.png").write_bytes(saved(GREY))
    (root / "inside.png").symlink_to("in.png")
    (root / "outside.png").symlink_to(tmp_path / "out.png")
    (root / "folder").symlink_to(tmp_path)
    assert read_mask(root, "inside.png", *SHAPE).any()
    for name in ("outside.png", "folder/out.png"):
        with pytest.raises(MaskError, match="a link leads out of the data set's root") as caught:
            read_mask(root, name, *SHAPE)
        assert "name the folder in the data set's `roots`" in caught.value.remedy
    for name, complaint in (("gone.png", "the file is missing"), (".", "not a regular file")):
        with pytest.raises(MaskError, match=complaint):
            read_mask(root, name, *SHAPE)


def test_masks_without_a_pixel_count_as_none_with_a_warning(labelled, tmp_path, write_csv, capsys):
    (tmp_path / "full.png").write_bytes(saved(GREY))
    (tmp_path / "empty.png").write_bytes(saved(Image.fromarray(ONES * 0)))
    rows = [["a", "1", "empty.png", "empty.png"], ["b", "1", "full.png", "full.png"], ["c", "0", "empty.png", ""],
            ["d", "0", "", ""]]  # fmt: skip
    write_csv(tmp_path / "t.csv", [["file", "sick", "mask", "lung"], *rows])
    result = labelled(tmp_path, SETTINGS, dict.fromkeys("abcd"), shape=SHAPE)
    assert [(row["target"], row["mask"] is None) for row in result.rows] == [
        (1, True), (1, False), (0, False), (0, True)]  # fmt: skip
    assert (decode(result.row("b")["mask"], *SHAPE) == INSIDE).all()
    assert (result.card["positives"], result.card["masks"], result.card["lung_masks"]) == (2, 2, 1)
    warning = next(line for line in capsys.readouterr().err.splitlines() if "pixel" in line)
    assert "t.csv: row 2: mask of image a: it has no pixel (2 such), so it is as if no mask was named" in warning


def test_a_refused_mask_is_one_line_with_row_image_and_remedy(refusal, tmp_path, write_csv):
    (tmp_path / "Smith.png").write_bytes(saved(GREY, "JPEG"))
    write_csv(tmp_path / "t.csv", [["file", "sick", "mask", "lung"], ["a", "1", "Smith.png", ""], ["b", "0", "", ""]])
    line = refusal(tmp_path, SETTINGS, dict.fromkeys("ab"), shape=SHAPE)
    assert "t.csv: row 2: mask of image a: the file is not a PNG; save it as a PNG of one channel" in line
    assert "Smith" not in line
