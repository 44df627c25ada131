"""The bits of a lossless scan, counted from the picture: as many as libjpeg wrote, and never as many of another."""

import imagecodecs
import numpy as np
import pytest
from random_dicom import jpeg_lossless

from stages.common.radiographs.codestreams import read_scan

END = b"\xff\xd9"


def picture(seed: int) -> tuple[np.ndarray, int]:
    """Noise over the whole range (differences wrap around), a flat one, or a walk; from one pixel on."""
    random = np.random.default_rng(seed)
    bits, (rows, columns) = int(random.integers(9, 17)), random.integers(1, 90, 2)
    kinds = [
        lambda: random.integers(0, 2**bits, (rows, columns)),
        lambda: np.full((rows, columns), random.integers(2**bits)),
        lambda: (random.integers(-9, 10, (rows, columns)).cumsum(1) + 2 ** (bits - 1)).clip(0, 2**bits - 1),
    ]
    return kinds[seed % 3]().astype(np.uint16), bits


@pytest.mark.parametrize("seed", range(60))
def test_a_picture_is_all_of_its_own_scan(seed):
    values, bits = picture(seed)
    frame = jpeg_lossless(values, bits, predictor=1)
    scan = read_scan(frame)
    assert scan is not None
    assert scan.is_all_of(imagecodecs.jpeg8_decode(frame))
    cut = frame[: -2 - (len(frame) - frame.index(b"\xff\xda")) // 3].rstrip(b"\xff") + END
    if values.size > 200 and np.ptp(values):
        made_up = imagecodecs.jpeg8_decode(cut)
        assert not np.array_equal(made_up, values)
        assert not read_scan(cut).is_all_of(made_up)


def test_other_kinds_are_left_to_a_second_decoding():
    values, bits = picture(2)
    assert read_scan(jpeg_lossless(values, bits, predictor=4)) is None
    assert read_scan(bytes(imagecodecs.jpeg8_encode(values >> 8, level=90, bitspersample=12))) is None
    assert read_scan(b"\xff\xd8\xff") is None
