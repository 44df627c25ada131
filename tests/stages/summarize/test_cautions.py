"""What the summary says to keep in mind: alarms of trainings, and test parts of few patients."""

from types import SimpleNamespace as Record

import pytest

from stages.summarize.cautions import cautions


def said(patients: int | None, pairs: int, **tags: str) -> list[str]:
    card = Record(dataset="ours", splits={"test": Record(patients=patients)})
    audit = Record(dataset="ours", splits={"test": Record(patients=pairs)})
    read = Record(pairs=Record(audit=audit), retrieval=["measured"], cards=[card])
    runs = [Record(stage="pretrain", name="mlip", tags={"git_commit": "1"} | tags), Record(stage="x", name="", tags={})]
    return cautions(read, Record(runs=runs))


def test_nothing_is_said_where_all_is_well():
    assert said(20, 20) == []
    assert said(None, 20) == [], "patients are unknown"


def test_an_alarm_of_a_training_is_repeated():
    assert said(20, 20, alarm_not_learned="it has not") == ["warning: pretrain mlip: it has not"]


@pytest.mark.parametrize(("patients", "pairs", "what"), [(19, 20, "labels of ours: 19"), (20, 3, "pairs of ours: 3")])
def test_a_small_test_part_is_named(patients, pairs, what):
    (line,) = said(patients, pairs)
    assert line.startswith(f"warning: {what} patients in the test part, fewer than 20: its figures say little;")
