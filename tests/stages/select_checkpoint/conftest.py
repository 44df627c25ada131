"""Inputs of the stage and an exported model, written once."""

import pytest
from exported_model import Exported, write_exported
from selection_inputs import Inputs, write_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> Inputs:
    return write_inputs(tmp_path_factory.mktemp("selection"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Exported:
    return write_exported(tmp_path_factory.mktemp("exported"))
