"""Decoding of pixel data: cross-checks of the encoding, then one decoder per transfer syntax.

Each transfer syntax has one decoder and no fallback, so that a file gives the same bytes on every machine. The codecs
get only the codestream, never the DICOM header: both were compared before, and nothing is corrected silently.
"""

import logging
import struct
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

import cv2
import imagecodecs
import numpy as np
import openjpeg
from jaxtyping import Integer, Shaped, UInt16
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)
from rle.rle import decode_segment

from .codestreams import (
    END_OF_IMAGE,
    Codestream,
    read_jpeg,
    read_jpeg2000,
    read_scan,
    refusing_what_codecs_warn_of,
)
from .parsing import NATIVE, DicomFile, name_of, raw, required_integer, single_frame
from .pixel_format import PixelFormat, check_native_size
from .rejection import RejectionError

# Its warnings would go to standard error for thousands of files, and may quote values of elements.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_SEQUENTIAL, _LOSSLESS, _JPEG_LS = {0xC0, 0xC1}, {0xC3}, {0xF7}  # SOF0, SOF1; SOF3; SOF55
_JPEG: dict[UID, set[int]] = {  # PS3.5 A.4.1, A.4.3: the frame headers that a transfer syntax may have
    JPEGBaseline8Bit: _SEQUENTIAL, JPEGExtended12Bit: _SEQUENTIAL,
    JPEGLossless: _LOSSLESS, JPEGLosslessSV1: _LOSSLESS,
    **dict.fromkeys(JPEGLSTransferSyntaxes, _JPEG_LS),
}  # fmt: skip
_JPEG2000 = set(JPEG2000TransferSyntaxes)  # including HTJ2K
# Irregular bytes other than 0 and 255 (no marker, no stuffing).
_SPARE = bytes(np.random.default_rng(0).integers(1, 255, 64, dtype=np.uint8))


@dataclass(frozen=True)
class Decoded:
    """Decoded words as the file holds them: no sign, shift or colour conversion has been applied to grey pixels."""

    words: Integer[np.ndarray, "rows columns *samples"]  # for YBR, three samples or only Y
    photometric: str  # of `words`: a decoder may undo a colour transformation


def decode(file: DicomFile, pixel_format: PixelFormat, reduce: int = 0) -> Decoded:
    """Decode the only frame; JPEG 2000 is halved up to `reduce` times.

    Raises RejectionError, also where a decoder panics.
    """
    syntax = file.syntax
    if syntax not in NATIVE and syntax not in _JPEG and syntax not in _JPEG2000 and syntax != RLELossless:
        raise RejectionError("transfer_syntax_unsupported", f"{name_of(syntax)}: no decoder")
    if pixel_format.photometric in ("YBR_ICT", "YBR_RCT") and syntax not in _JPEG2000:  # C.7.6.3.1.2
        raise RejectionError("photometric_unsupported", f"{pixel_format.photometric} in {syntax.name}")
    try:
        if syntax in NATIVE:
            return _decode_native(file, pixel_format)
        return _decode_frame(file, pixel_format, reduce)
    except (RejectionError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of pylibjpeg-rle is no Exception; messages may quote the file
        raise RejectionError("decode_failed", f"{type(error).__name__} while decoding {syntax.name}") from None


def _decode_native(file: DicomFile, pixel_format: PixelFormat) -> Decoded:
    """Decode native pixel data (PS3.5 8.1.1 and 8.2), without a copy where they are little endian."""
    check_native_size(pixel_format, len(file.pixels))
    big_endian, bits = file.syntax == ExplicitVRBigEndian, pixel_format.bits_allocated
    if file.vr not in ("OW", "OB", "UN", "") or (file.vr == "OB" and bits > 8):  # annex A.2: OW above 8 bits
        raise RejectionError("invalid_element", f"PixelData of VR {file.vr} with BitsAllocated {bits}")
    data = file.pixels
    if big_endian and file.vr == "OW" and bits <= 8:  # two bytes a word
        data = np.frombuffer(data, dtype=">u2").astype("<u2").data.cast("B")
    count = pixel_format.rows * pixel_format.columns
    if bits == 1:
        words = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count, bitorder="little")
        return Decoded(words.reshape(pixel_format.rows, pixel_format.columns), pixel_format.photometric)
    shape: tuple[int, ...] = pixel_format.rows, pixel_format.columns
    kind = np.dtype(f"{'>' if big_endian else '<'}{'i' if pixel_format.signed else 'u'}{bits // 8}")
    if pixel_format.photometric == "YBR_FULL_422":  # C.7.6.3.1.2: Y1 Y2 Cb Cr
        words = np.frombuffer(data, dtype=kind, count=2 * count).reshape(-1, 4)[:, :2]
    elif pixel_format.samples == 1:
        words = np.frombuffer(data, dtype=kind, count=count)
    else:
        words = _by_pixel(np.frombuffer(data, dtype=kind, count=count * pixel_format.samples), file, pixel_format)
        shape = words.shape
    return Decoded(words.reshape(shape).astype(kind.newbyteorder("="), copy=False), pixel_format.photometric)


