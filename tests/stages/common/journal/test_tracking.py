"""The journal tells what happened, also when it went wrong."""

import json
import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from eventually import SECONDS, eventually
from hypothesis import given
from hypothesis import strategies as st

from stages.common.digests import data_digest
from stages.common.errors import InputError
from stages.common.files.atomic_files import check_in_background, sha256_of, write_json, write_sidecar
from stages.common.files.code_digest import ROOT, code_digest, code_digests
from stages.common.journal import environment, tracking
from stages.common.journal.journals import find_journals
from stages.common.journal.tracking import flatten, track
from stages.common.records import Estimate
from stages.common.settings import Settings

STAGE = "sync"  # any stage whose code stands in the repository


class Nested(Settings):
    depth: int = 2


class Example(Settings):
    seed: int = 0
    encoder: Nested = Nested()


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "out" / "journal.json"


def tracked(journal, **options):
    return track(STAGE, "mlip/rsna", journal=journal, settings=Example(), inputs={}, **options)


def read(journal):
    return json.loads(journal.read_text())


def test_the_journal_stands_on_disk_as_running_before_the_work_begins(journal):
    with tracked(journal):
        record = read(journal)
        assert (record["status"], record["ended"], record["error"]) == ("RUNNING", None, None)
        assert record["started"] > 1.6e12  # milliseconds, not seconds


def test_a_finished_run_holds_everything(journal, tmp_path):
    source, output = tmp_path / "in.bin", tmp_path / "out" / "result.bin"
    source.write_bytes(b"input")
    with track(
        STAGE, "mlip/rsna", journal=journal, settings=Example(seed=7), inputs={"files": source}, image="sha256:ab"
    ) as run:
        output.write_bytes(b"output")
        run.log_metric("auc", 0.1 + 0.2)
        run.log_metrics({"loss": np.float32(0.5), "rate": 1}, step=np.int64(3))
        run.log_tag("encoder", "random")
        run.log_artifact(output, publish=True)
    record = read(journal)
    assert (record["stage"], record["name"], record["status"], record["error"]) == (
        STAGE,
        "mlip/rsna",
        "FINISHED",
        None,
    )
    assert record["started"] <= record["metrics"][0]["timestamp"] <= record["ended"]
    assert record["params"] == {"seed": "7", "encoder.depth": "2"}
    assert record["inputs"] == {"files": sha256_of(source)}
    assert record["digests"] == {
        "code": code_digest(f"stages.{STAGE}.__main__"),
        "settings": Example(seed=7).digest(),
        "data": data_digest({"files": sha256_of(source)}),
        "image": "sha256:ab",
    }
    assert [(each["key"], each["value"], each["step"]) for each in record["metrics"]] == [
        ("auc", 0.30000000000000004, 0),
        ("loss", 0.5, 3),
        ("rate", 1.0, 3),
    ]
    assert record["artifacts"] == [{"path": "result.bin", "sha256": sha256_of(output), "bytes": 6, "publish": True}]
    assert record["tags"]["encoder"] == "random"
    assert record["tags"]["python"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError, "first line second line"),
        (InputError, r"first line\n second line"),  # which quotes what a person wrote
        (KeyboardInterrupt, "first line second line"),
    ],
)
def test_an_exception_is_recorded_in_one_line_and_goes_on(journal, error, line):
    def work():
        with tracked(journal) as run:
            run.log_metric("loss", 1.0)
            raise error("first line\n   second line")

    with pytest.raises(error, match="first"):
        work()
    record = read(journal)
    assert (record["status"], record["error"]) == ("FAILED", f"{error.__name__}: {line}")
    assert record["ended"] >= record["started"]
    assert len(record["metrics"]) == 1  # what was measured before the end is kept


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_numbers_that_are_not_finite_are_kept_as_text(journal, value, text):
    with tracked(journal) as run:
        run.log_metric("loss", value, step=2)
    metric = read(journal)["metrics"][0]
    assert (metric["key"], metric["value"], metric["step"]) == ("loss", text, 2)


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(tracking, "_SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(tracking, "_SECONDS_BETWEEN_SAMPLES", 0.02)
    monkeypatch.setattr(tracking, "_SAMPLES_SHARE", 0.0)
    monkeypatch.setattr(tracking, "_WRITES_SHARE", 1.0)


@pytest.mark.usefixtures("often")
def test_a_killed_run_keeps_the_metrics_of_its_last_write(journal):
    with tracked(journal) as run:
        run.log_metric("loss", 1.0, step=1)
        eventually(lambda: [each["step"] for each in read(journal)["metrics"] if each["key"] == "loss"] == [1])
        assert read(journal)["status"] == "RUNNING"


@pytest.mark.usefixtures("often")
def test_the_machine_is_sampled_beside_the_work(journal):
    with tracked(journal):
        eventually(lambda: len(read(journal)["metrics"]) > 4)
    found = {}
    for each in read(journal)["metrics"]:
        found.setdefault(each["key"], []).append(each)
    assert set(found) == {"system/cpu_cores", "system/memory_megabytes"}
    assert all(10 < each["value"] < 1e6 for each in found["system/memory_megabytes"])
    assert [each["step"] for each in found["system/cpu_cores"]] == list(range(len(found["system/cpu_cores"])))


def test_the_stage_itself_never_writes_while_metrics_come_in(journal, monkeypatch):
    with tracked(journal) as run:
        monkeypatch.setattr(run, "write", lambda: pytest.fail("written"))
        for step in range(1000):
            run.log_metric("loss", 1.0, step)
        monkeypatch.undo()


@pytest.mark.usefixtures("often")
def test_a_disk_that_is_full_for_a_while_stops_nothing(journal, monkeypatch):
    with tracked(journal) as run:
        failed = []

        def full(*_, **__):
            failed.append(1)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tracking, "write_text", full)
        run.log_metric("loss", 1.0)
        eventually(lambda: len(failed) > 2)
        monkeypatch.undo()
    assert (read(journal)["status"], read(journal)["metrics"][0]["value"]) == ("FINISHED", 1.0)


