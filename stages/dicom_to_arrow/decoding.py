"""Pixel data to an array: cross-checks of the encoding, then one decoder for each transfer syntax.

Each transfer syntax has one decoder and no fallback, so that a file gives the same bytes on every machine.
"""

import logging
from dataclasses import dataclass

import gdcm
import numpy as np
import openjpeg
import rle
from jaxtyping import Integer
from pydicom import Dataset
from pydicom.encaps import generate_fragments, get_frame, parse_basic_offsets
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from stages.dicom_to_arrow.codec_warnings import refusing_what_codecs_warn_of
from stages.dicom_to_arrow.codestreams import Codestream, read_jpeg, read_jpeg2000
from stages.dicom_to_arrow.elements import raw, text
from stages.dicom_to_arrow.pixel_format import NATIVE, PixelFormat, check_native_size
from stages.dicom_to_arrow.rejection import RejectionError

# What they say would go to standard error for thousands of files, and may quote values of elements.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()

_GDCM = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes}
_OPENJPEG = set(JPEG2000TransferSyntaxes)  # HTJ2K among them
_FRAGMENT = b"\xfe\xff\x00\xe0"  # item tag, little endian as every encapsulated syntax is


@dataclass(frozen=True)
class Decoded:
    """The words as the file holds them: no sign, shift or colour conversion has been applied to grey pixels."""

    words: Integer[np.ndarray, "rows columns *samples"]
    photometric: str  # of `words`: a decoder may undo a colour transformation


