"""phi of the chosen checkpoint as files: the very map of the weights, upright, over the mean of the radiographs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from selection_inputs import SIZE, STEPS, write_inputs

from stages.common.data.image_store import ImageStore
from stages.common.encoders.dual import load_checkpoint, to_input
from stages.common.files.atomic_files import read_json, verify, write_checked_json, write_sidecar
from stages.common.records import read_record
from stages.select_checkpoint.contract import IntegrityFile
from stages.select_checkpoint.export import map_over, write_integrity_files


@pytest.fixture(scope="module")
def chosen(tmp_path_factory) -> Path:
    """The output folder of a selection among candidates whose maps differ; each is centred, as pretrain writes them."""
    inputs = write_inputs(tmp_path_factory.mktemp("phi") / "in")
    index = read_json(inputs.folder / "candidates.json")
    for row in index["candidates"]:
        path = inputs.folder / row["path"]
        phi = torch.randn(16, generator=torch.Generator().manual_seed(row["step"]))
        save_file(load_file(path) | {"integrity_map": phi - phi.mean()}, path)
        row["sha256"] = write_sidecar(path)
    write_checked_json(inputs.folder / "candidates.json", index)
    output = tmp_path_factory.mktemp("phi_out")
    inputs.select(output)
    return output


def test_the_file_is_the_map_of_the_chosen_checkpoint(chosen: Path) -> None:
    path = chosen / "checkpoint" / "integrity_map.json"
    written = read_record(path, IntegrityFile).model_dump(mode="json")
    assert written == read_json(path)
    phi = load_checkpoint(chosen / "checkpoint", torch.device("cpu")).integrity_map
    assert written["step"] == read_json(chosen / "selection.json")["chosen_step"] in STEPS
    assert (written["grid"], written["input_size"]) == (4, SIZE)
    assert torch.equal(torch.tensor(written["phi"]).flatten(), phi)
    assert phi.abs().max() > 0
    assert abs(float(phi.mean())) < 1e-6
    assert written["smallest"] == float(phi.min())
    assert written["standard_deviation"] == pytest.approx(float(phi.double().std(correction=0)))


def test_mlflow_shows_map_and_picture(chosen: Path) -> None:
    published = {each["path"] for each in read_json(chosen / "journal.json")["artifacts"] if each["publish"]}
    assert {"checkpoint/integrity_map.json", "checkpoint/integrity_map.png", "pictures/decision.svg"} <= published
    for name in ("integrity_map.json", "integrity_map.png"):
        verify(chosen / "checkpoint" / name)


@pytest.mark.parametrize(("published", "fewest"), [("true", 20), ("false", 8)])
def test_a_mean_of_few_radiographs_or_of_a_restricted_set_is_absent(tmp_path, monkeypatch, published, fewest) -> None:
    """The fixture has 8 validation studies."""
    monkeypatch.setattr("stages.select_checkpoint.export._FEWEST_OF_A_MEAN", fewest)
    write_inputs(tmp_path / "in").select(tmp_path, f"{{draws: 5, batch_size: 3, publish_samples: {published}}}")
    assert read_json(tmp_path / "checkpoint" / "integrity_map.json")["mean_radiograph"] is None
    assert not list((tmp_path / "checkpoint").glob("mean_radiograph*"))
    picture = cv2.imread(str(tmp_path / "checkpoint" / "integrity_map.png"))
    assert (picture == 128).all()  # phi of the fixture's start is 0: grey alone, no radiograph


def test_the_mean_is_that_of_the_validation_radiographs(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("stages.select_checkpoint.export._FEWEST_OF_A_MEAN", 8)
    inputs = write_inputs(tmp_path / "in")
    inputs.select(tmp_path, "{draws: 5, batch_size: 3, publish_samples: true}")
    written = read_json(tmp_path / "checkpoint" / "integrity_map.json")["mean_radiograph"]
    store = ImageStore(inputs.folder / "manifest.json")
    rows = np.array([store.row_of(f"i{number}") for number in range(8, 16)])
    mean = 255 * to_input(torch.from_numpy(store.gather(rows)), SIZE).mean(dim=0).numpy()
    read = cv2.imread(str(tmp_path / "checkpoint" / written["path"]), cv2.IMREAD_UNCHANGED)
    assert written["images"] == 8
    assert read.shape == (SIZE, SIZE)
    assert np.abs(read - mean).max() <= 0.501


def test_a_variant_without_phi_has_no_files(tmp_path) -> None:
    inputs = write_inputs(tmp_path / "in")
    index = read_json(inputs.folder / "candidates.json")
    for row in index["candidates"]:
        path = inputs.folder / row["path"]
        weights = load_file(path)
        del weights["integrity_map"]
        save_file(weights, path)
        row["sha256"] = write_sidecar(path)
    write_checked_json(inputs.folder / "candidates.json", index)
    inputs.select(tmp_path)
    assert not list((tmp_path / "checkpoint").glob("integrity_map*"))


def test_red_is_above_and_blue_below_where_the_patch_is() -> None:
    square = np.zeros((4, 4))
    square[0, 3], square[2, 0] = 2.0, -2.0
    picture = map_over(square, np.full((16, 16), 100.0)).astype(int)
    side = len(picture) // 4
    top_right, lower_left = picture[:side, -side:], picture[2 * side : 3 * side, :side]
    assert (top_right[..., 0] > top_right[..., 2]).all()
    assert (lower_left[..., 2] > lower_left[..., 0]).all()
    coloured = picture.max(axis=2) != picture.min(axis=2)
    assert coloured.sum() == 2 * side * side  # everywhere else the radiograph alone
    assert (picture[~coloured] == 100).all()


def test_a_map_that_was_never_trained_leaves_the_radiograph(tmp_path) -> None:
    write_integrity_files(tmp_path, np.zeros(16), np.full((16, 16), 0.5), 20, step=0)
    picture = cv2.imread(str(tmp_path / "integrity_map.png"))
    assert (picture == 128).all()
