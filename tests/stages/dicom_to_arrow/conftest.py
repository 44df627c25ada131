"""Fixtures of this stage's tests: an index, and shards without child processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.dicom_to_arrow import convert as convert_module


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
