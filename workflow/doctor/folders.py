"""Checks of the workspace: it can be written, and has room for what the estimate says."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files.atomic_files import check_writable
from workflow.doctor.findings import Finding
from workflow.estimate.whole_run import Room

_GB = 1e9


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


def check_node_scratch(folder: str | None, on_cluster: bool) -> list[Finding]:
    """Check the folder for copies of images on the nodes, where this machine is the only node."""
    if not folder:
        return []
    if on_cluster:
        what = f"{folder} is looked for on each node; a job that lacks it, or room in it, reads the workspace"
        return [Finding("not checked", "node_scratch", what, "see the warnings at the end of the run")]
    place = Path(os.path.expandvars(folder))
    remedy = "correct `node_scratch` in config.yaml; until then jobs read the workspace"
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return [Finding("warning", "node_scratch", f"{place}: no folder that you can write", remedy)]
    free = os.statvfs(place)
    return [Finding("ok", "node_scratch", f"{free.f_bavail * free.f_frsize / _GB:,.0f} GB free in {place}")]


def _scratch(name: str, place: Path, remedy: str) -> Finding:
    if name == "TMPDIR" and not place.is_dir():  # a missing home is made
        return Finding("error", name, f"{place}: no such folder", remedy)
    try:
        check_writable(place, folder=True)
    except InputError as error:
        return Finding("error", name, error.what, remedy)
    return Finding("ok", name, f"{place} is writable")


def check_disk(workspace: Path, needed: Room) -> list[Finding]:
    """Check the free space and the free inodes; `needed` is the upper end of the estimate, less what is there."""
    place = existing(workspace)
    left = os.statvfs(place)
    free = left.f_bavail * left.f_frsize
    what = f"{free / _GB:,.0f} GB free in {place}; a run writes about {needed.bytes / _GB:,.1f} GB"
    findings = [Finding("ok", "disk", what)]
    if free < needed.bytes:
        remedy = "free space, or set `workspace` in config.yaml to a larger file system"
        findings = [Finding("error", "disk", what, remedy)]
    elif free < 1.2 * needed.bytes:
        remedy = "little space is left: jobs fail on a full disk, and resume once there is space"
        findings = [Finding("warning", "disk", what, remedy)]
    if not left.f_files:
        return [*findings, Finding("ok", "inodes", f"{place} has no limit of files that the system tells")]
    what = f"{left.f_favail:,} files (inodes) free in {place}; a run leaves about {needed.files:,.0f}"
    if left.f_favail < needed.files:
        remedy = "remove files there (old workspaces, environments), or set `workspace` to another file system"
        return [*findings, Finding("error", "inodes", what, remedy)]
    return [*findings, Finding("ok", "inodes", what)]


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest existing one above it."""
    while not folder.exists():
        folder = folder.parent
    return folder.absolute() if folder == Path() else folder
