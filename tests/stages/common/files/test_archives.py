"""Archives stand for the folder that unpacking them would make; what cannot be read is told without a member's name."""

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.files import archives
from stages.common.files.archives import archive_at, is_dir, is_file, keep_indexes_in, names_in, on_disk, read_bytes
from stages.common.files.rooted_files import RootedFileError, archive_warnings, check_folders, files_below, find_under
from stages.common.files.rooted_files import read_under as read

FILES = {"t.csv": b"a,b\n", "images/1.png": b"one", "images/deep/2.png": b"two" * 1000, "empty": b""}
KINDS = ["zip", "stored.zip", "tar", "tar.gz", "tgz"]


@pytest.fixture(autouse=True)
def _nothing_kept():
    keep_indexes_in(None)
    yield
    keep_indexes_in(None)


def pack(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        method = zipfile.ZIP_STORED if "stored" in path.name else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in files.items():
            add(archive, name, data)
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **more: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def kind_of(root: Path, name: str, most: int = 10_000) -> str:
    with pytest.raises(RootedFileError) as caught:
        read(root, name, most)
    assert "png" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return caught.value.kind


def refusal(path: Path) -> str:
    with pytest.raises(InputError, match="download it again") as caught:
        check_folders(path)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_the_folder_that_it_unpacks_to(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"x.{kind}", FILES)
    folder = tmp_path / "folder"
    if path.suffix == ".zip":
        zipfile.ZipFile(path).extractall(folder)
    else:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    for root in (path, folder):
        check_folders(root)
        assert {name: read(root, name, 10_000) for name in FILES} == FILES
        assert list(files_below(root, "images")) == ["images/1.png", "images/deep/2.png"]
        assert sorted(files_below(root)) == sorted(FILES)
        assert [kind_of(root, name) for name in ("gone", "images", "images/1.png/x", "../t.csv", "/t.csv")] == [
            "missing", "not_regular", "missing", "unsafe_path", "unsafe_path"]  # fmt: skip
        assert kind_of(root, "images/deep/2.png", 2999) == "too_large"
        assert read(root, "images/deep/2.png", 3000) == FILES["images/deep/2.png"]
        assert (is_dir(root), is_dir(root / "images/deep"), is_dir(root / "t.csv")) == (True, True, False)
        assert (is_file(root / "t.csv"), is_file(root / "images"), is_file(root / "gone")) == (True, False, False)
        assert read_bytes(root / "t.csv") == b"a,b\n"
        assert [name for name in names_in(root) if is_file(root / name)] == ["empty", "t.csv"]
        assert find_under(root, "t.csv") == root / "t.csv"
        assert archive_warnings(root) == []
    assert (on_disk(path / "images/1.png"), on_disk(folder / "t.csv")) == (path, folder / "t.csv")


def test_what_the_root_lacks_is_sought_in_archives_and_folders_alike(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").write_bytes(b"root")
    roots = (pack(tmp_path / "1.zip", {"a": b"1", "b": b"1"}), pack(tmp_path / "2.tgz", {"b": b"2", "c": b"2"}))
    assert [read(tmp_path / "root", name, 9, roots) for name in "abc"] == [b"root", b"1", b"2"]


@pytest.mark.parametrize("kind", ["tar", "tgz"])
def test_what_was_found_is_kept_for_other_processes(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{number}.png": random.Random(number).randbytes(9000) for number in range(300)}
    path, private = pack(tmp_path / f"x.{kind}", files), tmp_path / "private"
    check_folders(path, (), private)
    kept = sorted((private / "archives").iterdir())
    assert len(kept) == (2 if kind == "tgz" else 1)
    assert {stat.S_IMODE(each.stat().st_mode) & 0o077 for each in (*kept, private, private / "archives")} == {0}

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(tarfile, "open", never)
    archives._opened.cache_clear()
    assert {name: read(path, name, 10_000) for name in files} == files
    monkeypatch.undo()
    for each in kept:  # a file that was cut off is made anew
        each.write_bytes(each.read_bytes()[:50])
    archives._opened.cache_clear()
    assert {name: read(path, name, 10_000) for name in files} == files
    pack(path, {"new": b"n"})
    assert (read(path, "new", 9), kind_of(path, "0.png")) == (b"n", "missing")


def test_names_are_as_a_table_writes_them_or_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("./a/./b//1.png", "/etc/secret", "a/../../secret", "C:/secret"):
            archive.writestr(name, name)
        windows = zipfile.ZipInfo("c\\2.png")
        windows.create_system = 0
        archive.writestr(windows, b"2")
        unix = zipfile.ZipInfo("d\\3.png")
        unix.create_system = 3
        archive.writestr(unix, b"3")
        folder = zipfile.ZipInfo("made\\")
        folder.create_system = 0
        archive.writestr(folder, b"")
    assert sorted(files_below(path)) == ["a/b/1.png", "c/2.png", "d\\3.png"]
    assert is_dir(path / "made")
    assert archive_warnings(path) == [
        f"{path}: 3 of its members lead out of the archive (absolute, or with '..'): they are not read "
        "(first: member 2)"
    ]


def test_names_of_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    names = {"s\u00e9.png": "utf-8", "\u00e9t.png": "cp437"}
    pack(path, dict.fromkeys((f"{place}aaaaaaa"[:8] for place in range(2)), b"x"))
    data = path.read_bytes()
    for place, (name, encoding) in enumerate(names.items()):
        raw = name.encode(encoding).ljust(8, b"g")
        data = data.replace(f"{place}aaaaaaa".encode(), raw[:8])
    path.write_bytes(data)  # as a program without the flag for UTF-8 writes them
    assert sorted(files_below(path)) == sorted(
        [names_ + "g" * (8 - len(names_.encode(encoding))) for names_, encoding in names.items()]
    )
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        add(archive, "b.png", b"b")
        add(archive, "\u00e9.png", b"e")
    assert list(files_below(path)) == ["b.png"]
    assert "1 of its members have names that are not UTF-8" in archive_warnings(path)[0]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", b"1")
            archive.writestr("./a", b"2")
    else:
        with tarfile.open(path, "w") as archive:
            add(archive, "a", b"1")
            add(archive, "./a", b"2")
    assert read(path, "a", 9) == b"2"
    assert (
        "1 of its members repeat the name of another one: the last counts (first: member 2)"
        in (archive_warnings(path)[0])
    )


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_are_followed_within_the_archive_only(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    links = {"a/link": "../b/1", "folder": "b", "out": "../secret", "absolute": "/etc/passwd", "loop": "loop",
             "dangling": "nowhere", "to_folder": "a/../b"}  # fmt: skip
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("b/1", b"one")
            for name, target in links.items():
                info = zipfile.ZipInfo(name)
                info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, target)
            pipe = zipfile.ZipInfo("pipe")
            pipe.create_system, pipe.external_attr = 3, (stat.S_IFIFO | 0o600) << 16
            archive.writestr(pipe, b"")
    else:
        with tarfile.open(path, "w") as archive:
            add(archive, "b/1", b"one")
            add(archive, "a/hard", type=tarfile.LNKTYPE, linkname="./b/1")
            add(archive, "a/hard_out", type=tarfile.LNKTYPE, linkname="../b/1")
            add(archive, "pipe", type=tarfile.FIFOTYPE)
            for name, target in links.items():
                add(archive, name, type=tarfile.SYMTYPE, linkname=target)
        assert read(path, "a/hard", 9) == b"one"
        assert kind_of(path, "a/hard_out") == "link_leads_out"
    assert [read(path, name, 9) for name in ("a/link", "folder/1", "to_folder/1")] == [b"one"] * 3
    assert [kind_of(path, name) for name in ("out", "absolute", "loop", "dangling", "folder", "pipe")] == [
        "link_leads_out", "link_leads_out", "unreadable", "missing", "not_regular", "not_regular"]  # fmt: skip
    assert "out" not in list(files_below(path))


def test_encrypted_and_oddly_compressed_members_are_told(tmp_path: Path) -> None:
    for flag, offset, value, said in ((8, 6, 1, "encrypted"), (10, 8, 9, r"not read \(9\)")):
        path = pack(tmp_path / f"{flag}.zip", {"a.png": b"a"})
        data = bytearray(path.read_bytes())
        struct.pack_into("<H", data, data.index(b"PK\x01\x02") + flag, value)
        struct.pack_into("<H", data, offset, value)
        path.write_bytes(data)
        with pytest.raises(RootedFileError, match=said) as caught:
            find_under(path, "a.png")
        assert caught.value.kind == "unreadable"
        assert list(files_below(path)) == ["a.png"], "it is there, and accounted for"


def test_a_sparse_member_is_told(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(2**20)
        file.seek(2**19)
        file.write(b"x")
    if os.system(f"cd {tmp_path} && tar --sparse -cf x.tar holes 2>/dev/null"):
        pytest.skip("no GNU tar")
    assert kind_of(tmp_path / "x.tar", "holes", 2**21) == "unreadable"


def test_a_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    path = pack(tmp_path / "stored.zip", {"a": b"A" * 100, "b": b"B" * 100})
    path.write_bytes(path.read_bytes().replace(b"A" * 100, b"A" * 50 + b"C" + b"A" * 49))
    assert (kind_of(path, "a"), read(path, "b", 100)) == ("unreadable", b"B" * 100)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"bomb": bytes(50_000_000), "a": b"a"})
    assert (kind_of(path, "bomb", 10**6), read(path, "a", 9)) == ("too_large", b"a")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 1000)  # it claims to be small
    path.write_bytes(data)
    assert kind_of(path, "bomb", 10**6) == "unreadable"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [0.0, 0.001, 0.3, 0.6, 0.95])
