"""`make why` names the file, key, input or image, also where Snakemake's own records are lost."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from stages.common.digests import data_digest
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_table
from stages.common.files.atomic_files import sha256_of, write_json
from stages.common.files.code_digest import code_digests
from stages.retrieval.contract import RetrievalSettings
from workflow.dry_run import Job, _errors_in, read_jobs
from workflow.why import _WRITTEN, Answer, Changes, _replaced_sources, changes, explain, printed

DRY_RUN = """Building DAG of jobs...
Job stats:
job        count
-------  -------
retrieval      1

[Tue Nov 24 16:16:37 2026]
rule retrieval:
    input: in.arrow, other.arrow
    output: out/result.json
    log: out.log
    jobid: 3
    reason: Forced execution
    wildcards: variant=mlip
Shell command: OMP_NUM_THREADS=2 python -m stages.retrieval --settings '{"draws": 5}' --image env-2 --name mlip \
--journal out/journal.json 2> out.log

[Tue Nov 24 16:16:37 2026]
localrule all:
    input: out/result.json
    jobid: 0
    reason: Forced execution
"""


def test_jobs_are_read_from_a_dry_run():
    retrieval, everything = read_jobs(DRY_RUN)
    assert (retrieval.stage, retrieval.name, retrieval.reason) == ("retrieval", "retrieval mlip", "Forced execution")
    assert (retrieval.inputs, retrieval.outputs) == (["in.arrow", "other.arrow"], ["out/result.json"])
    assert json.loads(retrieval.option("--settings")) == {"draws": 5}
    unnamed = read_jobs(DRY_RUN.replace("--name mlip", "--name "))[0]
    assert unnamed.name == "retrieval"
    assert (everything.stage, everything.inputs, everything.outputs) == (None, ["out/result.json"], [])


@pytest.fixture
def finished(tmp_path):
    """The job of `DRY_RUN`, its outputs, and the journal of a run that had just that."""
    settings, (code, files) = RetrievalSettings(draws=5), code_digests("stages.retrieval.__main__")
    (tmp_path / "in.arrow").write_text("input")
    inputs = {"pairs": sha256_of(tmp_path / "in.arrow")}
    digests = {"code": code, "settings": settings.digest(), "data": data_digest(inputs), "image": "env-2"}
    record = {
        "version": 1, "stage": "retrieval", "name": "mlip", "status": "FINISHED", "started": 1, "ended": 2,
        "error": None, "digests": digests, "code": files, "inputs": inputs, "input_paths": {"pairs": "in.arrow"},
        "params": {key: str(value) for key, value in settings.model_dump(mode="json").items()}, "metrics": [],
        "artifacts": [], "tags": {},
    }  # fmt: skip
    write_json(tmp_path / "out" / "journal.json", record)
    (tmp_path / "out" / "result.json").write_text("{}")
    return tmp_path, read_jobs(DRY_RUN)[0], record


def rewritten(finished, **changed):
    root, job, record = finished
    write_json(root / "out" / "journal.json", record | changed)
    return changes(job, root).lines


def test_what_stands_has_no_reason(finished):
    assert rewritten(finished) == []


def test_each_kind_of_change_is_named(finished):
    root, job, record = finished
    code = {"code": record["code"] | {"stages/retrieval/embedded_pairs.py": "0", "stages/gone.py": "1"}}
    del code["code"]["stages/retrieval/evaluation.py"]
    digests = record["digests"]
    assert rewritten(finished, digests=digests | {"code": "0"}, **code) == [
        "code: stages/gone.py removed",
        "code: stages/retrieval/embedded_pairs.py changed",
        "code: stages/retrieval/evaluation.py added",
    ]
    params = record["params"] | {"draws": "9"}
    assert rewritten(finished, digests=digests | {"settings": "0"}, params=params) == ["settings: draws: 9 -> 5"]
    assert rewritten(finished, digests=digests | {"image": "env-1"}) == ["image: env-1 -> env-2"]
    assert rewritten(finished, inputs={"pairs": "0" * 64}) == [
        f"input pairs: in.arrow changed (00000000 -> {record['inputs']['pairs'][:8]})"
    ]
    assert rewritten(finished, inputs={}) == ["input pairs: its journal lacks the digest"]
    rewritten(finished)
    (root / "in.arrow.sha256").write_bytes(b"\xff")
    assert changes(job, root).lines == [f"input pairs: {root / 'in.arrow.sha256'}: holds no sha256"]
    (root / "in.arrow.sha256").unlink()
    (root / "in.arrow").unlink()
    (root / "out" / "result.json").unlink()
    assert changes(job, root).lines == ["input pairs: in.arrow is missing", "output out/result.json is missing"]


def test_runs_that_did_not_end_and_journals_that_are_cut_are_reasons(finished):
    root, job, _ = finished
    failed = rewritten(finished, status="FAILED", error="ValueError: boom")
    assert failed == ["its last run did not finish (ValueError: boom)"]
    (root / "out" / "journal.json").write_text('{"version')
    assert changes(job, root).lines == ["its journal cannot be read"]
    (root / "out" / "journal.json").unlink()
    assert changes(job, root).lines == ["has not run yet"]


def test_what_a_change_is_does_not_hang_on_its_words(finished, monkeypatch):
    root, job, _ = finished
    assert changes(job, root) == Changes([], is_new=False, sources_newer=False)
    monkeypatch.setattr("workflow.why._replaced_sources", lambda *_: ["in any words"])
    assert changes(job, root) == Changes(["in any words"], sources_newer=True)
    (root / "out" / "journal.json").unlink()
    assert changes(job, root).is_new


def test_what_waits_for_a_stale_job_says_so_and_what_snakemake_would_miss_is_loud(tmp_path):
    def job(rule, inputs, outputs):
        command = ["-m", f"stages.{rule}", "--journal", f"{rule}.json"]
        return Job(rule, inputs, outputs, command=command if rule == "index_inputs" else [])

    jobs = [job("summarize", ["b"], ["c"]), job("pair", ["a"], ["b"]), job("index_inputs", [], ["a"])]
    text = printed(explain(jobs, {"b": "Input files updated", "c": "..."}, tmp_path), 4, records_lost=True)
    assert text.splitlines()[2:] == [
        "index_inputs",
        "  has not run yet",
        "pair",
        "  reads what would be rebuilt by index_inputs",
        "summarize",
        "  reads what would be rebuilt by pair",
        "WARNING: Snakemake would not rerun these by itself; add --forcerun index_inputs",
        "3 of 4 jobs would run: 1 for the first time, 2 again",
    ]
    assert text.startswith("WARNING: .snakemake/metadata is gone")
    assert printed([], 4, records_lost=False) == "all 4 jobs are up to date"


def test_a_source_file_that_was_fetched_again_names_its_shard_alone(tmp_path):
    """Two shards of two files each; one file was written after the shard's journal began."""
    began = int(time.time() * 1000) + 1000
    for name in ("a", "b", "c é", "d"):
        (tmp_path / f"{name}.dcm").touch()
    rows = [{"image_id": name, "study_id": name, "patient_id": "p", "dataset": "x", "path": f"{name}.dcm",
             "sha256": None, "view": None, "distributed_split": None, "shard": place // 2}
            for place, name in enumerate(("a", "b", "c é", "gone"))]  # fmt: skip
    rows = [{key: row.get(key) for key in schemas.FILES.names} for row in rows]
    write_table(tmp_path / "files.arrow", schemas.FILES, [pa.RecordBatch.from_pylist(rows, schema=schemas.FILES)])
    journal = SimpleNamespace(started=began)

    def told(shard):
        command = ["--root", ".", "--files", "files.arrow", "--private", "private", "--shard", str(shard)]
        return _replaced_sources(Job("dicom_to_arrow", command=command), journal, tmp_path)

    assert told(0) == told(1) == []
    later = began / 1000 + 5
    os.utime(tmp_path / "c é.dcm", (later, later))
    assert told(0) == []
    assert told(1) == [f"1 of its 2 source files were {_WRITTEN}"]
    stale = Job("dicom_to_arrow", [], ["w/shards/1.arrow", "w/shards/1_rejects.arrow"])
    text = printed([Answer(stale, Changes(told(1), sources_newer=True), [], None)], 2, records_lost=False)
    assert "add --forcerun w/shards/1.arrow\n" in text


def test_report_files_that_were_replaced_are_told_in_every_folder_of_the_data_set(tmp_path):
    """Reports of two studies in files, one of them in another folder of `roots`; the third is in the table."""
    began = int(time.time() * 1000) + 1000
    (tmp_path / "more").mkdir()
    for name in ("a.txt", "more/b.txt"):
        (tmp_path / name).touch()
    rows = [{"study_id": name, "path": path} for name, path in (("a", "a.txt"), ("b", "b.txt"), ("c", None))]
    rows = [{key: row.get(key) for key in schemas.REPORTS.names} | {"dataset": "x", "patient_id": "p"} | row
            for row in rows]  # fmt: skip
    write_table(tmp_path / "r.arrow", schemas.REPORTS, [pa.RecordBatch.from_pylist(rows, schema=schemas.REPORTS)])
    command = ["--root", ".", "--roots", "none", "more", "--reports", "r.arrow", "--private", "private"]
    job, journal = Job("split_reports", command=command), SimpleNamespace(started=began)
    assert _replaced_sources(job, journal, tmp_path) == []
    os.utime(tmp_path / "more" / "b.txt", (began / 1000 + 5, began / 1000 + 5))
    assert _replaced_sources(job, journal, tmp_path) == [f"1 of its 2 report files were {_WRITTEN}"]
    (tmp_path / "r.arrow").unlink()
    assert _replaced_sources(job, journal, tmp_path) == []


def test_masks_that_were_replaced_are_told(tmp_path):
    began = int(time.time() * 1000) + 1000
    for name in ("a", "b", "lungs"):
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "t.csv").write_text("file;sick;mask;lung\n1;1;a.png;lungs.png\n2;1;b.png;lungs.png\n3;0;;\n")
    columns = {"image": "file", "target": "sick", "mask": "mask", "lung_mask": "lung"}

    def told(columns):
        settings = {"layout": "folder", "finding": "f", "table": "t.csv", "columns": columns, "separator": ";"}
        job = Job("label_images", command=["--root", ".", "--settings", json.dumps(settings)])
        return _replaced_sources(job, SimpleNamespace(started=began), tmp_path)

    assert told(columns) == []
    for name in ("b", "lungs"):
        os.utime(tmp_path / f"{name}.png", (began / 1000 + 5, began / 1000 + 5))
    assert told(columns) == [f"2 of its 3 mask files were {_WRITTEN}"]
    assert told(columns | {"lung_mask": None}) == [f"1 of its 2 mask files were {_WRITTEN}"]
    assert told({"image": "file", "target": "sick"}) == []
    siim = ["--root", ".", "--settings", json.dumps({"layout": "siim", "finding": "f"})]
    assert _replaced_sources(Job("label_images", command=siim), SimpleNamespace(started=began), tmp_path) == []
    assert _replaced_sources(Job("retrieval"), SimpleNamespace(started=began), tmp_path) == []


