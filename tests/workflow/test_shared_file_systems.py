"""Two users in one workspace, a checkout that cannot be written, links, and disks that end."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from other_users import ANNA, BOB, run_as, shared_folder, small_disk

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"mimic_patients": 12, "rsna_images": 12, "siim_images": 12, "bad_inputs": 1, "workers": 1}
OURS = {"index_inputs": {"layout": "folder", "table": "t.csv", "columns": {
    "image": "file", "patient": "who", "report": "text"}}}  # fmt: skip
RSNA, KEYED = (f"runs/x/results/index_inputs/{name}/files.arrow" for name in ("rsna", "ours"))


def checkout_in(folder: Path, owner: int) -> Path:
    """The code, and beside it a data set whose identifiers are keyed, all of one user."""
    for part in ("stages", "workflow", "envs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", folder)
    datasets = {"ours": OURS | {"root": str(folder / "ours")}}
    overlay = {"make_phantom": SMALL, "workspace": "runs/x", "datasets": datasets, "pretrain_on": "ours"}
    (folder / "small.yaml").write_text(yaml.safe_dump(overlay))
    (folder / "ours").mkdir()
    (folder / "ours" / "t.csv").write_text("file,who,text\na.png,p,Normal.\n")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, folder.stat().st_gid)
    return folder


def snakemake(user: int, *more: str, cwd: Path, checkout: Path | None = None, **options: object):
    code = checkout or cwd
    profile = code / "workflow/profiles/demo"
    return run_as(
        user, sys.executable, "-m", "snakemake", *more, "-s", code / "workflow/Snakefile", "--profile", profile,
        "--cores", "1", "--configfile", profile / "settings.yaml", code / "small.yaml", cwd=cwd, **options,
    )  # fmt: skip


def doctor(user: int, cwd: Path, **options: object) -> str:
    files = ("workflow/profiles/demo/settings.yaml", "small.yaml")
    done = run_as(user, sys.executable, "-m", "workflow.doctor", "--profile", "workflow/profiles/demo",
                  "--configfile", *files, cwd=cwd, **options)  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def shared() -> Iterator[Path]:
    with shared_folder() as folder:
        yield folder


@pytest.mark.slow
def test_two_users_of_a_group_work_in_one_workspace(shared: Path) -> None:
    checkout = checkout_in(shared, ANNA)
    done = snakemake(ANNA, RSNA, KEYED, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    private = checkout / "runs/x/private"
    made = [path for top in ("runs", ".snakemake") for path in (checkout / top).rglob("*") if not path.is_symlink()]
    secret = [path for path in made if private in (path, *path.parents)]
    assert len(secret) > 3
    assert {path.stat().st_mode & 0o077 for path in secret} == {0}
    assert {path.stat().st_mode & 0o060 for path in made if path not in secret} == {0o060}
    assert {path.stat().st_gid for path in made} == {checkout.stat().st_gid}

    nothing = snakemake(BOB, RSNA, KEYED, "-n", cwd=checkout)
    assert "nothing to be done" in (nothing.stdout + nothing.stderr).lower(), nothing
    by_bob = snakemake(BOB, RSNA, KEYED, "--keep-going", "--forcerun", "index_inputs", cwd=checkout)
    said = by_bob.stdout + by_bob.stderr
    line = "error: runs/x/private: identifiers are keyed, and only the user whose run made the key may use it; let"
    assert line in said, said
    assert "the store failed" not in said
    assert "read it only" not in said
    assert (checkout / RSNA).stat().st_uid == BOB
    said = doctor(BOB, checkout, umask=0o022)
    assert "runs/x/private belongs to user 61001" in said, said
    assert "umask 022 shuts out" in said, said
    assert "closed to you" not in said, said

    # as if Anna had worked with umask 022
    subprocess.run(["chmod", "-R", "g-w", checkout / "runs/x", checkout / ".snakemake"], check=True)
    subprocess.run(["chown", "-R", str(ANNA), checkout / "runs", checkout / ".snakemake"], check=True)
    refused = snakemake(BOB, RSNA, cwd=checkout)
    assert "Traceback" not in refused.stdout + refused.stderr
    assert f"Snakemake's records in {checkout}/.snakemake: cannot be written (Permission denied); its" in refused.stderr
    said = doctor(BOB, checkout)
    assert "files and folders of user 61001 are closed to you, e.g. runs/x" in said, said
    remedy = said.partition("their owner runs: ")[2].partition("; and both of you")[0]
    assert run_as(ANNA, "bash", "-c", remedy, cwd=checkout).returncode == 0, remedy
    assert list(_closed_to_bob(checkout)) == []
    assert {path.stat().st_mode & 0o077 for path in secret} == {0}


def _closed_to_bob(checkout: Path) -> list[str]:
    code = ("from pathlib import Path; from workflow.doctor.sharing import closed; "
            "print(*closed(Path('runs/x')), *closed(Path('.snakemake')))")  # fmt: skip
    return run_as(BOB, sys.executable, "-c", code, cwd=checkout).stdout.split()


@pytest.mark.slow
def test_a_checkout_that_cannot_be_written_serves_a_folder_of_one_s_own(shared: Path) -> None:
    checkout = checkout_in(shared, ANNA)
    subprocess.run(["chmod", "-R", "a-w", checkout], check=True)
    refused = snakemake(BOB, RSNA, cwd=checkout)
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "cannot be written (Permission denied); call from a folder of your own, with -s" in refused.stderr, refused
    with shared_folder(BOB) as own:
        shutil.copy(checkout / "config.yaml", own)
        (own / "disk").mkdir()
        os.chown(own / "disk", BOB, -1)
        (own / "runs").symlink_to(own / "disk")
        done = snakemake(BOB, RSNA, cwd=own, checkout=checkout)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (own / "disk/x/results/index_inputs/rsna/files.arrow").is_file()
        again = snakemake(BOB, RSNA, "-n", cwd=own, checkout=checkout)
        assert "nothing to be done" in (again.stdout + again.stderr).lower(), again


@pytest.mark.slow
def test_a_workspace_without_inodes_is_named_and_the_next_run_goes_on(shared: Path) -> None:
    """Of the phantom's files about half fit; what is there stays, and nothing is half written."""
    checkout = checkout_in(shared, ANNA)
    with small_disk(checkout / "runs", "size=100m,nr_inodes=90,mode=777") as disk:
        done = snakemake(ANNA, RSNA, cwd=checkout)
        assert done.returncode == 1
        said = done.stdout + done.stderr
        (line,) = {each for each in said.splitlines() if each.startswith("error: ")}
        assert line.startswith("error: runs/x/")
        assert re.search(rf": No space left on device \(\d+ MiB and 0 files free in {disk}/x/\S+\); ", line), line
        assert line.endswith("remove files there (it has no inode left), for example old workspaces, and run again; "
                             "no output is half written")  # fmt: skip
        assert not list(disk.rglob("*.tmp"))
        assert f"0 files (inodes) free in {disk.relative_to(checkout)}" in doctor(ANNA, checkout)
        subprocess.run(["mount", "-o", "remount,nr_inodes=2000", disk], check=True)
        assert snakemake(ANNA, RSNA, cwd=checkout).returncode == 0
