"""Tables come back as they were written, uncompressed, and never half."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import map_table, read_table, write_rows, write_table
from stages.common.files.atomic_files import sha256_of, sidecar_of, write_sidecar

texts = st.text(max_size=8)
pair_rows = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("image_id", "study_id", "patient_id", "split"), texts)), max_size=6
)


@settings(deadline=None)  # fsync takes as long as the disk likes
@given(rows=pair_rows)
def test_rows_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "pairs.arrow"
    digest = write_rows(path, schemas.PAIRS, rows)
    assert read_table(path, schemas.PAIRS).to_pylist() == rows
    assert digest == sha256_of(path)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [{"image_id": "i", "study_id": "s", "patient_id": "p", "split": "train"}] * 3
    digests = {write_rows(tmp_path / name, schemas.PAIRS, rows) for name in ("a.arrow", "b.arrow")}
    assert len(digests) == 1


def test_nested_and_missing_values_round_trip(tmp_path):
    row = {
        "image_id": "i",
        "patient_id": None,
        "finding": "lung_opacity",
        "target": 1,
        "boxes": [[1.5, 2.0, 3.0, 4.0]],
        "mask": None,
        "lung_mask": [0, 5, 10, 2],
        "sex": "female",
        "age": 62.0,
        "view": "PA",
        "split": "test",
        "subset": 100,
    }
    write_rows(tmp_path / "labels.arrow", schemas.LABELS, [row])
    assert read_table(tmp_path / "labels.arrow", schemas.LABELS).to_pylist() == [row]


def test_pixels_are_the_memory_of_the_file(tmp_path):
    """Uncompressed fixed-size binary: the map is the data, image after image, with no copy and no offsets."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    schema = pa.schema([pa.field("pixels", pa.binary(16), nullable=False)])
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), 3, [None, pa.py_buffer(pixels)])
    write_table(tmp_path / "pixels.arrow", schema, [pa.record_batch([array], schema=schema)])
    assert pixels.tobytes() in (tmp_path / "pixels.arrow").read_bytes()
    before = pa.total_allocated_bytes()
    column = map_table(tmp_path / "pixels.arrow").column("pixels").chunk(0)
    assert pa.total_allocated_bytes() == before
    np.testing.assert_array_equal(np.frombuffer(column.buffers()[1], np.uint8, 48).reshape(3, 4, 4), pixels)


def test_a_failing_producer_leaves_the_old_table_and_its_sidecar(tmp_path):
    path = tmp_path / "pairs.arrow"
    row = {"image_id": "i", "study_id": "s", "patient_id": "p", "split": "train"}
    write_rows(path, schemas.PAIRS, [row])

    def batches():
        yield from pa.Table.from_pylist([row] * 9, schema=schemas.PAIRS).to_batches()
        raise RuntimeError("the second batch fails")

    with pytest.raises(RuntimeError, match="second batch"):
        write_table(path, schemas.PAIRS, batches())
    assert read_table(path, schemas.PAIRS).to_pylist() == [row]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pairs.arrow", "pairs.arrow.sha256"]


@pytest.mark.parametrize("row", [{"image_id": "i"}, dict.fromkeys([*schemas.PAIRS.names, "extra"], "x")])
def test_a_row_with_other_columns_is_refused(tmp_path, row):
    with pytest.raises(ValueError, match="missing or unknown"):
        write_rows(tmp_path / "pairs.arrow", schemas.PAIRS, [row])


def test_another_schema_is_refused_on_reading(tmp_path):
    write_rows(tmp_path / "pairs.arrow", schemas.PAIRS, [])
    with pytest.raises(InputError, match="columns differ from the contract"):
        read_table(tmp_path / "pairs.arrow", schemas.SCORES)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"image_id,study_id\n"])
def test_a_file_that_is_no_arrow_is_named(tmp_path, content):
    path = tmp_path / "pairs.arrow"
    path.write_bytes(content)
    write_sidecar(path)
    with pytest.raises(InputError, match=r"pairs\.arrow: not an Arrow IPC file"):
        read_table(path, schemas.PAIRS)


def test_a_truncated_table_is_found_by_its_sidecar(tmp_path):
    path = tmp_path / "pairs.arrow"
    write_rows(path, schemas.PAIRS, [])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged"):
        read_table(path, schemas.PAIRS)
    sidecar_of(path).unlink()
    with pytest.raises(InputError, match="side-car"):
        read_table(path, schemas.PAIRS)


@pytest.mark.parametrize(
    "schema",
    [
        schemas.FILES,
        schemas.REPORTS,
        schemas.REJECTS,
        schemas.images(8),
        schemas.SENTENCES,
        schemas.PAIRS,
        schemas.LABELS,
        schemas.features(4, 8),
        schemas.SCORES,
    ],
)
def test_every_column_of_every_contract_says_what_it_means(schema):
    assert all(field.metadata and field.metadata[b"meaning"].strip() for field in schema)
    assert len(set(schema.names)) == len(schema.names)
