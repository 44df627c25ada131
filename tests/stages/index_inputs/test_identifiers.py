"""Keyed identifiers: HMAC-SHA256 of the distributed ids; key and map are private."""

import csv
import hashlib
import stat

import pytest

from stages.common.data.identifiers import (
    KEY_NAME,
    SPLITS_BY_DISTRIBUTED_IDS,
    ids_to_split_by,
    keyed,
    read_key,
    read_or_create_key,
    write_map,
)
from stages.common.data.patient_split import PatientSplit, split_of
from stages.common.errors import InputError

FOLDER = {"layout": "folder", "table": "table.csv", "columns": {"image": "file", "patient": "person", "study": "exam",
                                                                "report": "text"}}  # fmt: skip


def hmac_sha256(key: bytes, message: bytes) -> str:
    """RFC 2104 from its definition, H((K ^ opad) || H((K ^ ipad) || m)), for keys of at most 64 bytes."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keyed_is_hmac_of_kind_and_id():
    key = bytes(range(32))
    assert keyed("J. Müller", "patient", key) == "patient-" + hmac_sha256(key, "patient:J. Müller".encode())[:24]
    assert keyed("7", "patient", key).split("-")[1] != keyed("7", "study", key).split("-")[1]
    assert keyed("7", "patient", key) != keyed("7", "patient", bytes(32))


def test_key_is_made_once_and_private(tmp_path):
    private = tmp_path / "private"
    key = read_or_create_key(private)
    assert len(key) == 32
    assert read_or_create_key(private) == key == read_key(private)
    assert mode_of(private / KEY_NAME) == 0o600
    assert mode_of(private) == 0o700
    assert {path.name for path in private.iterdir()} == {KEY_NAME, SPLITS_BY_DISTRIBUTED_IDS}
    assert read_or_create_key(tmp_path / "other") != key


def test_a_new_key_splits_patients_as_the_old_one_did(tmp_path):
    """Of the same people in two workspaces: other ids, the same parts; both functions of the distributed id alone."""
    people, settings, parts = [f"MRN{number}" for number in range(300)], PatientSplit(test=0.2, validation=0.2), []
    for name in ("one", "two"):
        key = read_or_create_key(tmp_path / name)
        ids = [keyed(each, "patient", key) for each in people]
        write_map(tmp_path / name / "ours.csv", [("patient", *each) for each in zip(people, ids, strict=True)])
        unit_of = ids_to_split_by(tmp_path / name, "ours", ids)
        parts.append([split_of(unit_of(each), settings) for each in ids])
        assert ids_to_split_by(tmp_path / name, "public", ["p1", None])("p1") == "p1"  # its ids are not keyed
    assert parts[0] == parts[1] == [split_of(each, settings) for each in people]


def test_a_folder_with_a_key_of_before_keeps_its_split(tmp_path):
    key = read_or_create_key(tmp_path)
    (tmp_path / SPLITS_BY_DISTRIBUTED_IDS).unlink()  # what an earlier version left
    assert read_or_create_key(tmp_path) == key
    write_map(tmp_path / "ours.csv", [("patient", "MRN1", "patient-1")])
    assert ids_to_split_by(tmp_path, "ours", ["patient-1"])("patient-1") == "patient-1"
    assert ids_to_split_by(None, "ours", ["patient-1"])("patient-1") == "patient-1"


def without_last_row(text: str) -> bytes:
    return "".join(text.splitlines(keepends=True)[:-1]).encode()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (None, "is missing"),
        (lambda _: b"", "is damaged"),
        (lambda text: text.replace(",", ";").encode(), "is damaged"),
        (lambda text: text.encode("utf-16"), "is damaged"),
        (lambda text: text[:-30].encode(), "lacks the right id"),
        (lambda text: text[:-40].encode(), "is damaged"),
        (without_last_row, "lacks the right id of 1 of 2 keyed ids, e.g. of patient-"),
        (lambda text: text.replace(",007,", ",7,").encode(), "lacks the right id of 1 of 2 keyed ids"),  # a spreadsheet
    ],
)
def test_a_map_without_ids_is_refused_instead_of_another_split(tmp_path, damage, says):
    key, path = read_or_create_key(tmp_path), tmp_path / "ours.csv"
    ids = {each: keyed(each, "patient", key) for each in ("007", "M1")}
    write_map(path, [("patient", *pair) for pair in ids.items()])
    path.unlink() if damage is None else path.write_bytes(damage(path.read_text()))
    with pytest.raises(InputError) as error:
        ids_to_split_by(tmp_path, "ours", ids.values())
    assert str(error.value).startswith(f"{path}: ")
    assert says in str(error.value)
    assert "restore it from a copy, or run index_inputs of the data set again" in str(error.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_key_that_others_can_read_is_refused(tmp_path, mode):
    read_or_create_key(tmp_path)
    (tmp_path / KEY_NAME).chmod(mode)
    with pytest.raises(InputError, match="chmod 600"):
        read_or_create_key(tmp_path)


def test_damaged_key_is_not_replaced(tmp_path):
    read_or_create_key(tmp_path)
    (tmp_path / KEY_NAME).write_text("abc\n")
    with pytest.raises(InputError, match="not a key"):
        read_or_create_key(tmp_path)
    assert (tmp_path / KEY_NAME).read_text() == "abc\n"


def test_missing_key_and_missing_folder(tmp_path):
    with pytest.raises(InputError, match="run index_inputs"):
        read_key(tmp_path)
    with pytest.raises(InputError, match="--private"):
        read_or_create_key(None)


def test_folder_is_keyed_by_default_and_the_map_leads_back(index, folder):
    indexed = index(folder, FOLDER, dataset="ours")
    plain = index(folder, FOLDER | {"identifiers": "distributed"}, dataset="plain")
    path = indexed.private / "ours.csv"
    assert mode_of(path) == 0o600
    with path.open(newline="") as handle:
        back = {(row["kind"], row["keyed_id"]): row["distributed_id"] for row in csv.DictReader(handle)}
    for ours, theirs in zip(indexed.files, plain.files, strict=True):
        for kind in ("image", "study", "patient"):
            assert ours[f"{kind}_id"].startswith(f"{kind}-")
            assert back[kind, ours[f"{kind}_id"]] == theirs[f"{kind}_id"]
    assert {back["study", report["study_id"]] for report in indexed.reports} == {"e1"}
    assert len(back) == 3 + 2 + 2
    assert not (indexed.private / "plain.csv").exists()


def test_neither_key_nor_ids_reach_the_journal(index, folder, capsys):
    indexed = index(folder, FOLDER)
    output = capsys.readouterr()
    shown = str(indexed.journal) + output.out + output.err
    assert (indexed.private / KEY_NAME).read_text().strip() not in shown
    assert not any(name in shown for name in ("b/1.png", "a/3.png"))


def test_same_key_same_bytes_and_a_shared_patient_stays_one(index, folder, tmp_path):
    first = index(folder, FOLDER, dataset="set")
    content = first.files_path.read_bytes()
    assert index(folder, FOLDER, dataset="set").files_path.read_bytes() == content
    other = index(folder, FOLDER, dataset="other")
    assert {file["patient_id"] for file in other.files} == {file["patient_id"] for file in first.files}
    apart = index(folder, FOLDER, dataset="apart", private=tmp_path / "elsewhere")
    assert not {file["patient_id"] for file in apart.files} & {file["patient_id"] for file in first.files}


def test_public_layouts_can_be_keyed(index, mimic):
    indexed = index(mimic, {"layout": "mimic_cxr", "identifiers": "keyed"})
    assert {report["study_id"] for report in indexed.reports} == {file["study_id"] for file in indexed.files}
    assert all(file["image_id"].startswith("image-") for file in indexed.files)
