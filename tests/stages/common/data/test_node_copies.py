"""Shards on the node's disk: one copy for all processes, whole or not used, gone at the end however that came."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from one_shard_store import write_one_shard
from other_users import small_disk

from stages.common.data.image_store import ImageStore
from stages.common.errors import InputError
from stages.common.files.atomic_files import settle

ROOT = Path(__file__).parents[4]
READER = """
import sys, hashlib
from pathlib import Path
from stages.common.data.image_store import ImageStore
from stages.common.files.atomic_files import settle
store = ImageStore(Path(sys.argv[1]), often=True)
mapped = {line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith(".arrow")}
pixels = hashlib.sha256(b"".join(store.pixels(row).tobytes() for row in range(len(store)))).hexdigest()
settle()
print(pixels, *sorted(mapped), flush=True)
sys.stdin.read()
"""

NODE = os.uname().nodename


def store_in(folder: Path, images: int) -> Path:
    """The manifest of a store of images of noise."""
    pixels = np.random.default_rng(images).integers(0, 256, (images, 64, 64), dtype=np.uint8)
    rows = [{"image_id": f"i{number}", "pixels": each.tobytes()} for number, each in enumerate(pixels)]
    return write_one_shard(folder, "x", 64, rows)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return store_in(tmp_path / "images", 40)


class Reader:
    """A process that reads the images, says what it mapped, and lives until it is told to end."""

    def __init__(self, manifest: Path, scratch: Path | None, **variables: str) -> None:
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **variables}
        environment |= {"MLIP_NODE_SCRATCH": str(scratch)} if scratch else {}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen([sys.executable, "-c", READER, manifest], env=environment, text=True, **pipes)

    def said(self) -> list[str]:
        return self.process.stdout.readline().split()

    def end(self, number: int | None = None) -> tuple[int, str]:
        if number:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def copies(scratch: Path) -> list[Path]:
    return list(scratch.rglob("*.arrow"))


def test_processes_share_one_copy_which_the_last_one_removes(manifest: Path, scratch: Path) -> None:
    plain = Reader(manifest, None)
    pixels, mapped = plain.said()
    assert mapped == str(manifest.parent / "0.arrow")
    assert plain.end() == (0, "")
    readers = [Reader(manifest, scratch, LOCAL_RANK=str(rank)) for rank in range(3)]
    said = [each.said() for each in readers]
    (copy,) = copies(scratch)
    assert said == [[pixels, str(copy)]] * 3
    assert (scratch / f"mlip_{os.getuid()}").stat().st_mode & 0o777 == 0o700
    assert readers[0].end() == (0, "")
    assert copies(scratch) == [copy], "others still read it"
    assert readers[1].end(signal.SIGTERM)[0] == -signal.SIGTERM
    assert copies(scratch) == [copy]
    assert readers[2].end(signal.SIGTERM)[0] == -signal.SIGTERM
    assert not list(scratch.glob("*/*"))


def test_what_a_killed_job_left_is_used_or_removed_by_the_next(manifest: Path, scratch: Path, tmp_path: Path) -> None:
    killed = Reader(manifest, scratch)
    killed.said()
    assert killed.end(signal.SIGKILL)[0] == -signal.SIGKILL
    (left,) = copies(scratch)
    inode = left.stat().st_ino
    again = Reader(manifest, scratch)
    assert again.said()[1] == str(left)
    assert left.stat().st_ino == inode, "not copied again"
    again.end(signal.SIGKILL)
    left.rename(left.with_name(".0.arrow.tmp"))  # as if it had been killed while it copied
    other = store_in(tmp_path / "others", 3)
    reader = Reader(other, scratch)
    assert reader.said()[1] in map(str, copies(scratch))
    assert len(list(scratch.glob("*/*"))) == 1
    reader.end()
    assert not list(scratch.glob("*/*"))


def test_many_that_come_and_go_never_miss_a_shard(manifest: Path, scratch: Path) -> None:
    for _ in range(3):
        readers = [Reader(manifest, scratch) for _ in range(4)]
        ended = [(each.said(), each.end()) for each in readers]
        assert {said[0] for said, _ in ended} == {ended[0][0][0]}
        assert all(str(scratch) in said[1] for said, _ in ended)
        assert {code for _, (code, _) in ended} == {0}
    assert not list(scratch.glob("*/*"))


def test_without_room_or_folder_the_workspace_is_read_after_one_line(manifest: Path, tmp_path: Path) -> None:
    shards = manifest.parent
    with small_disk(tmp_path / "small", "size=64k") as disk:
        reader = Reader(manifest, disk)
        assert reader.said()[1] == str(shards / "0.arrow")
        code, errors = reader.end()
        assert (code, errors.count("\n")) == (0, 1)
        assert errors.startswith(
            f"warning: node_scratch {disk} of {NODE}: the shards need 0.00 GB, and 0.00 GB are free; reading"
        )
        assert not list(disk.glob("*/*"))
    reader = Reader(manifest, tmp_path / "absent")
    assert reader.said()[1] == str(shards / "0.arrow")
    line = f"{tmp_path}/absent of {NODE}: No such file or directory; reading the shards in {shards}\n"
    assert reader.end() == (0, f"warning: node_scratch {line}")
    assert Reader(manifest, tmp_path / "absent", LOCAL_RANK="1").end() == (0, "")


def test_a_damaged_shard_is_never_read_from_a_copy(manifest: Path, scratch: Path, monkeypatch, capsys) -> None:
    shard = manifest.parent / "0.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    monkeypatch.setenv("MLIP_NODE_SCRATCH", str(scratch))
    ImageStore(manifest, often=True)
    assert f"{shard} is damaged; reading the shards in" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"0\.arrow: damaged \(sha256"):
        settle()
    assert not list(scratch.glob("*/*"))