def _by_pixel(
    words: Shaped[np.ndarray, "words"], file: DicomFile, pixel_format: PixelFormat
) -> Shaped[np.ndarray, "rows columns samples"]:
    """Arrange samples by pixel (C.7.6.3.1.3).

    PlanarConfiguration 0 stores the samples of a pixel side by side, 1 one plane after the other.
    """
    planar = required_integer(file.dataset, "PlanarConfiguration")
    if planar not in (0, 1):
        raise RejectionError("invalid_element", f"PlanarConfiguration is {planar}")
    rows, columns, samples = pixel_format.rows, pixel_format.columns, pixel_format.samples
    return np.moveaxis(words.reshape(samples, rows, columns), 0, -1) if planar else words.reshape(rows, columns, -1)


def _decode_frame(file: DicomFile, pixel_format: PixelFormat, reduce: int) -> Decoded:
    syntax, offsets = file.syntax, len(raw(file.dataset, "ExtendedOffsetTable")) // 8
    frame = single_frame(file.pixels, offsets, one_fragment=syntax == RLELossless)
    if syntax == RLELossless:
        return _decode_rle(frame, pixel_format)
    if pixel_format.high_bit != pixel_format.bits_stored - 1:
        message = f"BitsStored {pixel_format.bits_stored}, HighBit {pixel_format.high_bit} in {syntax.name}"
        raise RejectionError("bits_inconsistent", message)
    codestream = read_jpeg2000(frame) if syntax in _JPEG2000 else read_jpeg(frame)
    _check_codestream(codestream, pixel_format)
    if syntax in _JPEG2000:
        reduce = min(reduce, codestream.levels)
        if reduce and codestream.precision > 8:
            return Decoded(_reduced_jpeg2000(frame, codestream, reduce), pixel_format.photometric)
        return _decode_jpeg2000(frame, codestream, pixel_format)
    if codestream.process not in _JPEG[syntax]:
        raise RejectionError("codestream_mismatch", f"JPEG frame header {codestream.process:02X} in {syntax.name}")
    if syntax in JPEGLSTransferSyntaxes:
        return Decoded(_signed(imagecodecs.jpegls_decode(frame), codestream, pixel_format), pixel_format.photometric)
    return _decode_jpeg(frame, codestream, pixel_format)


