"""Create the environment of a checkout and say how far it is: `make environment`. It needs Python's own library alone.

pip is either silent for minutes or prints hundreds of lines. Here it has one line, rewritten on a terminal, and one per
ten seconds in a log; where it fails, all that it said is printed.
"""

import re
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

_UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
_FOUND = re.compile(r"(?:Collecting|Requirement already satisfied:|Processing) (?:\S*/)?([\w.-]*\w)")
_FETCHED = re.compile(r"\s*(?:Downloading|Using cached) (\S+?)(?:-[^-\s]+)*\.(?:whl|tar\.gz) \(([\d.]+) (\w+)\)")
_PAUSE = {True: 0.2, False: 10.0}  # s between lines, on a terminal and elsewhere


def main() -> int:
    """Install the packages of envs/local.lock and the checkout into .venv; return pip's exit status."""
    root = Path(__file__).resolve().parents[1]
    folder, lock = root / ".venv", root / "envs" / "local.lock"
    packages = len(re.findall(r"^\S+==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar=off"]
    _say("[1/3] virtual environment: .venv")
    venv.create(folder, symlinks=True, with_pip=True)  # as `python -m venv` does
    _say(
        f"[2/3] {packages} packages of envs/local.lock: 3 to 10 minutes; about 0.6 GB to download with a torch for "
        f"CPUs, several with one for CUDA"
    )
    status = run([*pip, "--requirement", str(lock)], packages, sys.stdout)
    if status == 0:
        _say("[3/3] this checkout, as the package mlip")
        status = run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(root)], 1, sys.stdout)
    return status


def run(command: list[str], packages: int, stream: TextIO) -> int:
    """Run pip, show how far it is, and return its exit status; where it fails, print what it said."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        said = show(pip.stdout or (), packages, stream)
    if pip.returncode != 0:
        stream.write("".join(said))
    return pip.returncode


def show(lines: Iterable[str], packages: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> list[str]:
    """Write how far pip is while it prints `lines`, which are returned."""
    started, terminal, said, due = clock(), stream.isatty(), [], clock()
    found, fetched, text, shown = 0, 0.0, "", ""

    def write(last: str) -> None:
        stream.write(f"\r\x1b[K      {text[:72]}{last}" if terminal else f"      {text}\n")
        stream.flush()

    for line in lines:
        said.append(line)
        if match := _FOUND.match(line):
            found += 1
            text = f"{min(found, packages)} of {packages} packages found: {match[1]}"
        elif (match := _FETCHED.match(line)) and ".metadata" not in line:
            fetched += float(match[2]) * _UNITS.get(match[3], 0.0)
            text = f"{fetched:,.0f} MB fetched: {match[1]}"
        elif line.startswith("Installing collected packages: "):
            text, due = "everything is fetched; unpacking takes a minute or two", clock()
        if text != shown and clock() >= due:
            due, shown = clock() + _PAUSE[terminal], text
            write("")
    text = f"done in {clock() - started:.0f} s"
    write("\n")
    return said


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
