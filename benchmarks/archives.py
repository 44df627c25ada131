"""Time of reading members of archives in place, against plain files: `python -m benchmarks.archives`.

Writes files of about 100 kB, half of which compresses, once as a folder and once as each kind of archive, and reads 300
of them, in order and in random order, through the function that every stage reads with. The page cache is warm.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from stages.common.files import archives
from stages.common.files.rooted_files import check_folders, read_under

_FORMATS = {"zip": "zip", "tar": "tar", "tar.gz": "gztar"}
_BYTES = 100_000


def main() -> None:
    """Print a row of milliseconds per file for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="files in each archive")
    parser.add_argument("--read", type=int, default=300, help="files that are read")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        names = _written(place / "folder", arguments.files)
        roots = {"folder": place / "folder"}
        for kind, form in _FORMATS.items():
            roots[kind] = Path(shutil.make_archive(str(place / "packed"), form, place / "folder"))
        print("| kind | first opening, s | opening again, s | in order, ms per file | at random, ms per file |")
        print("|---|---|---|---|---|")
        for kind, root in roots.items():
            first, again = (_seconds_to_open(root, place / "private") for _ in range(2))
            shuffled = list(np.random.default_rng(0).permutation(names))
            start = len(names) // 2
            orders = names[start : start + arguments.read], shuffled[: arguments.read]
            times = [_milliseconds(root, order, arguments.rounds) for order in orders]
            print(f"| {kind} | {first:.2f} | {again:.3f} | {times[0]:.2f} | {times[1]:.2f} |")


def _written(folder: Path, count: int) -> list[str]:
    noise, names = np.random.default_rng(0), [f"images/{number:06d}.png" for number in range(count)]
    (folder / "images").mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(noise.bytes(_BYTES // 2) + bytes(_BYTES // 2))
    return names


def _seconds_to_open(root: Path, private: Path) -> float:
    archives._opened.cache_clear()
    begun = time.perf_counter()
    check_folders(root, (), private)
    return time.perf_counter() - begun


def _milliseconds(root: Path, names: list[str], rounds: int) -> float:
    """Return the median over rounds of the time per file."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for name in names:
            read_under(root, name, 10 * _BYTES)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times) / len(names)


if __name__ == "__main__":
    main()
