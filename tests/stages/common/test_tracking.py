"""The journal tells what happened, also when it went wrong."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common import tracking
from stages.common.atomic_files import sha256_of, write_sidecar
from stages.common.code_digest import code_digest
from stages.common.digests import data_digest
from stages.common.errors import InputError
from stages.common.settings import Settings
from stages.common.tracking import flatten, track

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


@pytest.mark.parametrize("error", [ValueError, InputError, KeyboardInterrupt])
def test_an_exception_is_recorded_in_one_line_and_goes_on(journal, error):
    def work():
        with tracked(journal) as run:
            run.log_metric("loss", 1.0)
            raise error("first line\n   second line")

    with pytest.raises(error, match="first"):
        work()
    record = read(journal)
    assert (record["status"], record["error"]) == ("FAILED", f"{error.__name__}: first line second line")
    assert record["ended"] >= record["started"]
    assert len(record["metrics"]) == 1  # what was measured before the end is kept


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_numbers_that_are_not_finite_are_kept_as_text(journal, value, text):
    with tracked(journal) as run:
        run.log_metric("loss", value, step=2)
    metric = read(journal)["metrics"][0]
    assert (metric["key"], metric["value"], metric["step"]) == ("loss", text, 2)


def test_a_killed_run_keeps_the_metrics_of_its_last_write(journal, monkeypatch):
    monkeypatch.setattr(tracking, "_SECONDS_BETWEEN_WRITES", 0.0)
    with tracked(journal) as run:
        run.log_metric("loss", 1.0, step=1)
        assert [metric["step"] for metric in read(journal)["metrics"]] == [1]
        assert read(journal)["status"] == "RUNNING"


def test_writes_are_rare_while_metrics_come_in(journal, monkeypatch):
    with tracked(journal) as run:
        written = []
        monkeypatch.setattr(run, "write", lambda: written.append(1))
        for step in range(1000):
            run.log_metric("loss", 1.0, step)
        assert written == []


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
    monkeypatch.setattr(tracking, "ROOT", tmp_path)
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
