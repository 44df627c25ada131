"""Groups by variant and data set: what they hold, what a call says of them, and that they follow the stages."""

from pathlib import Path

import pytest

from stages.common.journal.journals import FoundJournal, Journal
from stages.common.journal.mlflow_texts import is_constant
from stages.sync.metrics import COLUMNS, meanings
from stages.sync.quiet_mlflow import MlflowClient
from stages.sync.synchronise import records_of, synchronise
from stages.sync.view import runs_page

STARTED = 1_700_000_000_000
ROOT = Path("/results")
FIGURES = {  # stage and place -> figures, as the stages log them
    ("pretrain", "v"): {"loss/total": 1.0, "data/studies": 9.0},
    ("retrieval", "v"): {"test/image_to_report/recall_at_5": 0.25},
    ("zero_shot_classification", "v/a"): {"test/auc": 0.9, "test/auc/edema": 0.8, "test/f1": 0.5},
    ("few_shot_classification", "v/a/linear/1"): {"test/auc": 0.6},
    ("few_shot_segmentation", "v/a/linear/10"): {"test/dice_of_positives": 0.3},
    ("few_shot_segmentation", "v/a/linear/100"): {"test/dice_of_positives": 0.4},
    ("phrase_grounding", "v/a"): {"test/hit_rate": 0.75},
    ("zero_shot_classification", "v/b"): {"test/auc": 0.7},
    ("phrase_grounding", "v/b"): {"test/hit_rate": 0.25},
    ("pretrain", "w"): {},
    ("zero_shot_classification", "w/a"): {"test/auc": 0.5},
}


def journal(stage, name, started=STARTED, call="A", figures=(), **changes):
    metrics = [{"key": key, "value": value, "step": 0, "timestamp": started} for key, value in dict(figures).items()]
    record = {
        "version": 1, "stage": stage, "name": name, "status": "FINISHED", "started": started, "ended": started + 5,
        "error": None, "digests": {"code": "c", "settings": "s", "data": "d", "image": "i"}, "inputs": {},
        "params": {"fraction": name.rpartition("/")[2]}, "metrics": metrics, "artifacts": [],
        "tags": {"invocation": call, "variant": name[:1]},
    } | changes  # fmt: skip
    return FoundJournal(ROOT / stage / name / "journal.json", Journal.model_validate(record), record)


@pytest.fixture(scope="module")
def records():
    """The runs of one call by title."""
    found = [journal(*place, STARTED + at, figures=figures) for at, (place, figures) in enumerate(FIGURES.items())]
    found += [journal("index_inputs", "a", STARTED + 50, tags={"invocation": "A"}),
              journal("label_images", "a", STARTED + 51, tags={"invocation": "A"}),
              journal("summarize", "", STARTED + 60, tags={"invocation": "A"})]  # fmt: skip
    return {each.run_name: each for each, _ in records_of(found, ROOT, STARTED + 100, 0)}


def figures_of(record):
    return {key: value for key, value, _, _ in record.metrics}


def test_stages_lie_in_groups_and_these_below_the_call(records):
    call = next(each for name, each in records.items() if name.startswith("run of"))
    groups = {name: each for name, each in records.items() if not each.stage and each is not call}
    assert list(groups) == ["v", "v on a", "v on b", "data a"]  # "w" and "w on a" have one stage each
    assert {each.parent for each in groups.values()} == {call.key}
    inside = {name: {each.run_name for each in records.values() if each.parent == group.key}
              for name, group in groups.items()}  # fmt: skip
    assert inside["v"] == {"pretrain/v", "retrieval/v"}
    assert inside["data a"] == {"index_inputs/a", "label_images/a"}
    assert len(inside["v on a"]) == 5
    alone = {each.run_name for each in records.values() if each.parent == call.key} - set(groups)
    assert alone == {"pretrain/w", "zero_shot_classification/w/a", "summarize"}
    for name, group in groups.items():  # MLflow orders by start: a group comes where its first stage does
        assert group.started == min(records[each].started for each in inside[name])


def test_a_group_shows_the_figures_of_its_stages_in_the_columns(records):
    assert figures_of(records["v on a"]) == {
        "test/auc": 0.9, "test/auc/edema": 0.8, "test/auc/linear_1": 0.6, "test/hit_rate": 0.75,
        "test/dice_of_positives": 0.4,
        "test/dice_of_positives/linear_10": 0.3, "test/dice_of_positives/linear_100": 0.4}  # fmt: skip
    assert figures_of(records["v"]) == {"test/image_to_report/recall_at_5": 0.25}
    assert figures_of(records["data a"]) == {}


def test_a_call_shows_the_figures_of_all_and_the_means_of_the_trained_variant(records):
    call = next(each for name, each in records.items() if name.startswith("run of"))
    found = figures_of(call)
    assert (found["test/auc/v/a"], found["test/auc/v/a/edema"], found["test/auc/w/a"]) == (0.9, 0.8, 0.5)
    assert (found["test/auc/v/a/linear_1"], found["test/dice_of_positives/v/a/linear_10"]) == (0.6, 0.3)
    assert found["test/auc"] == pytest.approx((0.9 + 0.7) / 2)  # not of w, which was not trained
    assert found["test/hit_rate"] == pytest.approx((0.75 + 0.25) / 2)
    assert call.params["few_shot_segmentation.fraction"] == "10 | 100"
    assert "| v/a | 0.900 | 0.400 | 0.750 |  |" in call.tags["mlflow.note.content"]


def test_no_mean_stands_for_two_trained_variants():
    found = [journal(*place, figures=figures) for place, figures in FIGURES.items() if place != ("pretrain", "w")]
    found.append(journal("pretrain", "w", figures={"loss/total": 2.0}))
    call = records_of(found, ROOT, STARTED + 100, 0)[0][0]
    assert not figures_of(call).keys() & set(COLUMNS)


