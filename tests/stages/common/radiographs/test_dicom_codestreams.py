"""Headers of compressed frames, made by other encoders; cut, joined and resized."""

from io import BytesIO

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image

from stages.common.radiographs.codestreams import Codestream, read_jpeg, read_jpeg2000
from stages.common.radiographs.rejection import RejectionError

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"comment": "x" * 300}])
@pytest.mark.parametrize(("pixels", "components"), [(PIXELS, 3), (PIXELS[..., 0], 1)])
def test_jpeg(pixels, components, options):
    frame = jpeg(pixels, **options)
    process = 0xC2 if "progressive" in options else 0xC0
    whole = Codestream(37, 53, components, 8, complete=True, images=1, process=process, colours="YBR")
    assert read_jpeg(frame) == whole
    assert read_jpeg(frame + b"\0") == whole
    assert not read_jpeg(frame[:-2]).complete
    assert not read_jpeg(frame[: len(frame) * 3 // 4]).complete
    assert read_jpeg(frame + frame).images == 2


@pytest.mark.parametrize("wrap", [b"", b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 30])
def test_jpeg2000(wrap):
    frame = wrap + bytes(encode_array(PIXELS[..., 0].astype(np.uint16) * 16, bits_stored=12))
    assert read_jpeg2000(frame) == Codestream(37, 53, 1, 12, complete=True, images=1, levels=5)
    assert not read_jpeg2000(frame[:-2]).complete
    assert not read_jpeg2000(frame[:300]).complete
    assert read_jpeg2000(frame + frame).images == 2


@pytest.mark.parametrize("read", [read_jpeg, read_jpeg2000])
@pytest.mark.parametrize(
    "frame", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", b"\xff\x4f\xff\x51\0", b"abc" * 99]
)
def test_what_is_no_codestream_is_refused(read, frame):
    with pytest.raises(RejectionError) as caught:
        read(frame)
    assert caught.value.reason == "decode_failed"
