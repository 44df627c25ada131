"""Quotas as the programs of NFS, Lustre and GPFS print them, played by scripts."""

import os
from pathlib import Path

import pytest

from workflow.doctor.quotas import Quota, check_quotas, of_mmlsquota, of_quota
from workflow.estimate.whole_run import Room

GROUP = os.getegid()
QUOTA = f"""Disk quotas for user anna (uid 1000):
     Filesystem   blocks   quota   limit   grace   files   quota   limit   grace
 nas:/home  900000000*  950000000 1000000000 0 4000 0 1000000 0
 nas:/other  1 2 3 0 4 5 6 0
Disk quotas for group lab (gid {GROUP}):
     Filesystem   blocks   quota   limit   grace   files   quota   limit   grace
 nas:/home  10 0 0 0 999000 0 1000000 0
Disk quotas for group others (gid {GROUP + 1}):
     Filesystem   blocks   quota   limit   grace   files   quota   limit   grace
 nas:/home  10 1 1 0 1 1 1 0
"""
USER, LAB = (Quota("the user", 900_000_000 * 1024.0, 1_000_000_000 * 1024.0, 4000, 1_000_000),
             Quota("the group lab", 10 * 1024.0, 0.0, 999_000, 1_000_000))  # fmt: skip
MMLSQUOTA = f"""mmlsquota::HEADER:version:reserved:reserved:filesystemName:quotaType:id:name:blockUsage:blockQuota:\
blockLimit:blockInDoubt:blockGrace:filesUsage:filesQuota:filesLimit:filesInDoubt:filesGrace:remarks:quota:defQuota:\
fid:filesetname:
mmlsquota::0:1:::gpfs0:USR:1000:anna:1000:0:2000:0:none:7:0:0:0:none:e:on:off:::
mmlsquota::0:1:::gpfs0:GRP:{GROUP + 1}:others:1:0:1:0:none:1:0:1:0:none:e:on:off:::
mmlsquota::0:1:::gpfs0:FILESET:3:chest:5:10:0:0:none:8:9:0:0:none:e:on:off:::
mmlsquota::0:1:::gpfs1:USR:1000:anna:1:0:2:0:none:7:0:0:0:none:e:on:off:::
"""


def on(program, device: str, kind: str) -> None:
    """`df` names this device and kind of file system."""
    Path(os.environ["PATH"], "df").unlink()
    program("df", f"echo 'Filesystem Type'; echo '{device} {kind}'")


def statuses(folder: Path, needed: Room) -> list[str]:
    return [each.status for each in check_quotas(folder, needed)]


def test_quota_of_the_user_and_of_the_folder_s_group(program, tmp_path: Path) -> None:
    assert of_quota(QUOTA, "nas:/home", GROUP) == [USER, LAB]
    on(program, "nas:/home", "nfs4")
    (missing,) = check_quotas(tmp_path, Room(1, 1))
    assert (missing.status, "`quota` is not installed" in missing.what) == ("not checked", True)
    program("quota", f"cat <<'END'\n{QUOTA}END\nexit 1")  # as where one is exceeded
    assert statuses(tmp_path, Room(1e9, 500)) == ["ok", "ok"]
    assert statuses(tmp_path, Room(2e11, 500)) == ["error", "ok"]
    (_, files) = check_quotas(tmp_path, Room(1e9, 5000))
    assert (files.status, files.what) == (
        "error",
        "999,000 of 1,000,000 files used of the quota of the group lab on nas:/home; a run leaves about 5,000",
    )
    assert "files" in files.remedy


@pytest.mark.parametrize(
    "line", ["/lustre/x 1000* 0 2000 6d23h 90 100 0 -", "/lustre/a/long/name\\n  [1000] 0 2000 - 90 100 0 -"]
)
def test_lustre_is_asked_for_user_group_and_project(program, tmp_path: Path, line: str) -> None:
    on(program, "10.0.0.1@o2ib:/x", "lustre")
    program(
        "lfs",
        f"""echo "$@" >>{tmp_path}/asked; [ "$1" = project ] && echo '   77 P {tmp_path}' && exit
[ "$3" = -g ] && echo "lfs: no quota" >&2 && exit 1
printf '{line}\\n'""",
    )
    found = check_quotas(tmp_path, Room(500 * 1024, 5))
    assert [each.status for each in found] == ["ok", "ok"]
    assert [each.what.partition(" used by ")[2].partition(" on")[0] for each in found] == ["the user", "the project 77"]
    assert statuses(tmp_path, Room(1001 * 1024, 5)) == statuses(tmp_path, Room(1, 11)) == ["error", "error"]
    asked = (tmp_path / "asked").read_text()
    assert f"quota -q -u {os.getuid()} {tmp_path}" in asked
    assert f"quota -q -p 77 {tmp_path}" in asked


def test_gpfs_tells_its_columns_by_name(program, tmp_path: Path) -> None:
    expected = [Quota("the user", 1000 * 1024.0, 2000 * 1024.0, 7, 0),
                Quota("the fileset chest", 5 * 1024.0, 10 * 1024.0, 8, 9)]  # fmt: skip
    assert of_mmlsquota(MMLSQUOTA, "gpfs0", GROUP) == expected
    on(program, "gpfs0", "gpfs")
    program("mmlsquota", f"cat <<'END'\n{MMLSQUOTA}END")
    assert statuses(tmp_path, Room(1, 1)) == ["ok", "ok"]
    assert statuses(tmp_path, Room(1, 2)) == ["ok", "error"]


def test_a_file_system_without_quotas_is_not_checked(program, tmp_path: Path) -> None:
    program("quota", "exit 0")
    (finding,) = check_quotas(tmp_path, Room(1, 1))
    assert (finding.status, "reports none" in finding.what) == ("not checked", True)


def test_a_program_that_fails_is_told_in_its_words(program, tmp_path: Path) -> None:
    program("quota", "echo 'quota: Cannot open quotafile: Permission denied' >&2; exit 1")
    (finding,) = check_quotas(tmp_path, Room(1, 1))
    assert (finding.status, "Permission denied" in finding.what) == ("not checked", True)