def test_outputs_that_a_failed_submission_deleted_are_told_apart(finished):
    root, job, _ = finished
    assert rewritten(finished) == []
    (root / "out" / "result.json").unlink()
    (line,) = changes(job, root).lines
    assert line.startswith("output out/result.json is missing, although its last run finished")
    assert "submission failed" in line
    assert rewritten(finished, status="RUNNING") == ["it is running, or was killed (its journal says RUNNING)"]


def test_of_a_failed_dry_run_only_the_error_is_shown():
    banner = "Using profile x.\nhost: node\nBuilding DAG of jobs...\n"
    assert _errors_in(f"{banner}WorkflowError:\n    no file a.csv") == ["no file a.csv"]
    stack = '  File "/a/Snakefile", line 4, in <module>'
    ours = f'WorkflowError in file "/a/common.smk", line 77:\nno file a.csv; get it\nno file b.csv\n{stack}'
    assert _errors_in(f"{banner}{ours}") == ["no file a.csv; get it", "no file b.csv"]
    other = "MissingInputException in rule all:\nMissing input files:\n    a.csv"
    assert _errors_in(f"{banner}{other}") == [
        "snakemake: MissingInputException in rule all: Missing input files: a.csv"]  # fmt: skip
    assert _errors_in("usage: snakemake\nsnakemake: error: no such option") == ["snakemake: error: no such option"]
    forced = Answer(Job("summarize"), Changes(), [], "Forced execution")
    assert forced.lines == ["--forcerun or --forceall asks for it"]


