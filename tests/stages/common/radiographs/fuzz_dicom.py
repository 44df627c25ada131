"""Mutated DICOM files through the reader: each must become an image or a known reason, within its limits.

    PYTHONPATH=.:tests python tests/stages/common/radiographs/fuzz_dicom.py --cases 100000 --seed 0 --seconds-each 30

An image is compared with what pydicom makes of the same bytes, where its pipeline has an answer. Findings are
`unexpected_error`, `died`, `too slow` and `image, not pydicom's`; the command prints their numbers and ends with 1.
Case i of seed s is always the same file: --only i writes it out.
"""

import argparse
import struct
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes
from random_dicom import drawn
from written_dicom import grey_levels

from stages.common.radiographs.isolation import Limits, map_isolated
from stages.common.radiographs.readers import is_dicom, read_dicom
from stages.common.radiographs.rejection import RejectionError
from stages.dicom_to_arrow.contract import DicomToArrowSettings

SETTINGS = DicomToArrowSettings(
    modalities=(), sop_classes=(), views=(), burned_in="accept", max_pixels=4_000_000, max_file_bytes=32 * 2**20
)
FINDINGS = ("unexpected_error", "died", "too slow", "image, not pydicom's")
_GDCM = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes}
_MEMORY = 1_000_000_000  # bytes
# What a value may be replaced by: the ends of types, text for numbers, nothing
_VALUES = [
    b"", b"\0\0", b"\1\0", b"\2\0", b"\x0b\0", b"\x0c\0", b"\x10\0", b"\x20\0", b"\xff\xff", b"\xff\x7f", b"\0\x80",
    b"0 ", b"-1", b"1e308 ", b"nan ", b"1,5 ", b"1\\2 ", b"\\ ", b"9" * 16, b"MONOCHROME1 ", b"RGB ", b"INVERSE ",
    b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.5\0",
]  # fmt: skip


@cache
def originals(folder: Path | None) -> list[bytes]:
    """Drawn files, and the small ones of a folder of real files."""
    files = [drawn(np.random.default_rng(number)).data for number in range(150)]
    paths = sorted(folder.rglob("*")) if folder else []
    real = [path.read_bytes() for path in paths if path.is_file() and path.stat().st_size < 300_000]
    return files + [data for data in real if is_dicom(data)]


def elements(data: bytes) -> list[tuple[int, int, int]]:
    """(start, start of the value, end) of the elements of an explicit little endian file, while they can be read."""
    found, position = [], 132
    while position + 8 <= len(data):
        vr = data[position + 4 : position + 6]
        if not vr.isalpha():
            break
        if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
            value, length = position + 12, int.from_bytes(data[position + 8 : position + 12], "little")
        else:
            value, length = position + 8, int.from_bytes(data[position + 6 : position + 8], "little")
        end = min(value + length, len(data))
        found.append((position, value, end))
        position = end
    return found


def mutated(number: int, seed: int, folder: Path | None) -> bytes:
    """Case `number` of `seed`: an original with one to three changes."""
    random = np.random.default_rng((seed, number))
    files = originals(folder)
    data = files[random.integers(len(files))]
    for _ in range(random.integers(1, 4)):
        data = _changed(data, random, files)
    return data


def _changed(data: bytes, random: np.random.Generator, files: list[bytes]) -> bytes:
    if len(data) < 200:
        return data
    walked = elements(data)
    header = walked[-1][0] if walked else len(data)  # the pixel data come last; half of the changes hit what is before
    place = int(random.integers(132, header if random.integers(2) and header > 132 else len(data)))
    start, value, end = walked[random.integers(len(walked))] if walked else (place, place, place)
    kind = random.integers(11)
    if 2 <= kind <= 5 and random.integers(4):  # in the header these leave nothing to read
        place = int(random.integers(min(header + 12, len(data) - 1), len(data)))
    if kind == 0:  # a bit
        return data[:place] + bytes([data[place] ^ 1 << int(random.integers(8))]) + data[place + 1 :]
    if kind == 1:  # some bytes
        noise = random.integers(0, 256, int(random.integers(1, 9)), dtype=np.uint8).tobytes()
        return data[:place] + noise + data[place + len(noise) :]
    if kind == 2:  # inserted
        return data[:place] + bytes(int(random.integers(1, 9))) + data[place:]
    if kind == 3:  # taken out
        return data[:place] + data[place + int(random.integers(1, 200)) :]
    if kind == 4:  # cut
        return data[:place]
    if kind == 5:  # the rest of another file
        other = files[random.integers(len(files))]
        return data[:place] + other[min(place, len(other) - 1) :]
    if kind == 6:  # an element twice, or gone
        return data[:end] + data[start:end] + data[end:] if random.integers(2) else data[:start] + data[end:]
    if kind == 7 and end - value in (1, 2, 4):  # a number changed by a little
        changed = int.from_bytes(data[value:end], "little") + int(random.choice([-1, 1, -8, 8, 256]))
        return data[:value] + (changed % 256 ** (end - value)).to_bytes(end - value, "little") + data[end:]
    if kind == 8:  # another length
        return data[: value - 2] + struct.pack("<H", int(random.integers(65536))) + data[value:]
    new = _VALUES[random.integers(len(_VALUES))]
    return data[: value - 2] + struct.pack("<H", len(new)) + new + data[end:]


