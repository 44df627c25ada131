"""Shards end to end: order, reconciliation, the same bytes with any number of workers, damage, the command line."""

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless
from shard_jobs import gather_job, log_of, shard_job
from written_dicom import file_row, make_compressed, make_dataset

from stages.common.command_line import run_stage
from stages.common.data.image_store import ImageStore
from stages.common.data.manifest import Manifest
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_sidecar, sha256_of
from stages.common.records import read_record
from stages.dicom_to_arrow import gather as stage
from stages.dicom_to_arrow.__main__ import WORK
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import ShardCounts, convert_shard
from stages.dicom_to_arrow.gather import gather_shards

SETTINGS = DicomToArrowSettings(size=32)


@pytest.fixture
def data_set(tmp_path, ramp, write_index):
    """Root and index of 9 files in shards 0 and 1; shard 2 is empty. Four of them are rejects."""
    root = tmp_path / "root"
    root.mkdir()
    contents = {
        "z": make_dataset(ramp),
        "b": make_dataset(ramp[::-1]),
        "constant": make_dataset(ramp * 0),
        "a": make_dataset(ramp),  # a duplicate of z
        "lateral": make_dataset(ramp, ViewPosition="LL"),
        "damaged": make_compressed(ramp, b"damage" * 20, JPEG2000Lossless),
        "m": make_dataset(ramp[:, ::-1]),
        "n": make_dataset(ramp[:24]),
    }
    for name, dataset in contents.items():
        dataset.save_as(root / f"{name}.dcm", enforce_file_format=True)
    rows = [file_row(name, f"{name}.dcm", shard=int(name in "mn"), view=None) for name in [*contents, "missing"]]
    return root, write_index(rows)


def convert(root: Path, files: Path, folder: Path, shard: int = 0, workers: int = 1) -> ShardCounts:
    job = shard_job(root, files, folder, SETTINGS, shard, workers=workers)
    return convert_shard(job, log_of(job))


def convert_all(root: Path, files: Path, folder: Path, workers: int = 1, shards: int = 3) -> dict[str, list[Path]]:
    images = [folder / f"{number}.arrow" for number in range(shards)]
    rejects = [folder / f"{number}_rejects.arrow" for number in range(shards)]
    for number in range(shards):
        convert(root, files, folder, number, workers)
    return {"shard_images": images, "shard_rejects": rejects}


@pytest.mark.parametrize("published", [True, False])
def test_a_contact_sheet_of_radiographs_drawn_by_seed_is_logged_only_where_it_is_asked_for(
    data_set, tmp_path, published
) -> None:
    root, files = data_set
    paths = convert_all(root, files, tmp_path)
    settings = DicomToArrowSettings(size=32, publish_samples=published, samples=2, seed=3)
    stage.gather(gather_job(files, **paths, folder=tmp_path, settings=settings))
    listed = {each["path"]: each for each in json.loads((tmp_path / "journal.json").read_text())["artifacts"]}
    sheet = tmp_path / "pictures" / "contact_sheet.jpg"
    assert ("pictures/contact_sheet.jpg" in listed) == sheet.exists() == published
    if published:
        assert listed["pictures/contact_sheet.jpg"]["publish"]
        with Image.open(sheet) as picture:
            assert picture.size == (2 * 192, 192)


def test_the_contact_sheet_is_no_setting_of_the_conversion() -> None:
    one, other = DicomToArrowSettings(size=32), DicomToArrowSettings(size=32, publish_samples=True, samples=3, seed=1)
    assert one.conversion().digest() == other.conversion().digest() != one.digest()


def test_every_file_is_one_row_in_the_order_of_the_index(data_set, tmp_path):
    root, files = data_set
    counts = convert(root, files, tmp_path)
    images = read_table(tmp_path / "0.arrow", schemas.images(32))
    rejects = read_table(tmp_path / "0_rejects.arrow", schemas.REJECTS)
    assert images["image_id"].to_pylist() == ["z", "b", "a"]
    assert rejects["source_id"].to_pylist() == ["constant", "lateral", "damaged", "missing"]
    assert rejects["reason"].to_pylist() == ["constant_image", "wrong_view", "decode_failed", "file_missing"]
    assert counts.metrics() == {
        "indexed": 7, "resumed": 0, "images": 3, "rejects": 4, "duplicate_images": 1, "rejects_constant_image": 1,
        "rejects_wrong_view": 1, "rejects_decode_failed": 1, "rejects_file_missing": 1,
    }  # fmt: skip
    row = images.slice(0, 1).to_pylist()[0]
    assert row["content_box"] == [0, 4, 32, 24]
    assert (row["original_rows"], row["original_columns"]) == (48, 64)
    pixels = np.frombuffer(row["pixels"], dtype=np.uint8).reshape(32, 32)
    assert not pixels[:4].any()
    assert not pixels[28:].any()
    assert (np.diff(pixels[4:28].astype(int), axis=1) >= 0).all()