def why(checkout) -> str:
    command = [sys.executable, "-m", "workflow.why", "--profile", "workflow/profiles/demo", "--cores", "2",
               "--configfile", "workflow/profiles/demo/settings.yaml", checkout.overlay]  # fmt: skip
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(checkout.folder)}
    done = subprocess.run(command, cwd=checkout.folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_edits_of_a_finished_run_are_told_with_and_without_snakemake_s_records(finished_run):
    """Code, a key, and an input at once: each stage tells its own."""
    root = finished_run.folder
    edits = {
        "stages/pretrain/sinkhorn.py": lambda text: text + "\nEDITED = 1\n",
        "config.yaml": lambda text: text + "\nzero_shot_classification: {seed: 1}\n",
        "stages/zero_shot_classification/prompts/rsna.yaml": lambda text: text.replace("No focal", "No"),
    }
    before = {path: ((root / path).read_text(), (root / path).stat()) for path in edits}
    records, kept = root / ".snakemake" / "metadata", root / ".snakemake" / "kept"
    try:
        for path, edit in edits.items():
            (root / path).write_text(edit(before[path][0]))
        text = why(finished_run)
        records.rename(kept)
        lost = why(finished_run)
    finally:
        if kept.exists():
            subprocess.run(["rm", "-rf", str(records)], check=True)
            kept.rename(records)
        for path, (content, status) in before.items():
            (root / path).write_text(content)
            os.utime(root / path, ns=(status.st_atime_ns, status.st_mtime_ns))
    told = dict(part.split("\n", 1) for part in _blocks(text))
    training = [lines for name, lines in told.items() if name.startswith("pretrain")]
    assert training
    assert all("code: stages/pretrain/sinkhorn.py changed" in lines for lines in training)
    zero_shot = "".join(lines for name, lines in told.items() if name.startswith("zero_shot_classification"))
    assert "settings: seed: 0 -> 1" in zero_shot
    assert "input prompts:" in zero_shot
    assert "prompts/rsna.yaml changed (" in zero_shot
    assert not [name for name in told if name.startswith(("index_inputs", "dicom_to_arrow", "label_images"))]
    assert "WARNING" not in text
    assert lost.startswith("WARNING: .snakemake/metadata is gone")
    assert "code: stages/pretrain/sinkhorn.py changed" in lost


def _blocks(text: str) -> list[str]:
    blocks: list[str] = []
    for line in text.splitlines()[:-1]:
        if line.startswith("  "):
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    return [block for block in blocks if "\n" in block]


def test_a_change_that_many_stages_read_is_said_once():
    """Two rules share a change, and one of their jobs also waits; a third rule has another one."""
    changed = "settings: encoder_precision: auto -> fp32"

    def answer(rule, name, *lines, waits=()):
        return Answer(Job(rule, outputs=["x"], command=["--name", name]), Changes(list(lines)), list(waits), "")

    answers = [
        answer("extract_features", "a/x", changed),
        answer("extract_features", "a/y", changed),
        answer("retrieval", "a", changed, waits=["extract_features a/x"]),
        answer("summarize", "", "settings: title: MLIP -> ours", waits=["retrieval a"]),
    ]
    assert printed(answers, 9, records_lost=False).splitlines() == [
        changed,
        "  3 jobs: extract_features a/x and 1 more, retrieval a",
        "summarize",
        "  settings: title: MLIP -> ours",
        "  reads what would be rebuilt by retrieval a",
        "4 of 9 jobs would run: 4 again",
    ]
