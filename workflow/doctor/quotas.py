"""Quotas of bytes and of files, of the user and of the group, as the programs of the file systems tell them.

`lfs` knows Lustre, `mmlsquota` GPFS, and `quota` local and NFS file systems. A quota of a folder (XFS, btrfs, many
network disks) has no program here: statvfs counts some of them as the size of the disk.
"""

import grp
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workflow.doctor.findings import Finding, ask, present
from workflow.estimate.whole_run import Room

_GB = 1e9


@dataclass(frozen=True)
class Quota:
    """Use and limits of a user, group or project on one file system; a limit of 0 is none."""

    whose: str
    used: float  # bytes
    limit: float
    files: int
    most_files: int


def check_quotas(folder: Path, needed: Room) -> list[Finding]:
    """Check that what a run writes into an existing folder fits into every quota that holds there."""
    place = ask("df", "--output=source,fstype", str(folder)).output.splitlines()[1:]
    device, _, kind = place[0].strip().rpartition(" ") if place else ("", "", "")
    device = device.strip()
    program = {"lustre": "lfs", "gpfs": "mmlsquota"}.get(kind, "quota")
    remedy = "ask for it as your site says (a page of its own, `beegfs-ctl --getquota`, `quota -s`)"
    if not present(program):
        return [Finding("not checked", "quota", f"the command `{program}` is not installed", remedy)]
    problem: str | None = None
    if program == "lfs":
        found = list(_of_lustre(folder))
    else:
        words = ("-Y",) if program == "mmlsquota" else ("--no-wrap", "--raw-grace", "--show-mntpoint", "-u", "-g")
        answer = ask(program, *words)
        problem = answer.problem
        found = (of_mmlsquota if program == "mmlsquota" else of_quota)(answer.output, device, _group_of(folder))
    if not found:
        what = problem or f"`{program}` reports none for {device or folder}"
        return [Finding("not checked", "quota", what, remedy)]
    return [_finding(each, device, needed) for each in found]


def _finding(quota: Quota, device: str, needed: Room) -> Finding:
    ours = f"{quota.whose} on {device}"
    if quota.limit and quota.used + needed.bytes > quota.limit:
        what = (f"{quota.used / _GB:,.0f} of {quota.limit / _GB:,.0f} GB used of the quota of {ours}; "
                f"a run writes about {needed.bytes / _GB:,.1f} GB")  # fmt: skip
        return Finding("error", "quota", what, "free space, ask for more, or set `workspace` to another file system")
    if quota.most_files and quota.files + needed.files > quota.most_files:
        what = (f"{quota.files:,} of {quota.most_files:,} files used of the quota of {ours}; "
                f"a run leaves about {needed.files:,.0f}")  # fmt: skip
        return Finding("error", "quota", what, "remove old workspaces or environments, or ask for more files")
    limits = [f"{quota.used / _GB:,.0f} of {quota.limit / _GB:,.0f} GB"] if quota.limit else []
    limits += [f"{quota.files:,} of {quota.most_files:,} files"] if quota.most_files else []
    return Finding("ok", "quota", f"{' and '.join(limits) or 'no limit'} used by {ours}")


def _group_of(folder: Path) -> int:
    """Return the group to which new files in a folder belong."""
    status = folder.stat()
    return status.st_gid if status.st_mode & stat.S_ISGID else os.getegid()


def _of_lustre(folder: Path) -> Iterable[Quota]:
    group = _group_of(folder)
    for whose, options in {
        "the user": ("-u", str(os.getuid())), f"the group {_name_of(group)}": ("-g", str(group)),
        **{f"the project {each}": ("-p", each) for each in _lustre_projects(folder)},
    }.items():  # fmt: skip
        words = ask("lfs", "quota", "-q", *options, str(folder)).output.split()
        if figures := _figures(words[1:9]):
            yield Quota(whose, *figures)


def _lustre_projects(folder: Path) -> list[str]:
    """Return the number of the folder's project; none for number 0, which has no quota."""
    words = ask("lfs", "project", "-d", str(folder)).output.split()
    return words[:1] if words and words[0].isdecimal() and words[0] != "0" else []


def of_quota(text: str, device: str, group: int) -> list[Quota]:
    """Return the quotas on a device from the output of `quota --no-wrap --raw-grace -u -g`, of the user and one group.

    Below a heading for each user or group, its rows have the columns file system, [mount point,] KiB used, soft limit,
    hard limit, grace, files, soft limit, hard limit, grace.
    """
    found, whose = [], None
    for line in text.splitlines():
        if heading := re.match(r"Disk quotas for (user|group) (\S+) \(.id (\d+)\)", line):
            wanted = heading[1] == "user" or int(heading[3]) == group
            whose = ("the user" if heading[1] == "user" else f"the group {heading[2]}") if wanted else None
        words = line.split()
        if whose and words and words[0] == device and (figures := _figures(words[-8:])):
            found.append(Quota(whose, *figures))
    return found


def of_mmlsquota(text: str, device: str, group: int) -> list[Quota]:
    """Return the quotas on a device from the output of `mmlsquota -Y`, whose columns a first row names."""
    found: list[Quota] = []
    columns: list[str] = []
    for line in text.splitlines():
        cells = line.split(":")
        if "HEADER" in cells[:3]:
            columns = cells
            continue
        row = dict(zip(columns, cells, strict=False))
        kind, fileset = row.get("quotaType"), row.get("filesetname") or row.get("name")
        other = kind == "GRP" and row.get("id") != str(group)
        if other or row.get("filesystemName") != device.removeprefix("/dev/"):
            continue
        whose = {"USR": "the user", "GRP": f"the group {_name_of(group)}"}.get(kind or "", f"the fileset {fileset}")
        names = ("blockUsage", "blockQuota", "blockLimit", "blockGrace", "filesUsage", "filesQuota", "filesLimit")
        if figures := _figures([*(row.get(name, "") for name in names), ""]):
            found.append(Quota(whose, *figures))
    return found


def _figures(words: list[str]) -> tuple[float, float, int, int] | None:
    """Return bytes used and allowed, files used and allowed, from KiB, soft and hard limit, grace, and files alike."""
    numbers = [word.strip("*[]") for word in words]
    kept = [numbers[place] for place in (0, 1, 2, 4, 5, 6)] if len(numbers) == 8 else []
    if not kept or not all(each.isdecimal() for each in kept):
        return None
    used, soft, hard, files, soft_files, hard_files = map(int, kept)
    return used * 1024.0, (hard or soft) * 1024.0, files, hard_files or soft_files


def _name_of(group: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(group).gr_name
    return str(group)
