"""Sex and age of headers and of the index, and that no file is refused for them."""

import numpy as np
import pydicom.config
import pytest
from shard_jobs import log_of, shard_job
from written_dicom import file_bytes, file_row, make_dataset

from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_shard

STORED = (np.arange(16 * 16).reshape(16, 16) * 16).astype(np.uint16)


@pytest.fixture
def converted(tmp_path, write_index, in_this_process):  # noqa: ARG001
    """Convert files (sex and age of the header, sex and age of the index) and give what the images state."""

    def run(*files: tuple[str, str, str | None, float | None]) -> list[tuple[str | None, float | None]]:
        rows = []
        for number, (sex, age, index_sex, index_age) in enumerate(files):
            name = f"{number}.dcm"
            with pydicom.config.disable_value_validation():  # ages as RSNA writes them
                dataset = make_dataset(STORED + number, PatientSex=sex, PatientAge=age)
                (tmp_path / name).write_bytes(file_bytes(dataset))
            rows.append(file_row(name, name) | {"sex": index_sex, "age": index_age})
        job = shard_job(tmp_path, write_index(rows), tmp_path, DicomToArrowSettings(size=16))
        convert_shard(job, log_of(job))
        return [(row["sex"], row["age"]) for row in read_table(job.images, schemas.images(16)).to_pylist()]

    return run


def test_headers_state_them_and_the_index_goes_first(converted) -> None:
    found = converted(("F", "062Y", None, None), ("M", "62", None, None), ("O", "097Y", None, None),
                      ("F", "030Y", "male", 31.0), ("", "", None, None), ("unclear", "old", None, None))  # fmt: skip
    expected = [("female", 62), ("male", 62), ("other", 90), ("male", 31), (None, None), (None, None)]
    assert found == expected
