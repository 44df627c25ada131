"""Fixtures of this stage's tests: a ramp of values, files of them, an index."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from written_dicom import file_row

from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.dicom_to_arrow import convert as convert_module
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import Outcome, convert_file


@pytest.fixture
def ramp() -> np.ndarray:
    """48 x 64 values of 12 bits, each row and column different, from 0 to 4095."""
    rows, columns = np.mgrid[0:48, 0:64]
    values = rows * 64 + columns
    return (values * 4095 // values.max()).astype(np.uint16)


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Outcome]:
    """Write a data set (or bytes) to a file and convert it: `convert(dataset, view="PA", **settings)`."""

    def run(content: Dataset | bytes, view: str | None = "PA", **settings: Any) -> Outcome:
        path = tmp_path / "image.dcm"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save_as(path, enforce_file_format=True)
        return convert_file(file_row("a", "image.dcm", view=view), tmp_path, DicomToArrowSettings(**settings))

    return run


@pytest.fixture
def write_index(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "files.arrow"
        write_rows(path, schemas.FILES, rows)
        return path

    return write


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are converted without children: faster, and an independent way to the same bytes."""
    monkeypatch.setattr(convert_module, "map_isolated", lambda function, rows, _workers, _limits: map(function, rows))
