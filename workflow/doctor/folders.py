"""Checks of the workspace: it can be written, and has room for what the estimate says."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files.atomic_files import check_writable
from workflow.doctor.findings import Finding, ask, present

_GB = 1e9
_FILES = 50_000  # more than a full run leaves: jobs x (outputs, side-cars, journals, logs)


def check_workspace(workspace: Path) -> Finding:
    """Check that a file can be written where results will go; it is removed again."""
    place = existing(workspace)
    try:
        check_writable(workspace, folder=True)
    except InputError as error:
        remedy = "set `workspace` in config.yaml to a folder that you can write"
        return Finding("error", "workspace", error.what, remedy)
    made = "" if workspace.exists() else f" ({workspace} will be created)"
    return Finding("ok", "workspace", f"{place} is writable{made}")


def check_scratch(environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Check HOME and TMPDIR: Snakemake and Apptainer keep caches in the one, every stage works in the other."""
    caches = [environ[name] for name in ("XDG_CACHE_HOME", "HOME") if environ.get(name)][:1]
    home = _scratch("HOME", Path(caches[0] if caches else "~").expanduser(), "export HOME=FOLDER (Snakemake's cache)")
    remedy = "export TMPDIR=FOLDER that exists on every node, or unset it"
    named = environ.get("TMPDIR") or "/tmp"  # noqa: S108, where programs look if nothing is set
    temporary = _scratch("TMPDIR", Path(named), remedy)
    if temporary.status == "error":
        try:
            instead = tempfile.gettempdir()
        except OSError:
            return [home, temporary]
        temporary = Finding("warning", "TMPDIR", f"{temporary.what}; stages use {instead} instead", remedy)
    return [home, temporary]


def _scratch(name: str, place: Path, remedy: str) -> Finding:
    if name == "TMPDIR" and not place.is_dir():  # a missing home is made
        return Finding("error", name, f"{place}: no such folder", remedy)
    try:
        check_writable(place, folder=True)
    except InputError as error:
        return Finding("error", name, error.what, remedy)
    return Finding("ok", name, f"{place} is writable")


def check_disk(workspace: Path, bytes_needed: float) -> Finding:
    """Check the free space; `bytes_needed` is the upper end of the estimate, less what is there."""
    place = existing(workspace)
    free = shutil.disk_usage(place).free
    what = f"{free / _GB:,.0f} GB free in {place}; a run writes about {bytes_needed / _GB:,.1f} GB"
    if free < bytes_needed:
        return Finding("error", "disk", what, "free space, or set `workspace` in config.yaml to a larger file system")
    if free < 1.2 * bytes_needed:
        return Finding(
            "warning", "disk", what, "little space is left: jobs fail on a full disk, and resume once there is space"
        )
    return Finding("ok", "disk", what)


def check_quota(workspace: Path, bytes_needed: float) -> Finding:
    """Check the quota with `quota`, which knows only local and NFS file systems."""
    remedy = "use your site's command: `lfs quota -h -u $USER PATH`, `mmlsquota`, or another"
    if not present("quota"):
        return Finding("not checked", "quota", "the command `quota` is not installed", remedy)
    source = ask("df", "--output=source", str(existing(workspace)))
    device = source.output.partition("\n")[2].strip()
    answer = ask("quota", "--no-wrap", "--raw-grace", "--show-mntpoint")
    limits = quotas(answer.output)
    if device not in limits:
        return Finding("not checked", "quota", f"`quota` reports none for {device or existing(workspace)}", remedy)
    used, limit, files, most_files = limits[device]
    what = (
        f"{used / _GB:,.0f} of {limit / _GB:,.0f} GB used on {device}; a run writes about {bytes_needed / _GB:,.1f} GB"
    )
    if limit and used + bytes_needed > limit:
        return Finding("error", "quota", what, "free space, ask for more, or set `workspace` to another file system")
    if most_files and files + _FILES > most_files:
        what = f"{files:,} of {most_files:,} files used on {device}; a run creates up to {_FILES:,}"
        return Finding("warning", "quota", what, "remove old runs, or ask for more files")
    return Finding("ok", "quota", what if limit else f"no limit on {device}")


def quotas(text: str) -> dict[str, tuple[float, float, int, int]]:
    """Return device -> bytes used, bytes allowed (0: no limit), files, files allowed.

    `text` is the output of `quota --no-wrap --raw-grace`, with the columns file system, [mount point,] KiB used, soft
    limit, hard limit, grace, files, soft limit, hard limit, grace.
    """
    found = {}
    for line in text.splitlines():
        numbers = [word.rstrip("*") for word in line.split()]
        figures = [int(word) for word in numbers[1:] if word.isdigit()]
        if len(figures) == 8:
            used, _, hard, _, files, _, most, _ = figures
            found[numbers[0]] = (used * 1024.0, hard * 1024.0, files, most)
    return found


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest existing one above it."""
    while not folder.exists():
        folder = folder.parent
    return folder.absolute() if folder == Path() else folder
