"""Which `snakemake` and `python` a run would start."""

import json
import sys
from pathlib import Path

import pytest
from conftest import Programs

from workflow.doctor.surroundings import check_programs
from workflow.installed import environment_digest

ENVS = Path(__file__).resolve().parents[3] / "envs"


@pytest.fixture(autouse=True)
def fresh() -> None:
    environment_digest.cache_clear()


def test_programs_of_this_environment_are_right(program: Programs) -> None:
    program("snakemake", "true")
    program("python", f'exec "{sys.executable}" "$@"')
    [finding] = check_programs(ENVS)
    assert finding.status == "ok", finding


def test_a_shell_without_the_environment_is_told_to_activate_it(program: Programs) -> None:
    [finding] = check_programs(ENVS)
    assert (finding.status, finding.what) == ("error", "`snakemake` is not on it")
    program("snakemake", "true")
    program("python", f"echo '{json.dumps({'python': 'CPython 3.11.1', 'numpy': '2.0'})}'")
    [finding] = check_programs(ENVS)
    assert (finding.status, "the `python` of the jobs lacks" in finding.what) == ("error", True)
    assert ".venv/bin" in finding.remedy
