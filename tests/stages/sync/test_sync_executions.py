"""Which journals are one run, and below which call of the workflow each run is shown. No store: pure functions."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.journal.journals import FoundJournal, Journal
from stages.sync.invocations import invocations, parents
from stages.sync.run_records import executions
from stages.sync.synchronise import records_of

ROOT = Path("/results")
DAY = 86_400_000


def found(stage, name, started, call=None, part=False, **changes):
    record = {
        "version": 1,
        "stage": stage,
        "name": name,
        "status": "FINISHED",
        "started": started,
        "ended": started + 5,
        "error": None,
        "digests": {"code": "c", "settings": "s", "data": "d", "image": "i"},
        "inputs": {},
        "params": {},
        "metrics": [],
        "artifacts": [],
        "tags": {"invocation": call} if call else {},
    } | changes
    file = f"journal_{name.rpartition('/')[2]}.json" if part else "journal.json"
    return FoundJournal(ROOT / stage / name / file, Journal.model_validate(record), record)


def shard(number, started, call=None, **changes):
    return found("dicom_to_arrow", f"rsna/{number}", started, call, part=True, **changes)


def gather(started, call=None, **changes):
    return found("dicom_to_arrow", "rsna", started, call, **changes)


def count(number):
    return [{"key": "images", "value": float(number), "step": 0, "timestamp": 100 + number}]


def records(journals):
    return [record for record, _ in records_of(journals, ROOT, now=10 * DAY, grace=DAY)]


def test_a_scattered_stage_is_one_run_with_each_part_s_numbers_at_its_step():
    parts = [shard(number, number + 1, metrics=count(number)) for number in (0, 1, 10)]
    (record,) = records([*parts, gather(50, metrics=[{"key": "images", "value": 11.0, "step": 0, "timestamp": 55}])])
    assert (record.run_name, record.status, record.started, record.ended) == ("dicom_to_arrow/rsna", "FINISHED", 1, 55)
    assert record.metrics == [
        ("images", 11.0, 55, 0),
        *(("parts/images", float(number), 100 + number, number) for number in (0, 1, 10)),
    ]
    assert record.tags["mlip.parts"] == "3 of 3 finished"
    assert [each["name"] for each in record.manifest["parts"]] == ["rsna/0", "rsna/1", "rsna/10"]


def test_parts_without_their_gathering_are_one_run_that_the_gathering_takes_over():
    parts = [shard(0, 1), shard(1, 2, status="FAILED", error="boom")]
    (before,) = records(parts)
    assert (before.run_name, before.status, before.tags["mlip.error"]) == ("dicom_to_arrow/rsna", "FAILED", "boom")
    (first,) = records(parts[:1])
    assert first.key == before.key  # however many there are yet
    assert first.status == "KILLED"  # silent for days
    (after,) = records([*parts, shard(1, 30), gather(50)])
    assert after.former_key == before.key != after.key
    assert (after.status, after.tags["mlip.parts"]) == ("FINISHED", "2 of 2 finished")


def test_a_part_that_runs_again_belongs_to_the_next_gathering_and_the_others_stay():
    parts = [shard(0, 1), shard(1, 2)]
    old, new = executions([*parts, gather(10), shard(1, 20), gather(30)])
    assert [each.journal.started for each in old.parts] == [1, 2] == [each.journal.started for each in old.own]
    assert [each.journal.started for each in new.parts] == [1, 20]
    assert [each.journal.started for each in new.own] == [20]
    assert (old.started, new.started) == (1, 20)


def test_duplicates_of_the_whole_stage_are_no_gathering_of_a_data_set():
    runs = executions([shard(0, 1), found("dicom_to_arrow", "duplicates", 5)])
    assert [(run.name, len(run.parts)) for run in runs] == [("rsna", 1), ("duplicates", 0)]


def test_the_newest_call_shows_the_whole_and_the_ones_before_what_it_replaced():
    journals = [
        found("index_inputs", "rsna", 1, "A"),
        found("pretrain", "mlip", 2, "A"),
        found("summarize", "", 3, "A"),
        found("pretrain", "mlip", 11, "B"),
        found("summarize", "", 12, "B"),
        found("summarize", "", 21, "C"),
    ]
    runs = executions(journals)
    calls = invocations(runs)
    names = {call.identifier: sorted((run.stage, run.started) for run in call.members) for call in calls}
    assert names == {
        "A": [("index_inputs", 1), ("pretrain", 2), ("summarize", 3)],
        "B": [("index_inputs", 1), ("pretrain", 11), ("summarize", 12)],
        "C": [("index_inputs", 1), ("pretrain", 11), ("summarize", 21)],
    }
    below = {(run.stage, run.started): parents(calls)[run.key] for run in runs}
    a, b, c = (call.key for call in calls)
    assert below == {
        ("index_inputs", 1): c,
        ("pretrain", 2): a,
        ("summarize", 3): a,
        ("pretrain", 11): c,
        ("summarize", 12): b,
        ("summarize", 21): c,
    }


def test_a_parent_tells_what_ran_and_what_was_kept():
    journals = [
        found("index_inputs", "rsna", 1, "A", tags={"invocation": "A", "project": "mlip", "git_commit": "abc"}),
        found("summarize", "", 3, "A"),
        found("summarize", "", 12, "B", status="FAILED", error="boom", ended=20),
    ]
    parent = {record.name: record for record in records(journals) if not record.stage}
    assert (parent["A"].status, parent["A"].started, parent["A"].ended) == ("FINISHED", 1, 8)
    assert (parent["B"].status, parent["B"].started, parent["B"].ended) == ("FAILED", 12, 20)
    assert (parent["A"].tags["mlip.ran"], parent["A"].tags["mlip.kept"]) == ("2 FINISHED", "0")
    assert (parent["B"].tags["mlip.ran"], parent["B"].tags["mlip.kept"]) == ("1 FAILED", "1")
    assert "| index_inputs | rsna | FINISHED | 0.0 | kept from A |" in parent["B"].tags["mlflow.note.content"]
    assert [run["ran"] for run in parent["B"].manifest["runs"]] == [False, True]


def test_a_stage_run_by_hand_has_no_parent_until_the_workflow_keeps_it():
    by_hand = found("index_inputs", "rsna", 1)
    assert [record.parent for record in records([by_hand])] == [None]
    parent, kept, _ = records([by_hand, found("summarize", "", 2, "A")])
    assert kept.parent == parent.key


def test_a_retry_within_one_call_stays_below_it():
    (parent, *runs) = records(
        [found("pretrain", "m", 1, "A", status="FAILED", error="x"), found("pretrain", "m", 9, "A")]
    )
    assert [run.parent for run in runs] == [parent.key] * 2


def test_inputs_are_named_by_what_wrote_them():
    labels = [{"path": "labels.arrow", "sha256": "abc", "bytes": 5, "publish": False}]
    outside = {"prompts": "p"}
    parts = {f"shard_{number:05d}": f"s{number}" for number in range(3)}
    journals = [
        found("label_images", "rsna", 1, artifacts=labels),
        found("zero_shot_classification", "rsna", 2, inputs={"labels": "abc"} | outside | parts),
    ]
    record = records(journals)[1]
    assert [(each.role, each.name, each.sha256) for each in record.inputs] == [
        ("labels", "label_images/rsna/labels.arrow", "abc"),
        ("prompts", "prompts", "p"),
    ]


calls = st.sampled_from([None, "A", "B", "C"])


@settings(deadline=None)
@given(drawn=st.lists(st.tuples(st.sampled_from("xyz"), calls), max_size=12))
def test_every_run_is_shown_once_and_the_last_call_holds_the_newest_of_each_place(drawn):
    order = sorted(drawn, key=lambda each: each[1] or "A")  # calls follow one another
    journals = [found("stage", name, start + 1, call) for start, (name, call) in enumerate(order)]
    shown = records(journals)
    assert len({record.key for record in shown}) == len(shown)
    assert sum(bool(record.stage) for record in shown) == len(journals)
    groups = invocations(executions(journals))
    if groups:
        newest = {}
        for each in journals:
            newest[each.journal.name] = each.journal.started
        last = groups[-1]
        started = last.started
        assert {run.name: run.started for run in last.members}.items() >= {
            (name, start) for name, start in newest.items() if start <= started
        }
