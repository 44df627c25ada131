"""Chosen models in the registry of a real store: once a set of weights, and each version keeps its own weights."""

import hashlib
import shutil
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.journal.journals import find_journals
from stages.sync.model_registry import chosen_models, model_name
from stages.sync.quiet_mlflow import MlflowClient
from stages.sync.synchronise import synchronise


@pytest.fixture
def measure(write):
    def measured(stage, name, value, inputs, files=()):
        metrics = [{"key": key, "value": value, "step": 0, "timestamp": 1} for key in ("test/auc", "validation/auc")]
        write(stage, name, inputs=inputs, files=files, metrics=metrics)

    return measured


@pytest.fixture
def sync(tmp_path, database, request):
    def synced(**options):
        arguments = (tmp_path / "results", f"sqlite:///{database}", request.node.name, tmp_path / "artifacts")
        return synchronise(*arguments, **options)

    return synced


@pytest.fixture
def versions(database, request):
    """Versions of the variant mlip by their weights."""
    client = MlflowClient(f"sqlite:///{database}")

    def found():
        name = f"{request.node.name}-mlip"
        held = {each.tags["mlip.weights_sha256"]: each for each in client.search_model_versions(f"name = '{name}'")}
        return held, client.get_registered_model(name).aliases

    return found


def test_a_set_of_weights_has_one_version_however_often_it_is_synced(choose, sync, versions):
    choose()
    assert sync().models == ["test_a_set_of_weights_has_one_version_however_often_it_is_synced-mlip 1"]
    assert sync().models == []
    held, aliases = versions()
    assert held.keys() == {"aa"}
    assert held["aa"].tags["selection.chosen_step"] == "9"
    assert held["aa"].tags["metric.validation/recall_at_1"] == "0.25"
    assert held["aa"].description == "Step 9 of 2 candidates, by rank on validation data. step 9 is best."
    assert aliases == {"current": 1}


def test_an_older_version_keeps_its_weights_when_the_results_hold_new_ones(choose, sync, versions, database, tmp_path):
    choose("aa")
    sync()
    choose("bb", started=1_700_000_100_000, ended=1_700_000_101_000)
    sync()
    held, aliases = versions()
    assert aliases == {"current": held["bb"].version}
    client = MlflowClient(f"sqlite:///{database}")
    for weights, version in held.items():
        folder = client.download_artifacts(version.run_id, "model", str(tmp_path))
        assert (Path(folder) / "data/model.safetensors").read_text() == f"the weights {weights}"
        shutil.rmtree(folder)
    choose("aa", started=1_700_000_200_000, ended=1_700_000_201_000)
    assert sync().models == []
    assert versions()[1] == {"current": held["aa"].version}


def test_measurements_of_the_same_weights_stand_beside_them_and_follow_them(choose, sync, measure, versions):
    choose("aa")
    measure("zero_shot_classification", "mlip/rsna", 0.8, {"checkpoint": "aa"})
    measure("retrieval", "other", 0.1, {"checkpoint": "bb"})
    measure("extract_features", "mlip/rsna", 0.0, {"checkpoint": "aa"}, files=[("features.arrow", "f", False)])
    features = hashlib.sha256(b"f").hexdigest()
    measure("few_shot_classification", "mlip/rsna/linear/1", 0.7, {"features": features})
    sync()
    tags = versions()[0]["aa"].tags
    assert tags["metric.zero_shot_classification/rsna/auc"] == "0.8"
    assert tags["metric.few_shot_classification/rsna/linear/1/auc"] == "0.7"
    assert not [key for key in tags if "retrieval" in key or "zero_shot_classification/rsna/validation" in key]
    measure("zero_shot_classification", "mlip/rsna", 0.9, {"checkpoint": "aa"})
    measure("few_shot_classification", "mlip/rsna/linear/1", 0.7, {"features": "others"})
    sync()
    tags = versions()[0]["aa"].tags
    assert tags["metric.zero_shot_classification/rsna/auc"] == "0.9"
    assert not [key for key in tags if "few_shot" in key]