def test_workers_change_no_byte(data_set, tmp_path):
    root, files = data_set
    digests = []
    for workers in (1, 2, 1):
        folder = tmp_path / f"run{len(digests)}"
        paths = convert_all(root, files, folder, workers, shards=1)
        digests.append([sha256_of(path) for paths_ in paths.values() for path in paths_])
    assert digests[0] == digests[1] == digests[2]


@pytest.mark.usefixtures("in_this_process")
def test_gather_writes_what_the_image_store_reads(data_set, tmp_path):
    root, files = data_set
    paths = convert_all(root, files, tmp_path / "shards")
    manifest = tmp_path / "out" / "manifest.json"
    counts = gather(files, paths, tmp_path / "out")
    assert counts["indexed"] == 9 == counts["images"] + counts["rejects"]
    assert counts["duplicate_images"] == counts["duplicate_pictures"] == 1
    assert counts["duplicate_instances"] == 4  # all five bear the UID that make_dataset gives
    record = read_record(manifest, Manifest)
    assert record.model_dump(exclude={"shards"}) == {
        "dataset": "tests", "size": 32, "indexed": 9, "images": 5, "rejects": 4, "pictures": 5,
        "without_view": 0, "nearly_black": 0, "voi_lut_unusable": 0, "first_doubtful": {},
    }  # fmt: skip
    assert [shard.rows for shard in record.shards] == [3, 2, 0]
    assert record.shards[0].model_dump() == {
        "path": "../shards/0.arrow",
        "bytes": (tmp_path / "shards" / "0.arrow").stat().st_size,
        "rows": 3,
        "rejects": 4,
        "sha256": read_sidecar(tmp_path / "shards" / "0.arrow"),
    }
    store = ImageStore(manifest)
    assert store.ids == ["z", "b", "a", "m", "n"]
    np.testing.assert_array_equal(store.pixels(0), store.pixels(2))
    assert len(read_table(tmp_path / "out" / "rejects.arrow", schemas.REJECTS)) == 4


def gather(files: Path, paths: dict[str, list[Path]], folder: Path) -> dict[str, int]:
    return gather_shards(gather_job(files, **paths, folder=folder, settings=SETTINGS))


