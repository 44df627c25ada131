"""Inputs are checked in the background, and no output gets its name before the checks are over."""

import os
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pytest
from eventually import SECONDS
from one_shard_store import write_manifest

from stages.common.data.image_store import ImageStore
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_table
from stages.common.files.atomic_files import check_in_background, settle, write_checked_json, write_text


def test_an_output_waits_for_the_checks(tmp_path):
    go, order = Event(), []

    def slow() -> None:
        go.wait(SECONDS)
        order.append("checked")

    check_in_background([slow])
    assert order == []
    go.set()
    write_text(tmp_path / "result", "1")
    assert order == ["checked"]
    assert (tmp_path / "result").is_file()


def test_what_a_check_finds_is_raised_once_and_the_output_is_not_there(tmp_path):
    def fails() -> None:
        raise InputError("shard 3: damaged")

    check_in_background([lambda: None, fails, lambda: None])
    with pytest.raises(InputError, match="shard 3: damaged"):
        write_text(tmp_path / "result", "1")
    assert list(tmp_path.iterdir()) == []
    write_text(tmp_path / "journal", "FAILED")  # the one that says so


def test_a_forked_process_does_not_wait_for_threads_that_it_has_not():
    go = Event()
    check_in_background([lambda: go.wait(SECONDS)])
    child = os.fork()
    if child == 0:
        try:
            settle()
            os._exit(7)
        finally:
            os._exit(1)  # an error must not go on as a second test session
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    go.set()
    settle()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two shards of two images each, 16 x 16."""
    schema = schemas.images(16)
    for shard in range(2):
        row = {field.name: None for field in schema} | {
            "dataset": "d", "view": "PA", "pixels": bytes(range(256)), "content_box": [0, 0, 16, 16],
            "original_rows": 16, "original_columns": 16, "photometric": "MONOCHROME2", "window": "none",
            "picture_sha256": None, "sex": None, "age": None, "pixels_sha256": "0" * 64,
        }  # fmt: skip
        rows = [row | {"image_id": f"{shard}{place}", "study_id": "s", "patient_id": "p"} for place in range(2)]
        write_table(tmp_path / f"{shard}.arrow", schema, pa.Table.from_pylist(rows, schema=schema))
    return write_manifest(tmp_path, "d", 16, [2, 2])


@pytest.mark.parametrize("place", [0.3, 0.6, 0.97])
def test_a_flipped_bit_of_a_shard_is_an_error_before_a_result_is_written(manifest, place):
    shard = manifest.parent / "1.arrow"
    content = bytearray(shard.read_bytes())
    middle = bytes(content).find(bytes(range(256)))  # of the pixels, so that the table is still one
    content[middle + int(place * 256)] ^= 1
    shard.write_bytes(content)
    store = ImageStore(manifest)
    assert np.array_equal(store.pixels(0), np.arange(256).reshape(16, 16))
    with pytest.raises(InputError, match=r"1\.arrow: damaged"):
        write_checked_json(manifest.parent / "result.json", {})
    assert not (manifest.parent / "result.json").exists()


def test_a_shard_that_another_manifest_lists_is_named(manifest):
    first, second = (manifest.parent / f"{shard}.arrow" for shard in range(2))
    second.write_bytes(first.read_bytes())
    second.with_name("1.arrow.sha256").write_text(first.with_name("0.arrow.sha256").read_text().replace("0.", "1."))
    ImageStore(manifest)
    with pytest.raises(InputError, match="not the shard that"):
        settle()
    second.unlink()
    with pytest.raises(InputError, match=r"1\.arrow: no such file"):
        ImageStore(manifest)


def test_other_ranks_leave_the_checks_to_the_first(manifest, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    (manifest.parent / "1.arrow.sha256").unlink()
    ImageStore(manifest)
    settle()