def outcome(number: int, seed: int, folder: Path | None) -> str:
    """The reason of a reject; of an image, whether pydicom sees the same."""
    data = mutated(number, seed, folder)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            if not is_dicom(data):
                return "not_an_image"
            radiograph = read_dicom(data, None, SETTINGS)
            radiograph.square(64)
            if not np.isfinite(grey_levels(radiograph.levels)).all():
                return "unexpected_error: not finite"
        except RejectionError as rejection:
            return rejection.reason
        except MemoryError:
            return "out_of_memory"
        except Exception as error:
            return f"unexpected_error: {type(error).__name__}"
        expected = of_pydicom(data)
    if expected is None:
        return "image"
    same = expected.shape == radiograph.shape and np.abs(expected - grey_levels(radiograph.levels)).max() < 2
    return "image, as pydicom's" if same else "image, not pydicom's"


def of_pydicom(data: bytes) -> np.ndarray | None:
    """Grey levels by pydicom's decoders and tables; None where it refuses, or its pipeline lacks a clause."""
    try:
        dataset = dcmread(BytesIO(data), force=True)
        if dataset.file_meta.TransferSyntaxUID in _GDCM:  # aborts on damage, and forgets signs
            return None
        without_a_clause = ("PixelPaddingValue" in dataset or dataset.HighBit != dataset.BitsStored - 1
                            or (dataset.original_encoding[0] and "VOILUTSequence" in dataset)  # sign of its values
                            or any(element.tag.group & 0xFF00 == 0x6000 for element in dataset)
                            or not dataset.PhotometricInterpretation.startswith("MONOCHROME"))  # fmt: skip
        if without_a_clause:
            return None
        dataset.pixel_array_options(decoding_plugin="pylibjpeg")  # gdcm may abort
        values = apply_modality_lut(dataset.pixel_array, dataset).astype(np.float64)
        shown = _voi(values, dataset)
    except Exception:
        return None
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    return 255 * (1 - shown if inverted else shown)


def _voi(values: np.ndarray, dataset: object) -> np.ndarray:
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        if bits == 8:  # of 8-bit tables its indices overflow
            raise NotImplementedError
        return apply_voi_lut(np.rint(values).astype(np.int64), dataset, prefer_lut=True) / (2**bits - 1)
    center, width = ([] if dataset.get(name) is None else np.atleast_1d(dataset[name].value)[:1]
                     for name in ("WindowCenter", "WindowWidth"))  # fmt: skip
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if not len(center) or not len(width) or width[0] <= 0 or (function == "LINEAR" and width[0] < 1):
        return (values - values.min()) / np.ptp(values)
    center, width = float(center[0]), float(width[0])
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return ((values - center) / width + 0.5).clip(0, 1) if width else (values > center).astype(np.float64)


def outcomes(cases: int, seed: int, seconds_each: float, folder: Path | None = None) -> Iterator[str]:
    """The outcome of each case, in order, from one child process that is replaced where it dies."""
    function = partial(outcome, seed=seed, folder=folder)
    return map_isolated(function, range(cases), 1, Limits(seconds_each, _MEMORY))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds-each", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, help="more originals: a folder of DICOM files")
    parser.add_argument("--only", type=int, help="write this case to --output and tell its outcome")
    parser.add_argument("--output", type=Path, help="of --only: the file; else: the table of outcomes")
    options = parser.parse_args()
    if options.only is not None:
        options.output.write_bytes(mutated(options.only, options.seed, options.folder))
        print(outcome(options.only, options.seed, options.folder))
        return 0
    counts, findings = Counter(), {}
    for number, each in enumerate(outcomes(options.cases, options.seed, options.seconds_each, options.folder)):
        counts[each] += 1
        if each.startswith(FINDINGS):
            findings.setdefault(each, []).append(number)
    table = ["| outcome | cases |", "|---|---|", *(f"| {name} | {count} |" for name, count in counts.most_common())]
    text = "\n".join([*table, "", *(f"{name}: {numbers}" for name, numbers in findings.items())])
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