def test_the_page_is_the_model_card_with_intervals_unless_a_person_wrote_it(choose, write, sync, versions, database):
    place = choose("aa")
    (place / "checkpoint").mkdir()
    (place / "checkpoint/README.md").write_text("---\nlicense: other\n---\n# The card\n\n| a |\n|---|\n")
    write("zero_shot_classification", "mlip/rsna", inputs={"checkpoint": "aa"},
          metrics=[{"key": "test/auc", "value": 0.8, "step": 0, "timestamp": 1}],
          tags={"interval.test/auc": "0.7 to 0.9"})  # fmt: skip
    model = sync().models[0].split()[0]
    held = versions()[0]["aa"]
    assert held.tags["metric.zero_shot_classification/rsna/auc"] == "0.8 (0.7 to 0.9)"
    decision, table, card = held.description.split("\n\n", 2)
    assert decision.startswith("Step 9 of 2 candidates")
    assert "| zero_shot_classification/rsna/auc | 0.8 (0.7 to 0.9) |" in table
    assert card == "# The card\n\n| a |\n|---|"
    client = MlflowClient(f"sqlite:///{database}")
    assert client.get_registered_model(model).description.endswith(card)
    (place / "checkpoint/README.md").write_text("# Another card\n")
    sync()
    assert versions()[0]["aa"].description.endswith("# Another card")
    client.update_registered_model(model, "ours")
    client.update_model_version(model, held.version, "ours, too")
    sync()
    sync()
    found = client.get_registered_model(model).description, versions()[0]["aa"].description
    assert found == ("ours", "ours, too")


def test_untrained_unfinished_and_half_written_models_are_left_out(choose, tmp_path):
    choose(variant="random", decision={"chosen_step": 0})
    choose(variant="running", status="RUNNING", ended=None)
    (choose(variant="half") / "mlflow_model/MLmodel").write_text("another")
    choose(variant="whole")
    found, _ = find_journals(tmp_path / "results")
    assert [model.name for model in chosen_models(found, "project")] == ["project-whole"]


def test_a_store_that_takes_no_model_costs_a_warning_alone(choose, sync, monkeypatch):
    choose()

    def refuse(*_, **__):
        raise OSError("no space at https://user:secret@store/bucket")

    monkeypatch.setattr(MlflowClient, "log_artifacts", refuse)
    summary = sync()
    assert (summary.new, summary.models) == (1, [])
    (warning,) = summary.warnings
    assert warning.endswith("sync again")
    assert "no space" in warning
    assert "secret" not in warning
    monkeypatch.undo()
    assert len(sync().models) == 1


@pytest.mark.parametrize(
    ("option", "variable", "journals", "registered"),
    [
        (False, "true", ["true"], False),
        (True, "false", ["false"], True),
        (None, "false", ["true"], False),
        (None, "true", ["false"], True),
        (None, "", ["false"], False),
        (None, "", ["true", "false"], False),  # the newest one counts
        (None, "", ["false", "true"], True),
        (None, "", ["no"], False),
        (None, "", [], True),
    ],
)
def test_where_weights_may_not_leave_none_do(
    choose, write, sync, database, request, tmp_path, monkeypatch, option, variable, journals, registered
):
    monkeypatch.setenv("MLIP_REGISTER_MODELS", variable)
    place = choose(weights="secret")
    for number, word in enumerate(journals):
        write(name=f"v{number}", started=1_800_000_000_000 + number, tags={"register_models": word})
    summary = sync(register=option)
    assert (len(summary.models), summary.warnings) == (int(registered), [])
    names = [each.name for each in MlflowClient(f"sqlite:///{database}").search_registered_models()]
    assert (f"{model_name(request.node.name, 'mlip')}" in names) == registered
    there = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert any("the weights" in path.read_text() for path in there) == registered
    assert "the weights" in (place / "mlflow_model/data/model.safetensors").read_text()


def test_names_are_those_that_mlflow_takes():
    assert model_name("a/b's:c", "mlip") == "a-b-s-c-mlip"


def test_a_model_without_its_decision_is_named(write, tmp_path):
    write("select_checkpoint", "mlip", files=[("mlflow_model/MLmodel", "a: 1", False)])
    found, _ = find_journals(tmp_path / "results")
    with pytest.raises(InputError, match="not a model of select_checkpoint"):
        list(chosen_models(found, "project"))
