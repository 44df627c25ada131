"""A small phantom, written once for all tests of the stage."""

from pathlib import Path

import pytest

from stages.make_phantom.contract import MakePhantomSettings, PhantomManifest
from stages.make_phantom.phantom import make_phantom

SMALL = MakePhantomSettings(
    mimic_patients=60, rsna_images=60, siim_images=60, second_study=0.1, lateral_view=0.2, recurring=0.1, workers=1
)


@pytest.fixture(scope="session")
def small_settings() -> MakePhantomSettings:
    return SMALL


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PhantomManifest]:
    """Folder and manifest of a phantom of 60 patients or images a data set."""
    output = tmp_path_factory.mktemp("phantom") / "phantom"
    return output, make_phantom(SMALL, output)
