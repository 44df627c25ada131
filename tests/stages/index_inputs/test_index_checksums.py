"""SHA256SUMS.txt of the distribution: read in every form that it has, refused where it contradicts itself."""

import hashlib

import pytest

SUM = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("aaaa-1", "bbbb-1", "other")}
A = "files/p10/p10000032/s50414267/aaaa-1.dcm"
B = "files/p10/p10000764/s57375967/bbbb-1.dcm"


def sums_of(index, root) -> dict[str, str | None]:
    indexed = index(root, {"layout": "mimic_cxr"})
    assert indexed.metric("files_with_checksum") == sum(file["sha256"] is not None for file in indexed.files)
    return {file["image_id"]: file["sha256"] for file in indexed.files}


def test_without_the_file_there_are_no_checksums(index, mimic):
    assert set(sums_of(index, mimic).values()) == {None}


@pytest.mark.parametrize("between", [" ", "  ", " *", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_forms_of_a_line(index, mimic, between, end):
    lines = [f"{SUM['aaaa-1'].upper()}{between}{A}", f"{SUM['bbbb-1']}{between}./{B}",
             f"{SUM['other']}{between}LICENSE, of \"all\".txt", ""]  # fmt: skip
    (mimic / "SHA256SUMS.txt").write_bytes(end.join(lines).encode())
    expected = {"aaaa-1": SUM["aaaa-1"], "bbbb-1": SUM["bbbb-1"], "bbbb-2": None, "cccc-1": None}
    assert sums_of(index, mimic) == expected


def test_an_empty_file_is_no_checksum(index, mimic):
    (mimic / "SHA256SUMS.txt").touch()
    assert set(sums_of(index, mimic).values()) == {None}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{SUM['other']}  LICENSE.txt\nabc  {A}\n", "SHA256SUMS.txt: line 2 is not"),
        (f"{SUM['other']}  {A}\n{SUM['aaaa-1']}  {A}\n", "SHA256SUMS.txt: line 2 contradicts"),
        (f"{SUM['other'][:-1]}  {A}\n", "SHA256SUMS.txt: line 1 is not"),
    ],
)
def test_what_is_no_list_of_checksums(index, mimic, capsys, text, complaint):
    (mimic / "SHA256SUMS.txt").write_text(text)
    with pytest.raises(SystemExit):
        index(mimic, {"layout": "mimic_cxr"})
    assert complaint in capsys.readouterr().err


def test_the_same_line_twice_is_no_contradiction(index, mimic):
    (mimic / "SHA256SUMS.txt").write_text(f"{SUM['aaaa-1']}  {A}\n" * 2)
    assert sums_of(index, mimic)["aaaa-1"] == SUM["aaaa-1"]


def test_the_data_digest_follows_the_checksums(index, mimic):
    before = index(mimic, {"layout": "mimic_cxr"}).journal["digests"]["data"]
    (mimic / "SHA256SUMS.txt").write_text(f"{SUM['aaaa-1']}  {A}\n")
    assert index(mimic, {"layout": "mimic_cxr"}).journal["digests"]["data"] != before
