"""The phantom in MIMIC's layout through 4 shards, one of them killed by SIGKILL at random points: the same bytes.

`MLIP_KILLS=30` kills thirty times; the default is 6.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from shard_jobs import gather_job, log_of, shard_job

from stages.common.command_line import run_stage
from stages.common.files.atomic_files import sha256_of
from stages.dicom_to_arrow.contract import ConvertJob, DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_shard
from stages.dicom_to_arrow.gather import gather_shards
from stages.index_inputs.__main__ import WORK
from stages.make_phantom.contract import MakePhantomSettings
from stages.make_phantom.phantom import make_phantom

KILLS = int(os.environ.get("MLIP_KILLS", "6"))
SHARDS, SHARD = 4, 1  # how many there are, and which is killed
SETTINGS = DicomToArrowSettings(size=64)
REPOSITORY = Path(__file__).resolve().parents[3]
PHANTOM = MakePhantomSettings(mimic_patients=60, rsna_images=1, siim_images=1, bad_inputs=4, workers=1)


@dataclass(frozen=True)
class Workspace:
    root: Path
    files: Path

    def arguments(self, folder: Path, shard: int) -> list[str]:
        options = {"root": self.root, "files": self.files, "shard": shard, "state": folder / "state", "workers": 2,
                   "images": folder / f"{shard}.arrow", "rejects": folder / f"{shard}_rejects.arrow",
                   "journal": folder / f"{shard}.json", "settings": f"{{size: {SETTINGS.size}}}"}  # fmt: skip
        return ["convert", *[text for key, value in options.items() for text in (f"--{key}", str(value))]]

    def job(self, folder: Path, shard: int) -> ConvertJob:
        return shard_job(self.root, self.files, folder, SETTINGS, shard)

    @contextmanager
    def start(self, folder: Path, shard: int) -> Iterator[subprocess.Popen[bytes]]:
        """Run the shard in a process group of its own; wait for its end, which an error of the test brings at once."""
        command = [sys.executable, "-m", "stages.dicom_to_arrow", *self.arguments(folder, shard)]
        with subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            except BaseException:
                kill(-process.pid)
                raise


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("mimic")
    make_phantom(PHANTOM, folder)
    files = folder / "index" / "files.arrow"
    options = {"root": folder / "mimic_cxr", "dataset": "mimic_cxr", "files": files,
               "reports": files.parent / "r.arrow", "journal": files.parent / "j.json",
               "settings": f"{{layout: mimic_cxr, shards: {SHARDS}}}"}  # fmt: skip
    argv = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    run_stage(WORK, argv)
    return Workspace(folder / "mimic_cxr", files)


def kill(process: int) -> None:
    """Send SIGKILL to a process, or to a whole group by its negative number; it may just have ended."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def digests(folder: Path, shard: int) -> list[str]:
    return [sha256_of(folder / f"{shard}{suffix}.arrow") for suffix in ("", "_rejects")]


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not condition():
        time.sleep(0.0005)


def log_size(folder: Path) -> int:
    """Return the bytes of the shard's log; 0 where it is not yet there, or no longer."""
    try:
        return sum(path.stat().st_size for path in folder.glob("state/shard_*/*/outcomes.log"))
    except FileNotFoundError:  # the shard has just ended and removed it
        return 0


def kill_at_a_random_point(workspace: Workspace, folder: Path, log_bytes: int, chance: random.Random) -> int:
    """Start the shard, kill it (the job alone, or with its children), and give the log's bytes at that moment.

    One kill in four falls about the last outcome and behind it, while the tables are written.
    """
    with workspace.start(folder, SHARD) as process:
        if chance.random() < 1 / 4:
            wait_until(lambda: log_size(folder) >= log_bytes, process)
            time.sleep(chance.uniform(0, 0.03))
        else:
            threshold = log_size(folder) + chance.randrange(log_bytes // 4)
            wait_until(lambda: log_size(folder) >= threshold, process)
        alone = chance.random() < 0.5
        kill(process.pid if alone else -process.pid)
    return log_size(folder)


@pytest.mark.usefixtures("in_this_process")
def test_a_shard_killed_at_random_points_ends_with_the_same_bytes(workspace, tmp_path, capsys):
    whole, killed, chance = tmp_path / "whole", tmp_path / "killed", random.Random(KILLS)
    for shard in range(SHARDS):
        job = workspace.job(whole, shard)
        convert_shard(job, log_of(job))
    log_bytes = log_of(workspace.job(whole, SHARD)).stat().st_size
    reached = []
    for _ in range(KILLS):
        reached.append(kill_at_a_random_point(workspace, killed, log_bytes, chance))
        if not list(killed.glob("state/shard_*")):  # killed behind the last write: begin again
            assert digests(killed, SHARD) == digests(whole, SHARD)
            shutil.rmtree(killed)
    with workspace.start(killed, SHARD) as process:
        assert process.wait() == 0
    assert digests(killed, SHARD) == digests(whole, SHARD)
    assert not list(killed.glob("state/shard_*"))
    assert len(set(reached)) >= 3, f"the kills fell on few points: {reached}"
    with capsys.disabled():
        print(f"\n{KILLS} kills of shard {SHARD}; bytes of its log ({log_bytes} in all) then: {sorted(reached)}")
    folders = [killed if shard == SHARD else whole for shard in range(SHARDS)]
    images, rejects = (
        [folder / f"{shard}{suffix}.arrow" for shard, folder in enumerate(folders)] for suffix in ("", "_rejects")
    )
    counts = gather_shards(gather_job(workspace.files, images, rejects, killed, SETTINGS))
    assert counts["images"] + counts["rejects"] == counts["indexed"]
