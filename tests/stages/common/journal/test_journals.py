"""Journals are found, checked and told apart by what they are, not by where they stand."""

import json
import shutil

import pytest

from stages.common.errors import InputError
from stages.common.journal import tracking
from stages.common.journal.journals import Journal, find_journals, read_journal
from stages.common.journal.tracking import track
from stages.common.settings import Settings


class Example(Settings):
    seed: int = 0


def write(path, **changes):
    """A real journal by `track`, with some keys replaced."""
    with track("sync", "mlip", journal=path, settings=Example(), inputs={}) as run:
        run.log_metric("loss", 1.5)
        run.log_metric("loss", float("nan"), 1)
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(record))
    return read_journal(path).journal


def test_what_track_writes_is_what_sync_reads(tmp_path):
    journal = write(tmp_path / "journal.json")
    assert [(metric.value, metric.step) for metric in journal.metrics] == [(1.5, 0), ("nan", 1)]
    assert Journal.model_fields["version"].annotation.__args__ == (tracking.JOURNAL_VERSION,)
    assert set(json.loads((tmp_path / "journal.json").read_text())) == set(Journal.model_fields)


def test_the_key_is_the_same_from_start_to_end(tmp_path):
    path = tmp_path / "journal.json"
    with track("sync", "mlip", journal=path, settings=Example(), inputs={}) as run:
        first = read_journal(path).journal.key
        run.log_metric("loss", 1.0)
    assert read_journal(path).journal.key == first


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "other"},
        {"name": "other"},
        {"started": 1},
        *(
            {"digests": {"code": "a", "settings": "a", "data": "a", "image": "a"} | {role: "b"}}
            for role in ("code", "settings", "data", "image")
        ),
    ],
    ids=str,
)
def test_the_key_differs_between_runs(tmp_path, change):
    base = {"started": 0, "digests": {"code": "a", "settings": "a", "data": "a", "image": "a"}}
    assert write(tmp_path / "a.json", **base).key != write(tmp_path / "b.json", **(base | change)).key


def test_the_last_sign_of_life(tmp_path):
    metric = {"key": "loss", "value": 1.0, "step": 0, "timestamp": 500}
    path = tmp_path / "journal.json"
    assert write(path, started=100, ended=None, metrics=[]).last_sign == 100
    assert write(path, started=100, ended=None, metrics=[metric, metric | {"timestamp": 300}]).last_sign == 500
    assert write(path, started=100, ended=900, metrics=[metric]).last_sign == 900


def test_a_copied_results_folder_counts_once_and_its_finished_copy_wins(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "journal.json", status="RUNNING", started=5, ended=None)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    write(tmp_path / "b" / "journal.json", status="FINISHED", started=5, ended=9, metrics=[])
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    found, problems = find_journals(tmp_path)
    assert [each.path.parent.name for each in found] == ["b"]
    assert problems == []


def test_runs_come_oldest_first(tmp_path):
    for name, started in (("a", 3), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "journal.json", started=started)
    assert [each.journal.started for each in find_journals(tmp_path)[0]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", r"\(top level\)"),
        ("{}", "stage: missing key"),
        ('{"version": 2}', "version: Input should be 1"),
    ],
)
def test_one_broken_journal_is_named_and_hides_no_other(tmp_path, text, message):
    (tmp_path / "good").mkdir()
    write(tmp_path / "good" / "journal.json")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "journal.json").write_text(text)
    found, problems = find_journals(tmp_path)
    assert len(found) == len(problems) == 1
    assert str(tmp_path / "bad" / "journal.json") in problems[0]
    assert "\n" not in problems[0]
    with pytest.raises(InputError, match=message):
        read_journal(tmp_path / "bad" / "journal.json")


def test_no_journal_at_all_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no journal\.json below it; run a stage first"):
        find_journals(tmp_path)


def test_a_number_that_is_not_finite_is_no_number_of_a_journal(tmp_path):
    """`track` never writes one; a hand-made journal that has one must not reach the store."""
    with pytest.raises(InputError, match=r"metrics\.0\.value"):
        write(tmp_path / "journal.json", metrics=[{"key": "a", "value": float("nan"), "step": 0, "timestamp": 1}])
