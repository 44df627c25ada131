"""Published checksums, keyed sources, copies of images: from files to shards to the table of duplicates."""

import hashlib
import os

import pytest
from pydicom.config import disable_value_validation
from shard_jobs import gather_job, log_of, shard_job
from written_dicom import file_bytes, file_row, make_dataset

from stages.common.data.identifiers import keyed, read_or_create_key
from stages.common.data.private_sources import hide
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import map_table, read_table, write_table
from stages.common.radiographs.readers import read_dicom
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_file, convert_shard
from stages.dicom_to_arrow.gather import find_duplicates, gather_shards

pytestmark = pytest.mark.usefixtures("in_this_process")
SETTINGS = DicomToArrowSettings(size=16)


@pytest.mark.parametrize("flip", [0, 1000, -1])
def test_a_file_that_is_not_what_was_published_is_a_reject(ramp, tmp_path, flip):
    content = bytearray(file_bytes(make_dataset(ramp)))
    row = file_row("a", "a.dcm") | {"sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "a.dcm").write_bytes(content)
    assert convert_file(row, tmp_path, SETTINGS).image is not None
    content[flip] ^= 1
    (tmp_path / "a.dcm").write_bytes(content)
    reject = convert_file(row, tmp_path, SETTINGS).reject
    assert reject["reason"] == "checksum_mismatch"
    assert "verify_checksums: false" in reject["message"], "a checksum of before the files were resized"
    unchecked = SETTINGS.model_copy(update={"verify_checksums": False})
    assert convert_file(row, tmp_path, unchecked).image is not None  # one bit of preamble, pixels


def write_set(tmp_path, name, contents, private=None):
    """A data set of one shard, converted and gathered; `contents` maps an id to bytes."""
    root, out = tmp_path / name, tmp_path / "out" / name
    root.mkdir()
    for image_id, content in contents.items():
        (root / f"{image_id}.dcm").write_bytes(content)
    rows = [file_row(image_id, f"{image_id}.dcm") | {"dataset": name} for image_id in contents]
    table = schemas.FILES.empty_table().from_pylist(rows, schema=schemas.FILES)
    table = hide(table, private, f"{name}_files.arrow") if private else table
    write_table(out / "files.arrow", table.schema, table)
    job = shard_job(root, out / "files.arrow", out, SETTINGS, private=private)
    convert_shard(job, log_of(job))
    gathered = gather_job(job.files, [job.images], [job.rejects], out, SETTINGS)
    return gathered.manifest, gather_shards(gathered)


def uid_file(ramp, uid, shift):
    return file_bytes(make_dataset((ramp + shift) % 4096, SOPInstanceUID=uid))


def test_duplicates_within_and_across_data_sets(ramp, tmp_path):
    ours, counts = write_set(tmp_path, "ours", {
        "a": uid_file(ramp, "1.2.1", 0), "b": uid_file(ramp, "1.2.1", 999), "c": uid_file(ramp, "1.2.3", 0),
        "d": uid_file(ramp, "1.2.4", 2000),
    })  # fmt: skip
    assert (counts["duplicate_images"], counts["duplicate_instances"]) == (1, 1)
    theirs, _ = write_set(tmp_path, "theirs", {"e": uid_file(ramp, "1.2.4", 3000), "f": uid_file(ramp, "1.2.6", 999)})
    table, groups = find_duplicates([ours, theirs])
    found = {(row["kind"], row["value"]): set() for row in table.to_pylist()}
    for row in table.to_pylist():
        found[row["kind"], row["value"]].add((row["dataset"], row["image_id"]))
    assert found["instance", "1.2.1"] == {("ours", "a"), ("ours", "b")}
    assert found["instance", "1.2.4"] == {("ours", "d"), ("theirs", "e")}
    pictures = [group for (kind, _), group in found.items() if kind == "picture"]
    assert sorted(map(sorted, pictures)) == [[("ours", "a"), ("ours", "c")], [("ours", "b"), ("theirs", "f")]]
    assert groups == {"instance_groups": 2, "instance_groups_across_data_sets": 1, "picture_groups": 2,
                      "picture_groups_across_data_sets": 1, "pixels_groups": 0,
                      "pixels_groups_across_data_sets": 0}  # fmt: skip
    assert len(find_duplicates([theirs])[0]) == 0
    with pytest.raises(InputError, match="two manifests of one data set"):
        find_duplicates([ours, ours])


def test_a_keyed_data_set_is_read_from_private_paths_and_carries_keyed_uids(ramp, tmp_path):
    private = tmp_path / "private"
    key = read_or_create_key(private)
    manifest, _ = write_set(tmp_path, "ours", {"secret": uid_file(ramp, "1.2.99999", 0)}, private)
    images = map_table(manifest.with_name("0.arrow"))
    assert images["instance_uid"].to_pylist() == [keyed("1.2.99999", "instance", key)]
    assert b"1.2.99999" not in manifest.with_name("0.arrow").read_bytes()
    job = shard_job(tmp_path / "ours", manifest.with_name("files.arrow"), tmp_path, SETTINGS)
    with pytest.raises(InputError, match="--private"):
        convert_shard(job, log_of(job))


UIDS = {"1.2.840.10008.5": "1.2.840.10008.5", "1.2.3\0": "1.2.3", "": None, "Canary^Name": None, "1." * 40: None}


@pytest.mark.filterwarnings("ignore:.*for VR UI")
@pytest.mark.parametrize("uid", UIDS)
def test_only_a_uid_is_taken_for_one(ramp, uid):
    dataset = make_dataset(ramp)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    with disable_value_validation():
        dataset.SOPInstanceUID = uid
        content = file_bytes(dataset)
    assert read_dicom(content, None, SETTINGS).instance_uid == UIDS[uid]


def test_whatever_lies_at_a_path_is_a_reject_and_never_waited_for(tmp_path):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.dcm").write_bytes(b"x")
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to(tmp_path / "outside.dcm")
    (root / "device").symlink_to("/dev/zero")
    expected = {"pipe": "not_a_regular_file", "folder": "not_a_regular_file", "link": "path_outside_root",
                "device": "path_outside_root", "../outside.dcm": "path_outside_root", "/dev/zero": "path_outside_root",
                "nothing": "file_missing"}  # fmt: skip
    found = {path: convert_file(file_row("a", path), root, SETTINGS).reject["reason"] for path in expected}
    assert found == expected


def test_the_same_shard_from_any_point_of_its_log(ramp, tmp_path):
    """Cut after every record: the tables are the same, and only the rest is converted again."""
    contents = {f"{number}": uid_file(ramp, f"1.{number}", 100 * number) for number in range(5)} | {"bad": b"no image"}
    write_set(tmp_path, "ours", contents)
    out = tmp_path / "out" / "ours"
    job = shard_job(tmp_path / "ours", out / "files.arrow", out, SETTINGS)
    log = log_of(job).read_bytes()
    whole = [(out / name).read_bytes() for name in ("0.arrow", "0_rejects.arrow")]
    resumed = set()
    for cut in range(0, len(log) + 1, len(log) // 12):
        job = shard_job(tmp_path / "ours", out / "files.arrow", out / "again", SETTINGS)
        log_of(job).parent.mkdir(parents=True, exist_ok=True)
        log_of(job).write_bytes(log[:cut])
        resumed.add(convert_shard(job, log_of(job)).resumed)
        assert [path.read_bytes() for path in (job.images, job.rejects)] == whole
    assert resumed >= {0, 1, 2, 3, 4}
    assert len(read_table(job.rejects, schemas.REJECTS)) == 1