def test_constants_are_tags_and_metrics_have_a_unit(records):
    training = records["pretrain/v"]
    assert (figures_of(training), training.tags["data/studies"]) == ({"loss/total": 1.0}, "9")
    assert training.tags["mlflow.note.content"].splitlines()[2:] == ["| loss/total | nats | loss; lower is better |"]
    assert is_constant("overlap/images")
    assert not is_constant("images")
    assert len(meanings(COLUMNS)) == 2 + len(COLUMNS)


@pytest.fixture
def store(database, request, tmp_path):
    uri, name = f"sqlite:///{database}", request.node.name

    def sync():
        return synchronise(tmp_path / "results", uri, name, tmp_path / "artifacts", grace_hours=0.0)

    def runs():
        client = MlflowClient(uri)
        found = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000)
        return client, {run.info.run_name: run for run in found}

    return sync, runs


def again(write, tmp_path, stage, name, call, started, **changes):
    """Run a stage once more: its journal moves aside."""
    folder = tmp_path / "results" / stage / name
    (folder / "earlier_journals").mkdir(exist_ok=True)
    (folder / "journal.json").rename(folder / "earlier_journals" / f"journal_{started - 1}.json")
    write(stage, name, tags={"invocation": call, "variant": "v"}, started=started, ended=started + 5, **changes)


def test_groups_are_written_once_and_follow_their_stages_to_the_next_call(write, store, tmp_path, metric):
    sync, runs = store
    figures = {"metrics": [metric(0, "test/auc", 0.5)], "files": [("roc.png", "a picture", True)]}
    for stage in ("zero_shot_classification", "phrase_grounding"):
        write(stage, "v/a", tags={"invocation": "A", "variant": "v"}, **figures)
    assert sync().new == 4  # the call, the group, two stages
    assert (sync().unchanged, sync().new) == (4, 0)
    client, found = runs()
    group, call = found["v on a"], found["run of 2023-11-14 22:13 UTC"]
    assert group.data.tags["mlflow.parentRunId"] == call.info.run_id
    assert {found[f"{stage}/v/a"].data.tags["mlflow.parentRunId"] for stage in
            ("zero_shot_classification", "phrase_grounding")} == {group.info.run_id}  # fmt: skip
    files = [each.path for each in client.list_artifacts(call.info.run_id, "files/phrase_grounding/v/a")]
    assert files == ["files/phrase_grounding/v/a/roc.png"]
    page = client.get_experiment(call.info.experiment_id)
    assert "mlflow.sharedViewState.mlip" in page.tags
    assert runs_page(call.info.experiment_id).endswith("viewStateShareKey=mlip")
    # a second call measures one stage anew: both are now valid below it, and only the replaced one below the first
    again(write, tmp_path, "zero_shot_classification", "v/a", "B", STARTED + 90_000,
          metrics=[metric(0, "test/auc", 0.75)])  # fmt: skip
    sync()
    client, found = runs()
    assert client.get_run(group.info.run_id).info.lifecycle_stage == "deleted"  # only one stage is left in it
    assert found["v on a"].data.metrics["test/auc"] == 0.75
    assert found["v on a"].data.tags["mlip.latest"] == "true"
    assert client.get_run(call.info.run_id).data.tags["mlip.latest"] == "false"
    assert (sync().new, sync().updated) == (0, 0)


def test_a_group_that_lost_its_stages_comes_back_with_them_but_not_against_a_person(write, store, tmp_path):
    sync, runs = store
    for stage in ("zero_shot_classification", "phrase_grounding"):
        write(stage, "v/a", tags={"invocation": "A", "variant": "v"})
    sync()
    client, found = runs()
    group = found["v on a"].info.run_id
    journal_file = tmp_path / "results/phrase_grounding/v/a/journal.json"
    journal_file.rename(tmp_path / "kept.json")
    sync()
    assert client.get_run(group).info.lifecycle_stage == "deleted"
    (tmp_path / "kept.json").rename(journal_file)
    sync()
    assert client.get_run(group).info.lifecycle_stage == "active"
    client.delete_run(group)
    sync()
    assert client.get_run(group).info.lifecycle_stage == "deleted"


def test_a_call_that_says_something_else_is_made_anew(write, store, metric):
    """A sync in the middle of a call saw one run of two: MLflow changes neither a param nor a start."""
    sync, runs = store
    tags = {"invocation": "A", "variant": "v"}
    write("zero_shot_classification", "v/a", tags=tags, params={"k": "1"}, metrics=[metric(0, "test/auc", 0.5)])
    sync()
    write("zero_shot_classification", "v/b", tags=tags, params={"k": "2"}, metrics=[metric(0, "test/auc", 0.25)],
          started=STARTED + 9)  # fmt: skip
    sync()
    _, found = runs()
    call = found["run of 2023-11-14 22:13 UTC"]
    assert call.data.params == {"zero_shot_classification.k": "1 | 2"}
    assert call.data.metrics == {"test/auc/v/a": 0.5, "test/auc/v/b": 0.25}
    assert found["zero_shot_classification/v/a"].data.tags["mlflow.parentRunId"] == call.info.run_id
    assert sync().unchanged == 3


def test_a_note_that_a_person_wrote_is_kept(write, store):
    sync, runs = store
    write(tags={"invocation": "A"})
    sync()
    client, found = runs()
    experiment = next(iter(found.values())).info.experiment_id
    assert client.get_experiment(experiment).tags["mlflow.note.content"].startswith("Runs of MLIP.")
    client.set_experiment_tag(experiment, "mlflow.note.content", "our trial")
    sync()
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == "our trial"
