"""The log of a shard's outcomes: whatever is left of it, a shard that goes on from it ends with the same bytes."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.common.errors import InputError
from stages.common.files import schemas
from stages.dicom_to_arrow.outcome_log import Outcome, OutcomeLog, remove_other_logs

SIZE = 8
COUNT = 150  # more than two blocks of 64
IDS = [f"image {number}" for number in range(COUNT)]


def outcome(number: int) -> Outcome:
    """Every fifth file is a reject."""
    if number % 5 == 4:
        row = {"dataset": "set", "source_id": IDS[number], "reason": "too_slow", "message": "µ" * (number % 7)}
        return Outcome(reject=row)
    pixels = np.random.default_rng(number).integers(256, size=SIZE * SIZE, dtype=np.uint8).tobytes()
    return Outcome(image={
        "image_id": IDS[number], "study_id": "s", "patient_id": None if number % 2 else "p", "dataset": "set",
        "view": None if number % 3 else "PA", "pixels": pixels, "content_box": [0, 0, SIZE, SIZE],
        "original_rows": 3, "original_columns": 4, "row_spacing": 0.1, "column_spacing": None,
        "photometric": "MONOCHROME1", "window": "none",
        "picture_sha256": None, "sex": None, "age": None, "pixels_sha256": "x", "instance_uid": None,
    })  # fmt: skip


def fill(path: Path, count: int = COUNT) -> list[pa.RecordBatch]:
    """Append what is missing, and give the log's batches."""
    with OutcomeLog(path, SIZE, IDS) as log:
        for number in range(len(log), count):
            log.append(outcome(number))
        return [*log.batches("image"), *log.batches("reject")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[pa.RecordBatch]]:
    path = tmp_path_factory.mktemp("whole") / "digest" / "outcomes.log"
    batches = fill(path)
    return path.read_bytes(), batches


def test_what_goes_in_comes_out_in_order_and_in_blocks(whole):
    batches = whole[1]
    assert [len(batch) for batch in batches] == [64, 56, 30]
    outcomes = [outcome(number) for number in range(COUNT)]
    images = [each.image for each in outcomes if each.image]
    expected = pa.Table.from_pylist(images, schema=schemas.images(SIZE))
    assert pa.Table.from_batches(batches[:2]).equals(expected)
    assert batches[2].to_pylist() == [each.reject for each in outcomes if each.reject]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_torn_end_and_any_flipped_bit_are_made_good(whole, tmp_path, data):
    content, expected = whole
    path = tmp_path / "digest" / "outcomes.log"
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    end = data.draw(st.integers(0, len(content)), label="bytes kept")
    left = bytearray(content[:end])
    if left and data.draw(st.booleans(), label="one bit flips"):
        bit = data.draw(st.integers(0, 8 * len(left) - 1), label="bit")
        left[bit // 8] ^= 1 << bit % 8
    path.write_bytes(left + data.draw(st.binary(max_size=40), label="rubbish behind it"))
    batches = fill(path)
    assert len(batches) == len(expected)
    assert all(ours.equals(theirs) for ours, theirs in zip(batches, expected, strict=True))
    assert path.read_bytes() == content


def test_whole_records_are_not_done_again(tmp_path):
    path = tmp_path / "outcomes.log"
    fill(path, 97)
    with OutcomeLog(path, SIZE, IDS) as log:
        assert len(log) == 97
    path.write_bytes(path.read_bytes()[:-1])
    with OutcomeLog(path, SIZE, IDS) as log:
        assert len(log) == 96


def test_another_index_keeps_only_what_it_shares(tmp_path):
    path = tmp_path / "outcomes.log"
    fill(path, 20)
    with OutcomeLog(path, SIZE, [*IDS[:7], "another", *IDS[8:]]) as log:
        assert len(log) == 7


def test_two_jobs_cannot_write_one_log(tmp_path):
    path = tmp_path / "outcomes.log"
    with OutcomeLog(path, SIZE, IDS), pytest.raises(InputError, match="another job is converting this shard"):
        OutcomeLog(path, SIZE, IDS)
    fill(path, 1)  # free again


def test_an_outcome_needs_the_columns_of_its_table(tmp_path):
    with OutcomeLog(tmp_path / "outcomes.log", SIZE, IDS) as log:
        for wrong in (Outcome(), Outcome(reject={"source_id": "a"})):
            with pytest.raises(ValueError, match="columns are not those"):
                log.append(wrong)


def test_logs_of_other_digests_of_the_shard_go_and_nothing_else(tmp_path):
    for name in ("ours/outcomes.log", "theirs/outcomes.log", "mine/letter.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    remove_other_logs(tmp_path / "ours" / "outcomes.log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "ours"]