def test_an_incomplete_download_is_refused_as_a_whole(tmp_path: Path, kind: str, cut: float) -> None:
    path = pack(tmp_path / f"x.{kind}", {f"{n}.png": random.Random(n).randbytes(70_000) for n in range(9)})
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    assert "damaged or incomplete" in refusal(path)
    assert ".png" not in refusal(path).replace("x.png", "")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"a": b"a", "b": b"b", "c": b"c"})
    data = bytearray(path.read_bytes())
    data[1024 + 150] ^= 1  # the second header's checksum
    path.write_bytes(data)
    assert "the header after member 1 is damaged" in refusal(path)


def test_damage_within_gzip_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tgz", {f"{n}": random.Random(n).randbytes(70_000) for n in range(9)})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refusal(path)


def test_what_is_inside_decides_not_the_name(tmp_path: Path) -> None:
    for kind, name in (("tar", "plain.tgz"), ("tgz", "packed.tar"), ("zip", "zipped.tar.gz")):
        pack(tmp_path / f"x.{kind}", {"a": b"a"}).rename(tmp_path / name)
        assert read(tmp_path / name, "a", 9) == b"a"
    two = gzip.compress((tmp_path / "plain.tgz").read_bytes()[:700])
    two += gzip.compress((tmp_path / "plain.tgz").read_bytes()[700:])
    (tmp_path / "two.tgz").write_bytes(two)
    assert read(tmp_path / "two.tgz", "a", 9) == b"a", "several streams of gzip, as pigz and bgzip write"
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    refusal(tmp_path / "page.zip")
    (tmp_path / "x.7z").write_bytes(b"7z")
    with pytest.raises(InputError, match=r"x.7z: archives of this kind are not read; .*.zip, .tar, .tar.gz, .tgz"):
        check_folders(tmp_path / "x.7z")
    (tmp_path / "folder.zip").mkdir()
    assert archive_at(tmp_path / "folder.zip") is None
    check_folders(tmp_path / "folder.zip")


def test_an_archive_that_is_replaced_meanwhile_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a": b"a"})
    assert read(path, "a", 9) == b"a"
    path.write_bytes(b"PK")
    assert kind_of(path, "a") == "unreadable"


def test_an_empty_archive_is_an_empty_folder(tmp_path: Path) -> None:
    for kind in KINDS:
        path = pack(tmp_path / f"x.{kind}", {})
        check_folders(path)
        assert list(files_below(path)) == []
