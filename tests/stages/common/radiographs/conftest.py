"""From a file to what dicom_to_arrow makes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from written_dicom import file_row

from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import Outcome, convert_file


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
