"""Inputs of the stage, written once."""

import pytest
from selection_inputs import Inputs, write_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> Inputs:
    return write_inputs(tmp_path_factory.mktemp("selection"))
