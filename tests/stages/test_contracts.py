"""Contracts agree with each other, with schemas, rules and what each stage runs; they load at once."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pytest

from stages.common.contract import Job, arguments_of
from stages.common.files import schemas
from stages.contracts import JOBS, STAGES, job_of, writer_of

ROOT = Path(__file__).resolve().parents[2]
RULES = {path.stem: path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))}
HEAVY = (
    "cv2",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "timm",
    "torch",
    "transformers",
)


def title(job: type[Job]) -> str:
    return f"{job.stage}-{job.command}" if job.command else job.stage


each_job = pytest.mark.parametrize("job", JOBS, ids=title)


@each_job
def test_an_input_is_an_output_of_the_stage_that_it_names(job: type[Job]) -> None:
    for name, source in job.sources().items():
        if not source.stage:
            continue
        written = [
            product
            for other in JOBS
            if other.stage == source.stage
            for product in other.products().values()
            if product.file == source.file
        ]
        assert written, f"{name}: no job of {source.stage} writes {source.file}"
        writer = writer_of(source.stage, source.file)
        assert JOBS.index(writer) < JOBS.index(job), f"{name}: {title(writer)} comes later in the DAG"
        if source.tracked:
            assert {product.stands for product in written} == {source.stands}, f"{name}: another file stands for it"
            assert all(product.tracked for product in written), f"{name}: the journal of its writer does not list it"


@each_job
def test_an_output_says_what_is_in_it(job: type[Job]) -> None:
    for name, product in job.products().items():
        schema = getattr(schemas, product.table, None) if product.table else None
        assert not product.table or isinstance(schema, pa.Schema) or callable(schema), f"{name}: no schema of that name"
        assert bool(product.table) == (Path(product.stands or product.file).suffix == ".arrow"), name
        assert bool(product.record) == (Path(product.file).suffix == ".json"), name
        assert not isinstance(product.summary, tuple) or product.is_folder, f"{name}: patterns of no folder"


@each_job
def test_no_two_files_of_a_run_have_one_name(job: type[Job]) -> None:
    """A folder of results belongs to one job, or to the protocols of a stage, of which each has its own."""
    files = [product.file for product in job.products().values()]
    assert len(set(files)) == len(files)
    for other in JOBS:
        if other is not job and (other.stage, other.place) == (job.stage, job.place):
            assert "{protocol}" in job.place or not set(files) & {each.file for each in other.products().values()}


@each_job
def test_options_are_no_names_of_what_all_jobs_have(job: type[Job]) -> None:
    names = [each.name for each in arguments_of(job)]
    assert len(set(names)) == len(names)
    assert not {"settings", "journal", "name", "image", "help", "job"} & set(names)
    assert all(each.help for each in arguments_of(job))


def test_every_stage_has_a_rule_file_and_every_rule_file_a_stage() -> None:
    assert set(RULES) - {"common"} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_rule_uses_the_contract_of_its_own_stage(stage: str) -> None:
    uses = re.findall(r"\b(?:inputs|outputs|log|identity|command)_of\(\s*\"(\w+)\"", RULES[stage])
    assert set(uses) == {stage}
    assert all(name.startswith(stage) for name in re.findall(r"^rule (\w+):", RULES[stage], re.MULTILINE))
    assert "/results/" not in RULES[stage], "paths of results come from the contracts"


@each_job
def test_a_rule_runs_every_job(job: type[Job]) -> None:
    uses = re.findall(r"\bcommand_of\(\s*\"\w+\"(?:,\s*\"(\w+)\")?", RULES[job.stage])
    if job.command not in uses:  # a wildcard chooses among commands of equal options
        assert 'word="{wildcards.' in RULES[job.stage]
        assert arguments_of(job) in [arguments_of(job_of(job.stage, command)) for command in uses]


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_line_runs_the_jobs_of_the_contract(stage: str) -> None:
    work = import_module(f"stages.{stage}.__main__").WORK
    assert list(work) == [job for job in JOBS if job.stage == stage]


def test_help_waits_for_no_heavy_library() -> None:
    """Contracts, configuration and the main module of every stage: what `--help` and the rules import."""
    modules = ["stages.contracts", "stages.config", *(f"stages.{stage}.__main__" for stage in STAGES)]
    lines = ["import sys", f"import {', '.join(modules)}", f"print(*sorted(set({HEAVY}) & set(sys.modules)))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_stage_that_may_show_samples_stands_on_the_page_of_privacy() -> None:
    """A row of its table for each stage whose settings have `publish_samples`, and for no other."""
    page = (ROOT / "docs" / "operators" / "privacy.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    contracts = {path.parent.name: path.read_text(encoding="utf-8") for path in (ROOT / "stages").glob("*/contract.py")}
    settings = [stage for stage, text in contracts.items() if "\n    publish_samples: bool" in text]
    assert settings
    assert sorted(named) == sorted(settings)
