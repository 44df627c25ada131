"""Radiographs drawn at random over what the standard allows, each with the picture that it must show.

The truth is written down here from the clauses (PS3.3 C.7.6.3, C.11.1, C.11.2), independently of the reader: whole
images in float64, no tables, no blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from written_dicom import file_bytes, make_compressed, make_dataset, rle_frame


def jpeg_lossless(words: np.ndarray, bits: int, predictor: int) -> bytes:
    words = words.astype(np.uint8) if bits <= 8 else words
    return bytes(imagecodecs.jpeg8_encode(words, lossless=True, predictor=predictor, bitspersample=bits))


NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
# Encoders of words (unsigned: two's complement where the pixels are signed) of so many bits
ENCODERS: dict[UID, Callable[[np.ndarray, int], bytes]] = {
    JPEGLosslessSV1: lambda words, bits: jpeg_lossless(words, bits, predictor=1),
    JPEGLossless: lambda words, bits: jpeg_lossless(words, bits, predictor=6),
    JPEGLSLossless: lambda words, _: bytes(imagecodecs.jpegls_encode(words)),
    JPEG2000Lossless: lambda words, bits: bytes(encode_array(words, bits_stored=bits)),
    HTJ2KLossless: lambda words, _: bytes(imagecodecs.htj2k_encode(words)),
    RLELossless: lambda words, _: rle_frame(words),
}  # fmt: skip
_WORDS_ONLY = (JPEGLSLossless, HTJ2KLossless)  # their encoders write as many bits as a word has


@dataclass(frozen=True)
class Case:
    data: bytes
    grey: np.ndarray  # float64, 0 to 255
    description: str


def drawn(random: np.random.Generator) -> Case:
    """One file: size, bits, sign, transfer syntax, Modality LUT, VOI, polarity, padding and overlay at random."""
    rows, columns = (int(side) for side in random.integers(33, 80, 2))  # OpenJPEG encodes nothing below 32
    bits = int(random.choice([8, 10, 12, 13, 14, 15, 16]))
    signed, syntax = bool(random.integers(2)), random.choice([*NATIVE, *ENCODERS])
    syntax = UID(str(syntax))
    bytes_each = 1 if bits == 8 and random.integers(2) else 2
    values = _picture(random, rows, columns, bits) - (2 ** (bits - 1) if signed else 0)
    elements: dict[str, Any] = {"BitsAllocated": 8 * bytes_each, "BitsStored": bits, "HighBit": bits - 1}
    padding = None
    if random.integers(3) == 0:
        padding = np.zeros(values.shape, dtype=bool)
        padding[: int(random.integers(1, rows // 2))] = True
        pad = int(values.min())
        values[~padding] = np.maximum(values[~padding], pad + 5)
        values[padding] = pad + random.integers(0, 4, int(padding.sum()))
        elements["PixelPaddingValue"], elements["PixelPaddingRangeLimit"] = pad, pad + 3
    grey, described = _shown(random, values, padding, elements)
    words = values & (2**bits - 1) if random.integers(2) or syntax in ENCODERS else values & (2 ** (8 * bytes_each) - 1)
    if syntax in NATIVE and bits < 16 and bytes_each == 2 and random.integers(4) == 0:  # left-justified
        elements["HighBit"], words = 15, (words & (2**bits - 1)) << (16 - bits)
        padding_elements = [key for key in elements if key.startswith("PixelPadding")]
        assert len(padding_elements) in (0, 2)
    stored = words.astype(f"u{bytes_each}")
    typed = stored.view(f"i{bytes_each}") if signed else stored
    if syntax in ENCODERS:
        frame = ENCODERS[syntax](stored, 8 * bytes_each if syntax in _WORDS_ONLY else bits)
        dataset = make_compressed(typed, frame, syntax, **elements)
    else:
        dataset = make_dataset(typed, syntax, **elements)
    name = f"{rows}x{columns} {bits} bits in {bytes_each} signed={signed} {syntax.name} {described}"
    return Case(file_bytes(dataset), grey, name)


def _picture(random: np.random.Generator, rows: int, columns: int, bits: int) -> np.ndarray:
    """Smooth with some noise, both ends of the range in it."""
    y, x = np.mgrid[0:rows, 0:columns]
    wave = np.sin(y / random.uniform(3, 20)) * np.cos(x / random.uniform(3, 20)) + random.normal(0, 0.02, y.shape)
    share = (wave - wave.min()) / np.ptp(wave)
    return np.rint(share * (2**bits - 1)).astype(np.int64)


def _shown(
    random: np.random.Generator, values: np.ndarray, padding: np.ndarray | None, elements: dict[str, Any]
) -> tuple[np.ndarray, str]:
    """The grey levels, by the clauses; the elements that ask for them are added."""
    used = np.ones(values.shape, dtype=bool) if padding is None else ~padding
    out = values.astype(np.float64)
    if random.integers(2):
        slope, intercept = float(random.choice([1, 0.5, 2, -1, 0.37])), float(random.choice([0, -1024, 37.5]))
        elements["RescaleSlope"], elements["RescaleIntercept"] = str(slope), str(intercept)
        out = out * slope + intercept
    kind = str(random.choice(["none", "LINEAR", "LINEAR_EXACT", "SIGMOID", "table"]))
    low, high = out[used].min(), out[used].max()
    if kind == "none":
        shown = (out - low) / (high - low)
    elif kind == "table":
        count, bits = int(random.integers(2, 500)), int(random.choice([8, 10, 16]))
        first = int(np.clip(random.integers(int(low) - 5, int(high)), -30000, 60000))
        entries = np.sort(random.integers(0, 2**bits, count))
        entries[0], entries[-1] = 0, 2**bits - 1
        item = Dataset()
        item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count, first, bits])
        item.add_new("LUTData", "US", [int(entry) for entry in entries])
        elements["VOILUTSequence"] = [item]
        shown = entries[np.clip(np.rint(out) - first, 0, count - 1).astype(int)] / (2**bits - 1)
    else:
        center = round(float(random.uniform(low, high)), 1)
        width = float(random.choice([1.0, round(float(random.uniform(2, 1.5 * (high - low))), 1)]))
        elements |= {"VOILUTFunction": kind, "WindowCenter": str(center), "WindowWidth": str(width)}
        if kind == "SIGMOID":
            with np.errstate(over="ignore"):
                shown = 1 / (1 + np.exp(-4 * (out - center) / width))
        elif kind == "LINEAR_EXACT":
            shown = ((out - center) / width + 0.5).clip(0, 1)
        elif width == 1:
            shown = (out > center - 0.5).astype(float)
        else:
            shown = ((out - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    monochrome1 = bool(random.integers(2))
    elements["PhotometricInterpretation"] = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    if random.integers(2):
        elements["PresentationLUTShape"] = "INVERSE" if monochrome1 else "IDENTITY"
    grey = 255 * (1 - shown if monochrome1 else shown)
    grey[~used] = 0
    return grey, f"{kind} {'padded ' if padding is not None else ''}{elements['PhotometricInterpretation']}"
