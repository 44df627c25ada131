"""Known vulnerabilities of the pinned packages, offline: envs/*.lock against advisories in OSV's format.

  python -m workflow.audit ADVISORIES

ADVISORIES is OSV's export for the ecosystem PyPI (all.zip, one JSON file per advisory), or a folder of such files. It
is fetched by someone with a network, and read here without being unpacked. The exit status is 1 where a pin is
affected.
"""

import json
import re
import zipfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from stages.common.command_line import one_line_errors, program_name
from stages.common.errors import InputError

ENVS = Path(__file__).resolve().parents[1] / "envs"
_LARGEST = 10_000_000  # bytes of one advisory; a larger file is none


def pins(envs: Path = ENVS) -> dict[tuple[str, str], list[str]]:
    """Return (package, version) -> the locks that pin it."""
    found: dict[tuple[str, str], list[str]] = {}
    for lock in sorted(envs.glob("*.lock")):
        for name, version in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
            found.setdefault((canonicalize_name(name), version), []).append(lock.stem)
    return found


def advisories(source: Path) -> Iterator[dict[str, Any]]:
    """Yield every advisory of an archive or a folder, without withdrawn ones."""
    if source.is_dir():
        texts: Iterator[bytes] = (path.read_bytes() for path in sorted(source.rglob("*.json")))
    elif zipfile.is_zipfile(source):
        archive = zipfile.ZipFile(source)
        entries = [each for each in archive.infolist() if each.filename.endswith(".json")]
        texts = (archive.read(each) for each in entries if each.file_size <= _LARGEST)
    else:
        raise InputError(
            f"{source}: neither a folder nor a zip archive", remedy="give the file all.zip of OSV's export for PyPI"
        )
    for text in texts:
        record = json.loads(text)
        if not record.get("withdrawn"):
            yield record


def affects(affected: dict[str, Any], version: str) -> bool:
    """Return whether one entry of an advisory's `affected` contains a version: listed, or inside one of its ranges."""
    if version in affected.get("versions", ()):
        return True
    try:
        return any(
            _inside(each["events"], Version(version))
            for each in affected.get("ranges", ())
            if each["type"] == "ECOSYSTEM"
        )
    except InvalidVersion:
        return False


def _inside(events: list[dict[str, str]], version: Version) -> bool:
    """Return whether OSV's events affect a version: in order, the last one that is not beyond the version decides."""
    inside = False
    for event in events:
        ((kind, bound),) = event.items()
        passed = bound == "0" or Version(bound) <= version
        if kind == "introduced":
            inside = inside or passed
        elif passed and (kind == "fixed" or (kind == "last_affected" and Version(bound) != version)):
            inside = False
    return inside


def findings(source: Path, envs: Path = ENVS) -> tuple[list[str], int]:
    """Return a line for each pin that an advisory affects, and the number of advisories."""
    by_name: dict[str, list[str]] = {}
    pinned = pins(envs)
    for name, version in pinned:
        by_name.setdefault(name, []).append(version)
    lines, count = [], 0
    for record in advisories(source):
        count += 1
        for affected in record.get("affected", ()):
            package = affected.get("package", {})
            name = canonicalize_name(package.get("name", ""))
            if package.get("ecosystem") != "PyPI":
                continue
            lines += [
                f"{name} {version} ({', '.join(pinned[name, version])}): {record['id']}: {record.get('summary', '')}"
                for version in by_name.get(name, ())
                if affects(affected, version)
            ]
    return sorted(set(lines)), count


def main(argv: list[str] | None = None) -> None:
    """Print the findings; exit with status 1 if there are any."""
    parser = ArgumentParser(
        program_name("python -m workflow.audit"), description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("advisories", type=Path, help="all.zip of OSV for PyPI, or a folder of its JSON files")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        lines, count = findings(arguments.advisories)
        print("\n".join([*lines, f"{count:,} advisories, {len(pins()):,} pins, {len(lines)} findings"]))
    if lines:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
