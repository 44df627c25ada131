"""What other stages write is what the summary reads: their own code makes the record, the model here takes it."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stages.common.contract import Job, product, source
from stages.common.files.schemas import REPORTS
from stages.common.records import read_record, write_record
from stages.common.settings import Settings
from stages.contracts import JOBS, job_of
from stages.split_reports.contract import Quality, SplitReportsSettings
from stages.split_reports.quality import quality_of
from stages.split_reports.reports import split_all
from stages.summarize import results_tree
from stages.summarize.results_tree import reported_jobs

TEXT = """FINAL REPORT
FINDINGS: No pleural effusion. The heart is 12.5 cm wide.
IMPRESSION: No acute disease.
Dictated by: ___
"""


def test_quality_of_split_reports(tmp_path):
    report = {"study_id": "s1", "patient_id": "p1", "distributed_split": None, "path": None, "text": TEXT}
    for published in (False, True):
        settings = SplitReportsSettings(publish_samples=published)
        result = split_all(pa.Table.from_pylist([report], schema=REPORTS), tmp_path, "set", settings)
        record = quality_of(result, [[1, 2]] * len(result.texts), settings)
        write_record(tmp_path / "quality.json", record)
        quality = read_record(tmp_path / "quality.json", Quality)
        assert (quality.reports.total, quality.reports.split, quality.sentences.total) == (1, 1, 3)
        assert sum(quality.words_a_sentence.counts) == sum(quality.pieces_a_sentence.counts) == 3
        assert {each.kind for each in quality.worst} == {"longest", "shortest", "most_digits"}
        assert all((each.text is not None) == published for each in quality.worst)


def test_the_report_tells_of_the_jobs_that_lead_to_it():
    told, rest = reported_jobs(), [job for job in JOBS if job not in reported_jobs()]
    assert told == [job for job in JOBS if job in told]  # the order of the DAG
    assert [job.stage for job in rest] == ["make_phantom", "fetch_weights", "summarize"]
    assert job_of("extract_features") in told  # the summary reads nothing of it, what it reads was made from it


def test_a_job_that_nothing_of_the_report_reads_is_not_asked_for(monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class AsideJob(Job):
        """Measure something that no page shows."""

        stage = "aside"
        place = "{variant}"
        over = "variant"

        settings: Settings
        checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
        result: Path = product("aside.arrow", table="SCORES")

    monkeypatch.setattr(results_tree, "JOBS", (*JOBS, AsideJob))
    assert AsideJob not in reported_jobs()


def test_the_path_of_an_output_is_the_one_that_the_rule_asks_for(built):
    """`summary_paths` is what Snakemake makes; a reader that names a product by its contract finds the same file."""
    tree = built.layout
    for job in JOBS:
        read = {name: each for name, each in job.products().items() if each.summary}
        paths = [tree.path(job, name, **run) for run in tree.runs(job) for name in read]
        assert paths == tree.summary_paths(job)
        assert all(path.exists() for path in paths)
