"""Chosen models in the registry of a SQLite store: once a set of weights."""

import pytest
import yaml

from stages.common.errors import InputError
from stages.sync.model_registry import register
from stages.sync.quiet_mlflow import MlflowClient

DECISION = {"criterion": "rank", "split": "validation", "candidates": {"5": 0.1, "9": 0.2}, "chosen_step": 9,
            "reason": "step 9 is best"}  # fmt: skip


def write_model(folder, weights):
    folder.mkdir()
    (folder / "MLmodel").write_text(yaml.safe_dump({"metadata": {"weights_sha256": weights}}))
    return folder


def test_weights_are_registered_once_and_what_is_said_of_them_is_brought_up_to_date(database, tmp_path):
    client = MlflowClient(f"sqlite:///{database}")
    first, second = write_model(tmp_path / "first", "aa"), write_model(tmp_path / "second", "bb")
    assert register(client, "mlip-registry", first, {"auc": 0.8}, DECISION) == "1"
    assert register(client, "mlip-registry", first, {"auc": 0.9}, DECISION) == "1"
    assert register(client, "mlip-registry", second, {}, DECISION | {"reason": ""}) == "2"
    versions = {each.version: each for each in client.search_model_versions("name = 'mlip-registry'")}
    assert len(versions) == 2
    one = next(each for each in versions.values() if each.tags["mlip.weights_sha256"] == "aa")
    assert one.tags["metric.auc"] == "0.9"
    assert one.tags["selection.chosen_step"] == "9"
    assert one.description == "Step 9 of 2 candidates, by rank on validation data. step 9 is best."
    assert one.source == first.resolve().as_uri()


def test_a_folder_that_is_no_model_is_named(database, tmp_path):
    with pytest.raises(InputError, match="no model of select_checkpoint"):
        register(MlflowClient(f"sqlite:///{database}"), "mlip", tmp_path, {}, {})