def test_the_journal_of_the_run_before_is_kept(journal):
    for seed in (1, 2, 3):
        with track(STAGE, "", journal=journal, settings=Example(seed=seed), inputs={}):
            time.sleep(0.002)  # a run a millisecond: `started` tells them apart
    earlier = sorted((journal.parent / "earlier_journals").iterdir())
    assert [read(path)["params"]["seed"] for path in earlier] == ["1", "2"]
    assert read(journal)["params"]["seed"] == "3"


def test_a_journal_cut_in_the_middle_does_not_hinder_the_next_run_and_is_kept(journal, capsys):
    with tracked(journal):
        pass
    cut = journal.read_text()[:100]
    journal.write_text(cut)
    with tracked(journal):
        pass
    assert read(journal)["status"] == "FINISHED"
    (kept,) = (journal.parent / "earlier_journals").iterdir()
    assert kept.read_text() == cut
    assert capsys.readouterr().err == f"warning: {journal}: was not a journal, or a damaged one; it is now {kept}\n"
    assert [each.path for each in find_journals(journal.parent)[0]] == [journal]
    assert find_journals(journal.parent)[1] == []  # what was set aside is no journal that others report


OTHER_FILES = [b"image_id,target\n", b"\xff\x00", b"{}", b"[1]", b'{"started": "soon", "stage": 1}',
               b'{"started": 1e999, "stage": 1}', b"[" * 100_000, b'{"started": 5}', b""]  # fmt: skip


