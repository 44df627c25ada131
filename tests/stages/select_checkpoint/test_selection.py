"""The stage from files to a decision: on validation alone, recorded, reproducible."""

import numpy as np
import pytest
from selection_inputs import STEPS, Inputs, write_inputs

from stages.common.encoders.settings import InferenceRecord
from stages.common.errors import InputError
from stages.common.files.atomic_files import read_json, verify, write_json, write_sidecar
from stages.common.inference.model import INFERENCE
from stages.common.records import read_record
from stages.select_checkpoint.candidate_scores import read_validation_labels
from stages.select_checkpoint.contract import Selection

EVERYTHING = "{draws: 50, zero_shot_on: set, batch_size: 3}"


@pytest.fixture(scope="module")
def selection(inputs, tmp_path_factory) -> dict:
    return inputs.select(tmp_path_factory.mktemp("out"), EVERYTHING, labels=True)


def test_the_decision_is_recorded_with_every_score(selection) -> None:
    assert selection["split"] == "validation"
    assert selection["studies"] == 8
    assert selection["labelled_images"] == 8
    losses = {int(step): scores["contrastive_loss"] for step, scores in selection["scores"].items()}
    assert list(losses) == list(STEPS)
    assert selection["chosen_step"] == selection["best_step"] == min(losses, key=losses.get)
    assert {int(step): value for step, value in selection["candidates"].items()} == losses
    assert set(selection["scores"]["10"]) == {
        *("contrastive_loss", "mean_reciprocal_rank", "recall_at_1", "recall_at_5", "recall_at_10", "zero_shot_auc")
    }
    lead = selection["lead_of_best"]
    assert lead["low"] <= lead["value"] <= lead["high"]
    ordered = sorted(losses.values())
    assert lead["value"] == pytest.approx(ordered[1] - ordered[0])


def test_what_is_written_is_read_by_its_records(inputs, tmp_path) -> None:
    written = inputs.select(tmp_path, EVERYTHING, labels=True)
    selection = read_record(tmp_path / "selection.json", Selection)
    assert selection.model_dump(mode="json") == written
    inference = read_record(tmp_path / "checkpoint" / INFERENCE, InferenceRecord)
    assert inference.temperature == selection.temperatures[selection.chosen_step]
    assert inference.size == 16


def test_a_selection_of_another_version_says_what_to_run_again(inputs, tmp_path) -> None:
    written = inputs.select(tmp_path)
    write_json(tmp_path / "selection.json", {key: value for key, value in written.items() if key != "rule"})
    write_sidecar(tmp_path / "selection.json")
    with pytest.raises(InputError, match=r"selection\.json: rule: missing key.*run its stage again") as caught:
        read_record(tmp_path / "selection.json", Selection)
    assert "\n" not in str(caught.value)


def test_nothing_of_the_test_part_changes_the_decision(inputs, selection, tmp_path) -> None:
    """Other test pixels, reports and labels; the validation part is the same."""
    other = write_inputs(tmp_path / "other", test_seed=1)
    for name in ("0.arrow", "sentences.arrow", "labels.arrow"):
        assert (other.folder / name).read_bytes() != (inputs.folder / name).read_bytes()
    assert other.select(tmp_path, EVERYTHING, labels=True) == selection


def test_labels_of_validation_alone_are_read(inputs) -> None:
    labels = read_validation_labels(inputs.folder / "labels.arrow", ["opacity"])
    assert set(labels.images["image_id"]) == {f"i{number}" for number in range(8, 16)}
    with pytest.raises(InputError, match="no label is of finding 'edema'"):
        read_validation_labels(inputs.folder / "labels.arrow", ["edema"])


@pytest.mark.parametrize("criterion", ["mean_reciprocal_rank", "recall_at_5", "zero_shot_auc"])
def test_the_criterion_decides(inputs, selection, tmp_path, criterion: str) -> None:
    settings = f"{{draws: 50, zero_shot_on: set, batch_size: 3, criterion: {criterion}}}"
    other = inputs.select(tmp_path, settings, labels=True)
    values = {int(step): scores[criterion] for step, scores in selection["scores"].items()}
    assert other["chosen_step"] == max(sorted(values), key=values.get)
    assert other["scores"] == selection["scores"]


def test_batches_change_rounding_alone(inputs, selection, tmp_path) -> None:
    other = inputs.select(tmp_path, "{draws: 50, zero_shot_on: set}", labels=True)
    for step, scores in selection["scores"].items():
        assert list(other["scores"][step].values()) == pytest.approx(list(scores.values()), abs=1e-5)


def test_maskings_are_averaged(inputs, tmp_path) -> None:
    """More maskings: a steadier loss. Seeds of one masking vary more than seeds of sixteen."""
    spread = {}
    for maskings in (1, 16):
        losses = [
            inputs.select(tmp_path, f"{{draws: 5, maskings: {maskings}, seed: {seed}}}")["scores"]["20"]
            for seed in range(4)
        ]
        spread[maskings] = np.std([each["contrastive_loss"] for each in losses])
    assert 0 < spread[16] < spread[1]


def test_labels_that_are_asked_for_must_be_given(inputs, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        inputs.select(tmp_path, "{zero_shot_on: rsna}")
    assert "zero_shot_on is rsna: give --zero-shot-images" in capsys.readouterr().err


def test_the_journal_tells_scores_and_choice(inputs: Inputs, tmp_path) -> None:
    selection = inputs.select(tmp_path)
    journal = read_json(tmp_path / "journal.json")
    logged = {(each["key"], each["step"]): each["value"] for each in journal["metrics"]}
    assert logged["validation/contrastive_loss", 20] == selection["scores"]["20"]["contrastive_loss"]
    assert logged["chosen/step", 0] == selection["chosen_step"]
    verify(tmp_path / "selection.json")