def _check_codestream(codestream: Codestream, pixel_format: PixelFormat) -> None:
    found = (codestream.rows, codestream.columns, codestream.components)
    expected = (pixel_format.rows, pixel_format.columns, pixel_format.samples)
    if found != expected:
        sizes = [" x ".join(map(str, size)) for size in (found, expected)]
        raise RejectionError("codestream_mismatch", f"compressed image of {sizes[0]}, header says {sizes[1]}")
    # Fewer bits than BitsStored hold the same numbers, unless the highest of them is a sign. Eight bits where the
    # header says more are another matter: the image was scaled down to bytes, and its window was left as it was.
    stored = pixel_format.bits_stored
    fewest = stored if pixel_format.signed else 9 if stored > 8 else 1
    if not fewest <= codestream.precision <= pixel_format.bits_allocated:
        message = f"compressed samples of {codestream.precision} bits, BitsStored {pixel_format.bits_stored}, Bits"
        raise RejectionError("bits_inconsistent", f"{message}Allocated {pixel_format.bits_allocated}")
    if not codestream.complete:
        raise RejectionError("truncated_frame", "the compressed image ends before its end marker")
    if codestream.images > 1:
        raise RejectionError("multi_frame", "the pixel data hold several compressed images")


def _decode_jpeg(frame: bytes, codestream: Codestream, pixel_format: PixelFormat) -> Decoded:
    """Decode a JPEG with libjpeg-turbo.

    OpenCV's copy decodes 8 bits, because its warnings can be captured; that of imagecodecs decodes 2 to 16 bits, and
    colour. Where the codestream does not say which colours it has, PhotometricInterpretation does; libjpeg would guess.
    """
    if codestream.precision == 8 and (codestream.components == 1 or codestream.process not in _LOSSLESS):
        with refusing_what_codecs_warn_of():
            words = cv2.imdecode(
                np.frombuffer(frame, dtype=np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
            )
        if words is None:
            raise RejectionError("decode_failed", "the JPEG cannot be decoded")
        if codestream.components == 1:
            return Decoded(_signed(words, codestream, pixel_format), pixel_format.photometric)
    photometric, space = pixel_format.photometric, None
    if codestream.components == 3:
        photometric = codestream.colours or ("YBR" if photometric.startswith("YBR") else "RGB")
        space = "YCBCR" if photometric == "YBR" else "RGB"
    words = _jpeg8(frame, space)
    if not _is_whole(frame, words, space):
        raise RejectionError("truncated_frame", "the compressed image is damaged or ends before its last pixel")
    return Decoded(_signed(words, codestream, pixel_format), photometric)


def _jpeg8(frame: bytes, space: str | None) -> Shaped[np.ndarray, "rows columns *samples"]:
    """Return the samples as they are, of the one colour space that file and words have; None: grey."""
    return imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace=space)


def _is_whole(frame: bytes, words: Shaped[np.ndarray, "rows columns *samples"], space: str | None) -> bool:
    """Return whether a JPEG ends as it should: libjpeg invents what a scan lacks, and imagecodecs drops its warning."""
    scan = read_scan(frame) if words.ndim == 2 and words.dtype == np.uint16 else None
    if scan is not None:
        return scan.is_all_of(words)
    # For other kinds the scan is lengthened: the pixels of a whole image do not change.
    end = frame.rfind(END_OF_IMAGE)
    return np.array_equal(words, _jpeg8(frame[:end] + _SPARE + frame[end:], space))


def _signed(
    words: Integer[np.ndarray, "rows columns *samples"], codestream: Codestream, pixel_format: PixelFormat
) -> Integer[np.ndarray, "rows columns *samples"]:
    """Return words with the sign that JPEG and JPEG-LS do not store.

    Signed pixels (PixelRepresentation 1) are in two's complement with as many bits as the codestream's samples.
    Unsigned words are returned unchanged.
    """
    if not pixel_format.signed or words.ndim > 2:
        return words
    unused = 8 * words.itemsize - codestream.precision
    return (words << unused).view(f"i{words.itemsize}") >> unused