@pytest.mark.parametrize("content", OTHER_FILES)
def test_another_file_at_the_journal_s_path_is_moved_not_lost(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with tracked(path):
        pass
    assert read(path)["status"] == "FINISHED"
    assert [each.read_bytes() for each in (tmp_path / "earlier_journals").iterdir()] == [content]


def test_a_file_that_cannot_be_moved_is_not_overwritten(journal):
    with tracked(journal):
        pass
    before = journal.read_bytes()
    (journal.parent / "earlier_journals").write_text("a file where the folder has to be")
    with (
        pytest.raises(InputError, match=r"cannot be moved to .*; move it, or name"),
        tracked(journal),
    ):
        pass
    assert journal.read_bytes() == before


def test_sigterm_is_recorded_and_ends_the_stage_as_if_it_had_been_killed(journal):
    code = (
        "import sys, time, pathlib\n"
        "from stages.common.settings import Settings\n"
        "from stages.common.journal.tracking import track\n"
        f"with track({STAGE!r}, '', journal=pathlib.Path(sys.argv[1]), settings=Settings(), inputs={{}}):\n"
        "    print('started', flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(journal)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        assert process.wait(SECONDS) == 143
    record = read(journal)
    assert record["status"] == "FAILED"
    assert record["error"] == "Terminated: SIGTERM, from the scheduler or a user"


ENDS = {
    "failed": ("raise ValueError('planted')", "FAILED", "ValueError: planted"),
    "finished": ("pass", "FINISHED", None),
    "terminated": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)", "FAILED", "Terminated: SIGTERM, from"),
}


@pytest.mark.parametrize("how", ENDS)
def test_sigterm_while_the_end_is_written_does_not_leave_a_journal_that_says_running(journal, how):
    """torchrun sends it to who has just failed; SLURM sends it to the step and, at the time limit, once more."""
    body, status, error = ENDS[how]
    code = (
        "import os, pathlib, signal, sys, time\n"
        "from stages.common.settings import Settings\n"
        "from stages.common.journal import tracking\n"
        "write = tracking.write_text\n"
        "def signalled(path, text, **more):\n"
        "    if '\"RUNNING\"' not in text:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0)\n"
        "    write(path, text, **more)\n"
        "tracking.write_text = signalled\n"
        f"with tracking.track({STAGE!r}, '', journal=pathlib.Path(sys.argv[1]), settings=Settings(), inputs={{}}):\n"
        f"    {body}\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(journal)], cwd=ROOT, timeout=SECONDS, check=False)
    assert done.returncode == {"failed": 1, "finished": 0, "terminated": 143}[how]
    record = read(journal)
    assert record["status"] == status
    assert (record["error"] or "").startswith(error or "")


def test_each_file_of_the_stage_s_code_has_its_digest(journal):
    with tracked(journal):
        pass
    assert read(journal)["code"] == code_digests(f"stages.{STAGE}.__main__")[1]
    assert "stages/sync/lock.py" in read(journal)["code"]


def test_inputs_and_artifacts_take_their_digest_from_the_sidecar(journal, tmp_path):
    """Shards of gigabytes are not read twice."""
    path = tmp_path / "large.bin"
    path.write_bytes(b"large")
    digest = write_sidecar(path)
    path.chmod(0)
    with track(STAGE, "", journal=journal, settings=Example(), inputs={"large": path}) as run:
        run.log_artifact(path)
    assert read(journal)["inputs"]["large"] == read(journal)["artifacts"][0]["sha256"] == digest
    assert read(journal)["artifacts"][0]["path"] == "../large.bin"


def test_the_digest_of_a_run_names_what_it_would_produce(journal):
    with tracked(journal) as first, tracked(journal) as same, tracked(journal, image="sha256:other") as other:
        assert first.digest == same.digest != other.digest


def test_where_there_is_no_git_the_journal_says_nothing_of_it(journal, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with tracked(journal):
        pass
    tags = read(journal)["tags"]
    assert "git_commit" not in tags
    assert tags["slurm_job_id"] == "4711"


keys = st.text("abc", min_size=1, max_size=3)
trees = st.recursive(
    st.integers() | st.booleans() | st.none() | st.text(max_size=3),
    lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(tree=st.dictionaries(keys, trees, max_size=3))
def test_flatten_keeps_every_leaf_under_its_path(tree):
    def leaf(path):
        value = tree
        for part in path.split("."):
            value = value[part]
        return value

    def count(value):
        return sum(map(count, value.values())) if isinstance(value, dict) else 1

    flat = flatten(tree)
    assert len(flat) == count(tree)
    assert all(str(leaf(path)) == value for path, value in flat.items())


def test_flatten_by_hand():
    assert flatten({"a": {"b": {"c": 1.5}, "d": [1, 2]}, "e": None}) == {"a.b.c": "1.5", "a.d": "[1, 2]", "e": "None"}


def test_a_missing_input_is_one_line_before_anything_is_written(journal, tmp_path):
    inputs = {"files": tmp_path / "absent.arrow"}
    with (
        pytest.raises(InputError, match=r"absent\.arrow: no such file \(the files of sync\); run the stage"),
        track(STAGE, "", journal=journal, settings=Example(), inputs=inputs),
    ):
        pass
    assert not journal.exists()


@pytest.mark.usefixtures("often")
def test_a_damaged_input_is_not_lost_on_the_journals_own_thread(journal):
    """The journal is written while the check runs and after it failed; the stage's next output raises its error."""
    checked = threading.Event()

    def wait_for_a_write():
        before = journal.stat().st_mtime_ns
        eventually(lambda: journal.stat().st_mtime_ns != before)

    def check():
        wait_for_a_write()
        checked.set()
        raise InputError("1.arrow: damaged")

    result = journal.with_name("result.json")
    with pytest.raises(InputError, match=r"1\.arrow: damaged"), tracked(journal):  # noqa: PT012
        check_in_background([check])
        assert checked.wait(SECONDS)
        wait_for_a_write()
        wait_for_a_write()  # the first may have begun before the error
        write_json(result, {})
    assert (read(journal)["status"], result.exists()) == ("FAILED", False)


def test_a_stage_that_writes_nothing_more_still_hears_of_a_damaged_input(journal):
    with pytest.raises(InputError, match="damaged"), tracked(journal):
        check_in_background([_damaged])
    assert read(journal)["status"] == "FAILED"


def _damaged():
    raise InputError("1.arrow: damaged")


def test_a_figure_is_a_metric_with_its_interval_as_a_tag(journal):
    figures = {"auc": Estimate(value=0.75, low=0.5, high=0.9)}
    with track(STAGE, "n", journal=journal, settings=Example(), inputs={}) as run:
        run.log_figures(figures)
        run.log_figures(figures, suffix="/edema")
    record = json.loads(journal.read_text())
    assert {each["key"]: each["value"] for each in record["metrics"]} == {"test/auc": 0.75, "test/auc/edema": 0.75}
    assert record["tags"]["interval.test/auc/edema"] == record["tags"]["interval.test/auc"] == "0.5 to 0.9"