def decode(dataset: Dataset, pixel_format: PixelFormat) -> Decoded:
    """Decode the only frame. Raises RejectionError, also where a decoder panics."""
    syntax = transfer_syntax(dataset)
    data = raw(dataset, "PixelData")
    try:
        if syntax in NATIVE:
            check_native_size(pixel_format, len(data))
            return _decode_with_pydicom(dataset, pixel_format, syntax, "")
        with refusing_what_codecs_warn_of():
            return _decode_frame(dataset, pixel_format, syntax)
    except (RejectionError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of pylibjpeg-rle is no Exception; and messages may quote the file
        raise RejectionError("decode_failed", f"{type(error).__name__} while decoding {syntax.name}") from None


def transfer_syntax(dataset: Dataset) -> UID:
    """The transfer syntax, checked against whether PixelData is encapsulated.

    A file without File Meta Information has native pixel data, in the encoding that its elements were read with.
    """
    data = raw(dataset, "PixelData")
    encapsulated = data[:4] == _FRAGMENT and dataset["PixelData"].is_undefined_length
    syntax = UID(text(dataset.file_meta, "TransferSyntaxUID"))
    if not syntax and not encapsulated:
        implicit, little_endian = dataset.original_encoding
        syntax = NATIVE[0] if implicit else NATIVE[1] if little_endian else NATIVE[2]
        dataset.file_meta.TransferSyntaxUID = syntax
    if syntax not in NATIVE and syntax not in _GDCM | _OPENJPEG | {RLELossless}:
        name = syntax.name if syntax.name != syntax else "an unknown transfer syntax"
        raise RejectionError("transfer_syntax_unsupported", f"{name}: no decoder")
    if data and encapsulated != (syntax not in NATIVE):
        kind = "encapsulated" if encapsulated else "native"
        raise RejectionError("transfer_syntax_unsupported", f"{kind} pixel data under {syntax.name}")
    return syntax


def _decode_frame(dataset: Dataset, pixel_format: PixelFormat, syntax: UID) -> Decoded:
    frame = _single_frame(dataset, syntax)
    if syntax == RLELossless:
        return _decode_rle(frame, pixel_format)
    if pixel_format.high_bit != pixel_format.bits_stored - 1:
        message = f"BitsStored {pixel_format.bits_stored}, HighBit {pixel_format.high_bit} in {syntax.name}"
        raise RejectionError("bits_inconsistent", message)
    codestream = read_jpeg2000(frame) if syntax in _OPENJPEG else read_jpeg(frame)
    _check_codestream(codestream, pixel_format)
    if syntax in _OPENJPEG:
        return _decode_jpeg2000(frame, codestream, pixel_format)
    return _decode_with_pydicom(dataset, pixel_format, syntax, "gdcm")


def _single_frame(dataset: Dataset, syntax: UID) -> bytes:
    """The compressed bytes of the only frame; several frames under NumberOfFrames 1 are refused."""
    data = raw(dataset, "PixelData")
    frames = max(len(parse_basic_offsets(data)), len(raw(dataset, "ExtendedOffsetTable")) // 8)
    if syntax == RLELossless:  # A.4.2: a frame is one fragment; the first item is the offset table
        frames = max(frames, sum(1 for _ in generate_fragments(data)) - 1)
    if frames > 1:
        raise RejectionError("multi_frame", f"the pixel data hold {frames} frames")
    return get_frame(data, 0, number_of_frames=1)


def _check_codestream(codestream: Codestream, pixel_format: PixelFormat) -> None:
    found = (codestream.rows, codestream.columns, codestream.components)
    expected = (pixel_format.rows, pixel_format.columns, pixel_format.samples)
    if found != expected:
        sizes = [" x ".join(map(str, size)) for size in (found, expected)]
        raise RejectionError("codestream_mismatch", f"compressed image of {sizes[0]}, header says {sizes[1]}")
    if codestream.precision > pixel_format.bits_allocated:
        message = f"compressed samples of {codestream.precision} bits, BitsAllocated {pixel_format.bits_allocated}"
        raise RejectionError("bits_inconsistent", message)
    if not codestream.complete:
        raise RejectionError("truncated_frame", "the compressed image ends before its end marker")
    if codestream.images > 1:
        raise RejectionError("multi_frame", "the pixel data hold several compressed images")


def _decode_with_pydicom(dataset: Dataset, pixel_format: PixelFormat, syntax: UID, plugin: str) -> Decoded:
    """Native pixel data, and JPEG and JPEG-LS through GDCM."""
    # correct_unused_bits would wrap values above BitsStored without a word; stored_values() looks at them instead.
    options = {} if syntax in JPEGLSTransferSyntaxes else {"correct_unused_bits": False}
    options |= {"view_only": True} if syntax in NATIVE and pixel_format.bits_allocated > 1 else {}
    words, description = get_decoder(syntax).as_array(
        dataset, index=0, raw=True, decoding_plugin=plugin, number_of_frames=1, **options
    )
    words = words.astype(words.dtype.newbyteorder("="), copy=False)
    return Decoded(words, str(description["photometric_interpretation"]))


def _decode_rle(frame: bytes, pixel_format: PixelFormat) -> Decoded:
    """PS3.5 annex G: one plane a sample."""
    shape = (pixel_format.samples, pixel_format.rows, pixel_format.columns)
    buffer = rle.decode_pixel_data(
        frame, version=2, rows=shape[1], columns=shape[2], bits_allocated=pixel_format.bits_allocated, byteorder="<"
    )
    kind = f"<{'i' if pixel_format.signed else 'u'}{max(1, pixel_format.bits_allocated // 8)}"
    planes = np.frombuffer(buffer, dtype=kind).reshape(shape)
    return Decoded(planes[0] if shape[0] == 1 else np.moveaxis(planes, 0, -1), pixel_format.photometric)


def _decode_jpeg2000(frame: bytes, codestream: Codestream, pixel_format: PixelFormat) -> Decoded:
    """OpenJPEG undoes the colour transformations. The codestream's own sign may contradict PixelRepresentation."""
    words = openjpeg.decode(frame)
    if pixel_format.samples == 1 and (words.dtype.kind == "i") != pixel_format.signed:
        unsigned = words.view(f"u{words.dtype.itemsize}") & (2**codestream.precision - 1)
        words = unsigned.view(f"i{words.dtype.itemsize}") if pixel_format.signed else unsigned
    photometric = "RGB" if pixel_format.photometric in ("YBR_ICT", "YBR_RCT") else pixel_format.photometric
    return Decoded(words, photometric)