@pytest.mark.usefixtures("in_this_process")
def test_one_flipped_bit_is_named(data_set, tmp_path):
    root, files = data_set
    paths = convert_all(root, files, tmp_path / "shards")
    for damaged in (paths["shard_images"][1], paths["shard_rejects"][0]):
        whole = damaged.read_bytes()
        for place in (*range(0, len(whole), len(whole) // 12), len(whole) - 1):
            damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(InputError, match=rf"{damaged.name}: damaged"):
                gather(files, paths, tmp_path)
        damaged.write_bytes(whole)
    assert gather(files, paths, tmp_path)["images"] == 5


@pytest.mark.usefixtures("in_this_process")
def test_shards_that_are_too_large_are_warned_of_with_the_number_to_set(data_set, tmp_path, capsys, monkeypatch):
    root, files = data_set
    paths = convert_all(root, files, tmp_path / "shards")
    gather(files, paths, tmp_path)
    assert "index_inputs.shards" not in capsys.readouterr().err
    total = sum(path.stat().st_size for path in paths["shard_images"])
    monkeypatch.setattr("stages.dicom_to_arrow.gather.SHARD_BYTES", total // 10)
    gather(files, paths, tmp_path)
    assert f"set index_inputs.shards to {-(-total // (total // 10))}" in capsys.readouterr().err


@pytest.mark.usefixtures("in_this_process")
def test_shards_that_do_not_match_the_index_are_named(data_set, tmp_path):
    root, files = data_set
    paths = convert_all(root, files, tmp_path / "shards")
    swapped = {key: [values[1], values[0], values[2]] for key, values in paths.items()}
    with pytest.raises(InputError, match="shard 0 does not match"):
        gather(files, swapped, tmp_path)
    short = {key: values[:1] for key, values in paths.items()}
    with pytest.raises(InputError, match="shards 0 to 1, but 1 were given"):
        gather(files, short, tmp_path)
    with pytest.raises(InputError, match="one of each per shard"):
        gather(files, paths | {"shard_rejects": paths["shard_rejects"][:2]}, tmp_path)
    twice = read_table(paths["shard_rejects"][0], schemas.REJECTS).to_pylist()
    write_rows(paths["shard_rejects"][0], schemas.REJECTS, [*twice, twice[0]])
    with pytest.raises(InputError, match="shard 0 does not match"):
        gather(files, paths, tmp_path)
    with pytest.raises(InputError, match="columns differ"):
        gather_shards(gather_job(files, **paths, folder=tmp_path, settings=DicomToArrowSettings()))
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.usefixtures("in_this_process")
def test_an_index_that_names_an_image_twice_or_two_data_sets(ramp, tmp_path, write_index):
    (tmp_path / "root").mkdir()
    make_dataset(ramp).save_as(tmp_path / "root" / "a.dcm", enforce_file_format=True)
    files = write_index([file_row("a", "a.dcm"), file_row("a", "a.dcm")])
    paths = convert_all(tmp_path / "root", files, tmp_path, shards=1)
    with pytest.raises(InputError, match="image a is indexed twice"):
        gather(files, paths, tmp_path)
    files = write_index([file_row("a", "a.dcm"), file_row("b", "a.dcm") | {"dataset": "other"}])
    with pytest.raises(InputError, match="several data sets"):
        gather(files, paths, tmp_path)
    with pytest.raises(InputError, match="no files are indexed"):
        gather(write_index([]), paths, tmp_path)


@pytest.mark.usefixtures("in_this_process")
def test_when_all_are_rejected_the_most_frequent_reason_is_named(ramp, tmp_path, write_index):
    make_dataset(ramp, Modality="CT").save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    files = write_index([file_row("ct", "ct.dcm"), file_row("x", "x.dcm"), file_row("y", "y.dcm")])
    paths = convert_all(tmp_path, files, tmp_path, shards=1)
    with pytest.raises(
        InputError, match=r"all 3 files were rejected, 2 of them as file_missing, e\.g\. x: no such file"
    ):
        gather(files, paths, tmp_path)


def test_a_missing_root_is_named(tmp_path, write_index):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        convert(tmp_path / "nowhere", write_index([]), tmp_path)


def test_command_line(data_set, tmp_path, capsys):
    root, files = data_set
    common = ["--settings", "{size: 32}", "--files", str(files)]
    for shard in ("0", "1"):
        out = ["--images", str(tmp_path / f"{shard}.arrow"), "--rejects", str(tmp_path / f"{shard}_rejects.arrow")]
        journal = ["--journal", str(tmp_path / f"{shard}.json"), "--root", str(root), "--shard", shard]
        journal += ["--state", str(tmp_path / "state")]
        run_stage(WORK, ["convert", *common, *out, *journal])
    shards = ["--shard-images", *[str(tmp_path / f"{shard}.arrow") for shard in (0, 1)]]
    shards += ["--shard-rejects", *[str(tmp_path / f"{shard}_rejects.arrow") for shard in (0, 1)]]
    out = ["--manifest", str(tmp_path / "manifest.json"), "--rejects", str(tmp_path / "rejects.arrow")]
    run_stage(WORK, ["gather", *common, *shards, *out, "--journal", str(tmp_path / "g.json")])
    journal = json.loads((tmp_path / "g.json").read_text())
    metrics = {metric["key"]: metric["value"] for metric in journal["metrics"]}
    assert journal["status"] == "FINISHED"
    assert (metrics["indexed"], metrics["images"], metrics["rejects"]) == (9, 5, 4)
    listed = [artifact["path"] for artifact in journal["artifacts"]]
    assert listed == ["pictures/files.svg", "manifest.json", "rejects.arrow"]
    drawn = (tmp_path / "pictures" / "files.svg").read_text()
    reasons = [name.removeprefix("rejects_") for name in metrics if name.startswith("rejects_")]
    assert len(reasons) == 4
    assert all(f">{reason.replace('_', ' ')}<" in drawn for reason in reasons)
    assert len(pc.unique(read_table(tmp_path / "rejects.arrow", schemas.REJECTS)["reason"])) == 4
    with pytest.raises(SystemExit):
        run_stage(WORK, ["convert", *common, "--journal", "j", "--root", "nowhere", "--shard", "0", "--state", "s",
                         "--images", "i", "--rejects", "r", "--settings", "{sise: 3}"])  # fmt: skip
    assert not list((tmp_path / "state").iterdir())  # what finished shards needed no longer
    assert "sise: unknown key" in capsys.readouterr().err


@pytest.mark.parametrize(("shard", "words"), [(99, "files.arrow has 2 shards; give a number from 0 to 1"),
                                              (2, "has 2 shards"), (-1, "--shard -1: is below 0")])  # fmt: skip
def test_a_shard_that_the_index_does_not_have_is_refused(data_set, tmp_path, capsys, shard, words):
    root, files = data_set
    options = {"root": root, "files": files, "shard": shard, "state": tmp_path / "state",
               "images": tmp_path / "i.arrow",
               "rejects": tmp_path / "r.arrow", "journal": tmp_path / "j.json"}  # fmt: skip
    with pytest.raises(SystemExit):
        run_stage(WORK, ["convert", *(str(word) for name, value in options.items() for word in (f"--{name}", value))])
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "i.arrow").exists()
