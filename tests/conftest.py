"""Fixtures that tests of several stages share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: test processes share the cores
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real radiographs and reports (`MLIP_TEST_DATA`, else `../shared/data` beside the checkout)."""
    folder = Path(os.environ.get("MLIP_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {folder} is no folder; set MLIP_TEST_DATA to run this test on real data")
    return folder
