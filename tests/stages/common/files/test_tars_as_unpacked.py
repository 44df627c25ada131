"""Tars are read as GNU tar unpacks them: links at the time of unpacking, and ends that are cut off or not the end."""

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.files import archives
from stages.common.files.archives import is_dir, is_file, keep_indexes_in
from stages.common.files.rooted_files import RootedFileError, archive_warnings, check_folders, files_below, read_under

PIXELS = {f"{number}.png": random.Random(number).randbytes(7000) for number in range(9)}
BLOCK = tarfile.BLOCKSIZE


@pytest.fixture(autouse=True)
def _nothing_kept():
    keep_indexes_in(None)
    yield
    keep_indexes_in(None)


def tar(path: Path, *members: tuple[str, bytes, str]) -> Path:
    """Write members of name, type and contents, which of a link are its target."""
    with tarfile.open(path, "w") as archive:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(text)
            else:
                info.linkname = text
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def plain(files: dict[str, bytes]) -> bytes:
    """Return a tar of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def file(name: str, text: str) -> tuple[str, bytes, str]:
    return name, tarfile.REGTYPE, text


def link(name: str, target: str) -> tuple[str, bytes, str]:
    return name, tarfile.SYMTYPE, target


def hard(name: str, target: str) -> tuple[str, bytes, str]:
    return name, tarfile.LNKTYPE, target


def folder(name: str) -> tuple[str, bytes, str]:
    return name, tarfile.DIRTYPE, ""


def read(root: Path, name: str) -> str:
    """Return the text of a member, or why it is not read."""
    try:
        return read_under(root, name, 99).decode()
    except RootedFileError as error:
        return error.kind


# members, what reading gives, parts of the warnings; as GNU tar 1.34 unpacks them, unless a comment says otherwise
AS_UNPACKED = {
    "a hard link keeps what is later replaced": (
        [file("a", "old"), hard("h", "a"), hard("./sub/h", "./a"), file("a", "new"), hard("after", "a")],
        {"a": "new", "h": "old", "sub/h": "old", "after": "new"}, ["member 4"]),
    "of a hard link, too": ([file("a", "old"), hard("h", "a"), hard("g", "h"), file("h", "new")],
                            {"a": "old", "h": "new", "g": "old"}, ["member 4"]),
    "a hard link to itself": ([file("a", "old"), hard("a", "a")], {"a": "old"}, ["member 2"]),
    "a hard link to what comes later": (
        [hard("h", "a"), file("g", "own"), hard("g", "a"), file("a", "new")],
        {"h": "missing", "g": "own", "a": "new"},
        ["2 of its members are hard links to no member before them: they are not read (first: member 1)"]),
    "a hard link to a symbolic one": (
        [file("b", "b"), file("d/b", "db"), link("s", "b"), hard("d/h", "s"), link("s", "gone")],
        {"d/h": "db", "s": "missing"}, ["member 5"]),
    "a hard link through a linked folder": ([file("real/a", "a"), link("ln", "real"), hard("h", "ln/a")],
                                            {"h": "a"}, []),
    "a member in a linked folder": ([folder("real"), link("ln", "real"), file("ln/b", "b"), file("ln/sub/c", "c")],
                                    {"real/b": "b", "ln/b": "b", "real/sub/c": "c", "ln/sub/c": "c"}, []),
    "it replaces the one of the folder": ([file("real/a", "old"), link("ln", "real"), file("ln/a", "new")],
                                          {"real/a": "new", "ln/a": "new"}, ["member 3"]),
    "links within linked folders": (
        [file("real/x/a", "a"), file("y", "y"), link("one", "real"), link("one/two", "x"), file("one/two/c", "c"),
         link("one/two/s", "../../y")],
        {"real/x/c": "c", "real/two/c": "c", "one/two/a": "a", "real/x/s": "y"}, []),
    "the link of that time": (
        [folder("p"), folder("q"), link("ln", "p"), file("ln/1", "1"), link("ln", "q"), file("ln/2", "2")],
        {"p/1": "1", "q/2": "2", "ln/1": "missing", "ln/2": "2"}, ["member 5"]),
    # GNU tar fails on these two, since it makes such links last or lacks the folder: where they belong is plain
    "up and down": ([folder("real"), link("d/ln", "../real"), file("d/ln/b", "b")], {"real/b": "b"}, []),
    "a folder that comes later": ([link("ln", "real"), file("ln/b", "b"), file("real/a", "a")], {"real/b": "b"}, []),
    "out of the archive, or nowhere": (
        [link("out", "../out"), file("out/b", "b"), link("loop", "loop"), file("loop/b", "b"), link("abs", "/tmp"),
         file("abs/b", "b"), file("a", "a")],
        {"out/b": "link_leads_out", "loop/b": "unreadable", "abs/b": "link_leads_out", "a": "a"},
        ["3 of its members lie below links that lead out of the archive or in a loop: they are not read "
         "(first: member 2)"]),
    "a link after the folder's members": (
        [file("ln/b", "b"), file("real/b", "other"), link("ln", "real")], {"ln/b": "b", "real/b": "other"},
        ["1 of its members are links in the place of a folder that has members: the folder counts (first: member 3)"]),
    "a link after an empty folder": ([folder("ln"), file("real/a", "a"), link("ln", "real")], {"ln/a": "a"}, []),
    "a folder after a link": ([file("real/a", "a"), link("ln", "real"), folder("ln"), file("ln/b", "b")],
                              {"real/a": "a", "real/b": "missing", "ln/a": "missing", "ln/b": "b"}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", AS_UNPACKED)
def test_links_count_as_they_are_when_a_member_is_unpacked(tmp_path: Path, case: str) -> None:
    members, expected, warned = AS_UNPACKED[case]
    path = tar(tmp_path / "x.tar", *members)
    for _ in range(2):  # found, then recalled
        check_folders(path, (), tmp_path / "private")
        assert {name: read(path, name) for name in expected} == expected
        found = archive_warnings(path)
        assert len(found) == len(warned)
        assert all(part in line for part, line in zip(warned, found, strict=True))
        archives._opened.cache_clear()


def test_a_member_in_a_linked_folder_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("ln")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr("real/a", b"a")
        archive.writestr(info, "real")
        archive.writestr("ln/b", b"b")
    assert sorted(files_below(tmp_path / "x.zip")) == ["real/a", "real/b"]


def stored(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError, match="download it again") as caught:
        check_folders(path)
    return str(caught.value)


@pytest.mark.parametrize("cut", [1, 4, 5, 7, 8, 9, 10, 12, 20, 60])
@pytest.mark.parametrize("members", [1, 3])
def test_a_gzip_without_its_last_bytes_is_refused_when_it_is_indexed(tmp_path: Path, cut: int, members: int) -> None:
    raw = plain(PIXELS)
    parts = [raw[len(raw) * k // members : len(raw) * (k + 1) // members] for k in range(members)]
    data = b"".join(map(gzip.compress, parts))
    path = stored(tmp_path / "x.tar.gz", data)
    assert len(list(files_below(path))) == len(PIXELS)
    refusal(stored(path, data[:-cut]))


@pytest.mark.parametrize("place", [-8, -5, -4, -1])
@pytest.mark.parametrize("first", [True, False])
def test_a_wrong_checksum_or_length_of_any_gzip_member_is_refused(tmp_path: Path, place: int, first: bool) -> None:
    raw = plain(PIXELS)
    parts = [bytearray(gzip.compress(each)) for each in (raw[:30_000], raw[30_000:])]
    parts[0 if first else 1][place] ^= 1
    refusal(stored(tmp_path / "x.tgz", b"".join(parts)))


def test_what_may_follow_and_part_gzip_members(tmp_path: Path) -> None:
    raw = plain(PIXELS)
    whole, one, two = (gzip.compress(part) for part in (raw, raw[:30_000], raw[30_000:]))
    legal = [whole + bytes(1), whole + bytes(5000), one + two, one + bytes(512) + two, gzip.compress(b"") + whole,
             whole + gzip.compress(b"")]  # fmt: skip
    for number, data in enumerate(legal):
        path = stored(tmp_path / f"{number}.tgz", data)
        assert {name: read_under(path, name, 9000) for name in files_below(path)} == PIXELS
        assert archive_warnings(path) == []
    path = stored(tmp_path / "more.tgz", whole + b"<html>")
    assert {name: read_under(path, name, 9000) for name in files_below(path)} == PIXELS
    assert archive_warnings(path) == [f"{path}: {MORE.format(9)}"]
    refusal(stored(tmp_path / "between.tgz", one + b"<html>" + two))


MORE = ("more data follow the end of the archive, after its member {}: they are not read; if members are missing, "
        "pack it anew")  # fmt: skip
CUT = ("it may be cut off after its member {}: the two empty blocks that end a tar are missing; if members are "
       "missing, download it again")  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_the_end_of_a_tar_is_two_empty_blocks_and_nothing_else(tmp_path: Path, packed: bool) -> None:
    a, b = (plain({name: name.encode() * 600})[: 3 * BLOCK] for name in "ab")
    empty = bytes(BLOCK)
    cases = [
        (a + b + 2 * empty, "ab", None),
        (a + b + 99 * empty, "ab", None),
        (a + b, "ab", CUT.format(2)),
        (a, "a", CUT.format(1)),
        (a + empty[:100], "a", CUT.format(1)),
        (a + empty, "a", CUT.format(1)),
        (a + empty + empty[:100], "a", CUT.format(1)),
        (a + empty + b + 2 * empty, "a", MORE.format(1)),
        (a + 2 * empty + b + 2 * empty, "a", MORE.format(1)),
        (a + 9 * empty + b"\n", "a", MORE.format(1)),
        (empty + a + 2 * empty, "", MORE.format(0)),
        (2 * empty, "", None),
        (empty, "", CUT.format(0)),
    ]
    for number, (data, names, warned) in enumerate(cases):
        data = gzip.compress(data) if packed else data
        path = stored(tmp_path / f"{number}.tar{'.gz' if packed else ''}", data)
        for _ in range(2):  # found, then recalled
            check_folders(path, (), tmp_path / "private")
            assert "".join(files_below(path)) == names
            assert archive_warnings(path) == ([] if warned is None else [f"{path}: {warned}"])
            archives._opened.cache_clear()
    for data in (a + b[:-1], a + b[:BLOCK], a + b[:100], a + b"<html>", a[:100]):
        refusal(stored(tmp_path / "x.tar", gzip.compress(data) if packed else data))


@pytest.mark.parametrize("name", ["x.tar.bz2", "X.TAR.XZ", "x.tbz2", "x.txz", "x.tar.zst", "x.rar", "x.7z", "x.gz"])
@pytest.mark.parametrize("as_root", [True, False])
def test_what_is_not_read_says_what_is_and_what_to_do(tmp_path: Path, name: str, as_root: bool) -> None:
    path = stored(tmp_path / name, b"BZh91AY&SY")
    with pytest.raises(InputError) as caught:
        check_folders(*((path,) if as_root else (tmp_path, [path])))
    assert caught.value.what.startswith(f"{path}: ")
    assert caught.value.what.endswith((" are not read", " is read"))
    assert ".zip, .tar, .tar.gz, .tgz" in caught.value.remedy
    assert "extract or repack it" in caught.value.remedy
    assert "--" not in str(caught.value), "an option that not every command has"
    (tmp_path / "root").mkdir()
    check_folders(stored(tmp_path / "root" / name, b"x").parent)


def test_every_question_about_such_an_archive_has_that_answer(tmp_path: Path) -> None:
    path = stored(tmp_path / "x.tar.xz", b"")
    for ask in (is_dir, lambda root: is_file(root / "t.csv"), lambda root: list(files_below(root))):
        with pytest.raises(InputError, match="extract or repack it"):
            ask(path)
    (tmp_path / "folder.7z").mkdir()
    check_folders(tmp_path / "folder.7z")
    for start in (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\0", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"):
        with pytest.raises(InputError, match=r"x.tar: archives of this kind are not read; extract or repack it"):
            check_folders(stored(tmp_path / "x.tar", start + bytes(2000)))
    with pytest.raises(InputError, match="gone: no such folder; correct `root` of the data set"):
        check_folders(tmp_path / "gone")
    assert read(tar(tmp_path / "fine.tar", file("BZh", "a")), "BZh") == "a", "a name is not the start of bzip2"


def test_a_refused_archive_is_not_read_again_until_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plain(PIXELS)
    path, opened = stored(tmp_path / "x.tar", whole[:9000]), []
    original = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *given, **named: opened.append(1) or original(*given, **named))
    assert refusal(path) == refusal(path)
    assert len(opened) == 1
    assert len(list(files_below(stored(path, whole)))) == len(PIXELS)
