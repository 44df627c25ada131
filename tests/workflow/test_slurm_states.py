"""A job that somebody cancelled has ended; sacct is a script."""

import asyncio
import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import snakemake_executor_plugin_slurm as plugin

from workflow.slurm_states import first_words, know_cancelled_jobs

ROOT = Path(__file__).resolve().parents[2]
LINES = "11|CANCELLED by 1000\n12|COMPLETED\n13|RUNNING\n14|CANCELLED\n15|\n"


@pytest.fixture
def question(tmp_path: Path) -> str:
    """A program that answers as sacct does."""
    program = tmp_path / "sacct"
    program.write_text(f"#!/bin/sh\ncat <<END\n{LINES}END\n")
    program.chmod(0o755)
    return str(program)


def test_the_plugin_learns_that_a_job_was_cancelled(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "query_job_status", plugin.query_job_status)  # put back at the end
    logger = logging.getLogger("test")
    before, _ = asyncio.run(plugin.query_job_status(question, logger))
    assert before["11"] == "CANCELLED by 1000", "the plugin knows the state: workflow/slurm_states.py is not needed"
    know_cancelled_jobs()
    states, seconds = asyncio.run(plugin.query_job_status(question, logger))
    assert states == {"11": "CANCELLED", "12": "COMPLETED", "13": "RUNNING", "14": "CANCELLED", "15": ""}
    assert seconds >= 0


def test_a_question_without_an_answer_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "query_job_status", plugin.query_job_status)
    know_cancelled_jobs()
    assert asyncio.run(plugin.query_job_status("false", logging.getLogger("test"))) == (None, None)


def test_states_are_first_words() -> None:
    assert first_words({"1": "CANCELLED by 0", "2": "NODE_FAIL"}) == {"1": "CANCELLED", "2": "NODE_FAIL"}


def test_without_the_plugin_nothing_is_done() -> None:
    code = """
        import sys
        from workflow.slurm_states import know_cancelled_jobs
        know_cancelled_jobs()
        assert "snakemake_executor_plugin_slurm" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True, timeout=60)
