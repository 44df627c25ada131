"""What MLflow shall hold is a pure function of the journal."""

import json
from pathlib import Path

import pytest

from stages.common.journal.journals import FoundJournal, Journal
from stages.common.journal.mlflow_texts import PARAM_LENGTH, TAG_LENGTH
from stages.sync.run_records import InputData, closed, executions, run_record

HOUR = 3_600_000


def record_of(now=10 * HOUR, grace=24 * HOUR, **changes):
    record = {
        "version": 1,
        "stage": "pretrain",
        "name": "mlip",
        "status": "FINISHED",
        "started": 1000,
        "ended": 9000,
        "error": None,
        "digests": {"code": "c", "settings": "s", "data": "d", "image": "i"},
        "inputs": {"pairs": "p"},
        "params": {"seed": "0"},
        "metrics": [{"key": "loss", "value": 2.0, "step": 3, "timestamp": 4000}],
        "artifacts": [],
        "tags": {"host": "node1", "git_commit": "abc"},
    } | changes
    found = FoundJournal(Path("/results/pretrain/mlip/journal.json"), Journal.model_validate(record), record)
    (execution,) = executions([found])
    return run_record(execution, Path("/results"), now, grace, {"p": "pair/pairs.arrow"})


def test_a_finished_journal():
    record = record_of()
    assert (record.run_name, record.status, record.started, record.ended) == ("pretrain/mlip", "FINISHED", 1000, 9000)
    assert record.metrics == [("loss", 2.0, 4000, 3)]
    assert record.params == {"seed": "0"}
    assert record.tags == {
        "host": "node1",
        "git_commit": "abc",
        "mlflow.source.git.commit": "abc",
        "mlflow.source.name": "stages.pretrain",
        "mlflow.source.type": "LOCAL",
        "mlip.key": record.key,
        "mlip.stage": "pretrain",
        "mlip.name": "mlip",
        "mlip.journal": "pretrain/mlip/journal.json",
        "mlip.code": "c",
        "mlip.settings": "s",
        "mlip.data": "d",
        "mlip.image": "i",
    }
    assert record.manifest["inputs"] == {"pairs": "p"}
    assert record.inputs == [InputData("pairs", "pair/pairs.arrow", "p")]
    assert "metrics" not in record.manifest
    assert record_of(name="").run_name == "pretrain"


def test_the_digest_sees_every_change_and_nothing_else():
    assert record_of().digest() == record_of(now=99 * HOUR).digest()
    metric = {"key": "loss", "value": 2.5, "step": 3, "timestamp": 4000}
    for change in ({"metrics": [metric]}, {"ended": 9001}, {"tags": {}}, {"params": {"seed": "1"}}, {"inputs": {}}):
        assert record_of(**change).digest() != record_of().digest()


@pytest.mark.parametrize(
    ("silent", "grace", "expected"),
    [
        (5 * HOUR, 24 * HOUR, ("RUNNING", None)),
        (24 * HOUR, 24 * HOUR, ("KILLED", 4000)),
        (0, 0, ("KILLED", 4000)),
        (-HOUR, 0, ("KILLED", 4000)),  # the clock of the node was ahead
        (-HOUR, 24 * HOUR, ("RUNNING", None)),
    ],
)
def test_a_running_journal_is_killed_after_its_grace(silent, grace, expected):
    record = record_of(status="RUNNING", ended=None, now=4000 + silent, grace=grace)
    assert (record.status, record.ended) == expected


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_an_ended_run_is_never_killed(status):
    assert closed(status, 5, 5, now=1_000_000 * HOUR, grace=0) == (status, 5)


def test_numbers_that_are_not_finite_become_a_tag():
    metric = {"key": "loss", "value": "nan", "step": 7, "timestamp": 4000}
    record = record_of(metrics=[metric, metric | {"value": 1.0}, metric | {"value": "-inf", "step": 8}])
    assert record.metrics == [("loss", 1.0, 4000, 7)]
    assert record.tags["metric_not_finite"] == "loss = nan at step 7; loss = -inf at step 8"


def test_long_values_are_cut_to_the_limit_and_stand_whole_in_the_manifest():
    record = record_of(params={"prompts": "p" * 7000, "exact": "e" * PARAM_LENGTH}, error="x" * 9000, status="FAILED")
    assert record.params["prompts"] == "p" * (PARAM_LENGTH - 1) + "…"
    assert record.params["exact"] == "e" * PARAM_LENGTH
    assert len(record.tags["mlip.error"]) == TAG_LENGTH
    assert record.manifest["params"]["prompts"] == "p" * 7000
    assert record.manifest["error"] == "x" * 9000
    json.dumps(record.manifest)
