"""Fixtures that tests of several stages share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from exported_model import Exported

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: test processes share the cores
hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is no failure
hypothesis.settings.load_profile("any machine")
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real radiographs and reports (`MLIP_TEST_DATA`, else `../shared/data` beside the checkout)."""
    folder = Path(os.environ.get("MLIP_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {folder} is no folder; set MLIP_TEST_DATA to run this test on real data")
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> "Exported":
    """A tiny exported model and a radiograph, written once."""
    from exported_model import write_exported  # here, because it imports torch

    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def minilm(tmp_path_factory) -> Path:
    """Folder of all-MiniLM-L6-v2; tests that ask for it belong to the xdist group `minilm`, which downloads once."""
    from minilm import unpack_minilm

    return unpack_minilm(tmp_path_factory.mktemp("minilm"))
