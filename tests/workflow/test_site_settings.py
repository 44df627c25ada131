"""What a site must set is asked for before anything is submitted."""

from types import SimpleNamespace

import pytest

from stages.common.errors import InputError
from workflow.site_profile import UNSET, check_account


def test_the_placeholder_is_refused_and_anything_else_passes() -> None:
    with pytest.raises(InputError, match=r"slurm/config.yaml: default-resources: slurm_account"):
        check_account({"slurm_account": SimpleNamespace(raw=UNSET)})
    check_account({"slurm_account": SimpleNamespace(raw="radiology")})
    check_account({})
    check_account(None)
