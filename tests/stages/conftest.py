"""Values that the tests of several stages write into files."""

import numpy as np
import pytest


@pytest.fixture
def ramp() -> np.ndarray:
    """48 x 64 values of 12 bits, each row and column different, from 0 to 4095."""
    rows, columns = np.mgrid[0:48, 0:64]
    values = rows * 64 + columns
    return (values * 4095 // values.max()).astype(np.uint16)