def _decode_rle(frame: bytes, pixel_format: PixelFormat) -> Decoded:
    """Decode RLE (PS3.5 annex G): one segment for each byte of each sample, the most significant byte first."""
    if pixel_format.bits_allocated < 8:
        raise RejectionError("bits_inconsistent", f"RLE with BitsAllocated {pixel_format.bits_allocated}")
    segments = pixel_format.samples * (pixel_format.bits_allocated // 8)
    count, *offsets = struct.unpack("<16L", frame[:64].ljust(64, b"\0"))
    used = offsets[:segments]
    if (count != segments or used[0] != 64 or any(offsets[segments:]) or sorted(set(used)) != used
            or used[-1] >= len(frame)):  # fmt: skip
        raise RejectionError("decode_failed", f"the RLE header does not list {segments} segments, one behind the other")
    with refusing_what_codecs_warn_of():
        planes = [decode_segment(frame[start:end]) for start, end in pairwise([*used, len(frame)])]
    size = pixel_format.rows * pixel_format.columns
    # G.3.1: a segment has an even length, so one zero may follow. A decoder that is told the size stops there, and
    # halved Rows would go unnoticed.
    if any(len(plane) != size and plane[size:] != b"\0" for plane in planes):
        raise RejectionError("codestream_mismatch", f"a segment does not hold Rows x Columns, {size} bytes")
    width = segments // pixel_format.samples
    shape = pixel_format.rows, pixel_format.columns
    samples = [_joined(planes[first : first + width], shape) for first in range(0, segments, width)]
    words = samples[0] if len(samples) == 1 else np.stack(samples, axis=-1)
    return Decoded(words.view(f"i{words.itemsize}") if pixel_format.signed else words, pixel_format.photometric)


def _joined(planes: list[bytes], shape: tuple[int, int]) -> Integer[np.ndarray, "rows columns"]:
    """Return unsigned words joined from planes of bytes, the most significant first."""
    least_first = [np.frombuffer(plane, dtype=np.uint8, count=shape[0] * shape[1]) for plane in reversed(planes)]
    words = cv2.merge([plane.reshape(shape) for plane in least_first])  # in one pass
    return words.view(f"<u{len(planes)}").reshape(shape)


def _decode_jpeg2000(frame: bytes, codestream: Codestream, pixel_format: PixelFormat) -> Decoded:
    """Decode JPEG 2000; OpenJPEG undoes the colour transformations.

    The codestream's own sign may contradict PixelRepresentation, which then counts.
    """
    if pixel_format.samples == 3 and pixel_format.photometric != "RGB":
        transformed = pixel_format.photometric in ("YBR_ICT", "YBR_RCT")
        if codestream.transformed != transformed:  # OpenJPEG would convert YBR_FULL colours that were never transformed
            raise RejectionError("codestream_mismatch", f"colours of the codestream are not {pixel_format.photometric}")
    with refusing_what_codecs_warn_of():
        words = openjpeg.decode(frame)
    if pixel_format.samples == 1 and (words.dtype.kind == "i") != pixel_format.signed:
        unsigned = words.view(f"u{words.dtype.itemsize}") & (2**codestream.precision - 1)
        words = unsigned.view(f"i{words.dtype.itemsize}") if pixel_format.signed else unsigned
    photometric = "RGB" if pixel_format.photometric in ("YBR_ICT", "YBR_RCT") else pixel_format.photometric
    return Decoded(words, photometric)


def _reduced_jpeg2000(frame: bytes, codestream: Codestream, reduce: int) -> UInt16[np.ndarray, "rows columns"]:
    """Decode without the finest wavelet levels, with Pillow's OpenJPEG: pylibjpeg's always decodes all levels."""
    with refusing_what_codecs_warn_of(), Image.open(BytesIO(frame), formats=("JPEG2000",)) as image:
        assert isinstance(image, Jpeg2KImageFile)  # as `formats` has it
        image.reduce = reduce
        image.load()
        if image.mode != "I;16":
            raise RejectionError("decode_failed", "JPEG 2000 of an unexpected kind (jpeg2000_reduce)")
        return np.asarray(image) >> (16 - codestream.precision)  # Pillow stretches samples to 16 bits
