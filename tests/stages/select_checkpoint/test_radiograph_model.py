"""The exported model: it reads as training does, its numbers are the encoders' own, mistakes are one line."""

from copy import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from exported_model import SIZE, TEMPERATURE

from stages.common.data.prompts import PromptSet
from stages.common.encoders.dual import load_checkpoint, to_input
from stages.common.encoders.settings import READINGS
from stages.common.errors import InputError
from stages.common.inference.heatmaps import heatmap_reader
from stages.common.inference.model import RadiographModel
from stages.common.inference.squares import reading_settings, square_of_array, squares_of_files
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_file
from stages.phrase_grounding.heatmaps import set_maps

CLASSES = {"opacity": ["opacity in the left lung .", "opacity"], "none": ["no opacity ."]}


@pytest.fixture(scope="module")
def model(exported) -> RadiographModel:
    return RadiographModel(exported.checkpoint)


@pytest.fixture(scope="module")
def square(exported):
    [square] = squares_of_files([exported.radiograph.read_bytes()], ["image"], reading_settings(SIZE))
    return square


@pytest.fixture(scope="module")
def reading(model, square):
    return model.read(square, CLASSES)


def test_a_dicom_file_becomes_the_pixels_that_training_would_have_stored(exported, square) -> None:
    row = dict.fromkeys(("study_id", "patient_id", "dataset", "view", "sex", "age", "sha256"))
    row |= {"image_id": "i", "path": exported.radiograph.name}
    stored = convert_file(row, exported.radiograph.parent, DicomToArrowSettings(size=SIZE)).image
    assert np.array_equal(np.frombuffer(stored["pixels"], np.uint8).reshape(SIZE, SIZE), square.pixels)
    box = square.content
    assert stored["content_box"] == [box.x, box.y, box.width, box.height]


def test_probabilities_are_the_softmax_of_cosines_at_the_fitted_temperature(reading) -> None:
    cosines = np.array([reading.cosines[name] for name in CLASSES])
    expected = np.exp(cosines / TEMPERATURE) / np.exp(cosines / TEMPERATURE).sum()
    assert [reading.probabilities[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-6)


def test_cosines_are_those_of_the_encoders(exported, square, reading) -> None:
    checkpoint = load_checkpoint(exported.checkpoint, torch.device("cpu"))
    with torch.inference_mode():
        pixels = to_input(torch.from_numpy(square.pixels[None]), 32)
        image = checkpoint.model.embed_global(checkpoint.model.patch_tokens(pixels))[0]
        prompts = checkpoint.embed_sentences(CLASSES["opacity"]).report.mean(dim=0)
    expected = torch.cosine_similarity(image, prompts, dim=0)
    assert reading.cosines["opacity"] == pytest.approx(float(expected), abs=1e-6)


def test_heatmaps_are_those_of_phrase_grounding(exported, square, reading) -> None:
    checkpoint = load_checkpoint(exported.checkpoint, torch.device("cpu"))
    on_grid = np.array(reading.heatmaps["opacity"])
    assert on_grid.shape == (4, 4)
    reader = heatmap_reader(checkpoint, READINGS["centred"])
    [[expected]] = set_maps(checkpoint, [reader], [[PromptSet(positive=CLASSES["opacity"])]], square.pixels[None])
    assert np.allclose(on_grid.ravel(), expected[0].numpy(), atol=1e-6)


def test_a_raw_heatmap_is_the_centred_one_and_the_cosines_of_the_mean_patch(model, square, reading) -> None:
    raw = model.read(square, CLASSES, "raw")
    checkpoint = model.checkpoint
    offset = checkpoint.mean_patches @ checkpoint.embed_sentences(CLASSES["none"]).sentences[:, 0].mean(dim=0)
    assert np.allclose(raw.heatmaps["none"].ravel(), reading.heatmaps["none"].ravel() + offset.numpy(), atol=1e-6)
    assert raw.cosines == reading.cosines


def test_a_checkpoint_without_a_mean_reads_raw_heatmaps_only(model, square) -> None:
    older = copy(model)
    older.checkpoint = replace(model.checkpoint, mean_patches=None)
    with pytest.raises(InputError, match=r"checkpoint.* has no mean.*reading=.raw."):
        older.read(square, CLASSES)
    assert older.read(square, CLASSES, "raw").cosines


def test_the_order_of_classes_changes_nothing_but_the_order(model, square, reading) -> None:
    other = model.read(square, dict(reversed(CLASSES.items())))
    assert other.probabilities == pytest.approx(reading.probabilities)


def test_bytes_path_and_array_give_the_same(exported, model, square) -> None:
    box = square.content
    content = square.pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    table = pd.DataFrame(
        {
            "image": [exported.radiograph.read_bytes(), None, None],
            "path": [None, str(exported.radiograph), None],
            "pixels": [None, None, content.tolist()],
            "prompts": [CLASSES] * 3,
        }
    )
    answers = model.predict(table)
    assert answers["cosines"][0] == answers["cosines"][1] == pytest.approx(answers["cosines"][2], abs=1e-6)
    assert answers["content"][0] == [0, 6 / 40, 1, 27 / 40]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, "row 0: give one of image, path, pixels; found none"),
        ({"image": b"x", "path": "y"}, "row 0: give one of image, path, pixels; found image, path"),
        ({"path": "/nowhere.dcm"}, "/nowhere.dcm: cannot be read"),
        ({"image": b"no picture"}, "row 0: not an image: neither DICOM nor JPEG nor PNG"),
        ({"pixels": [[1, 2], [3]]}, "row 0: rows of pixels differ in length"),
        ({"pixels": [[1, 300]]}, "row 0: grey levels are outside"),
        ({"pixels": 5}, "row 0: pixels: an int64; put it in a list"),
        ({"pixels": "12"}, "row 0: pixels: a str; put it in a list"),
        ({"pixels": [["a"]]}, "row 0: pixels are <U1 of shape (1, 1)"),
        ({"pixels": [[1, [2, 3]]]}, "row 0: pixels are no rows of numbers"),
        ({"image": "aGk="}, "row 0: image: a str; give the bytes of a file, not base64"),
        ({"path": 5}, "row 0: path: an int64; give the path of a file as text"),
        ({"path": ""}, "row 0: path: empty text; give the path of a file as text"),
        ({"path": np.array([1, 2])}, "row 0: path: a ndarray; give the path of a file as text"),
        ({"path": "a\0b"}, r"a\x00b: cannot be read (embedded null byte)"),
        ({"path": "x", "prompts": None}, "row 0: prompts: None; give a mapping of each class to its sentences"),
        ({"path": "x", "prompts": {"a": ["x"], "b": [5]}}, "row 0: prompts: class b: sentence 0: an int; give text"),
        ({"pixels": [[1, 2]], "prompts": {"opacity": ["opacity"]}}, "prompts: give at least two classes"),
        ({"pixels": [[1, 2]], "prompts": {"opacity": ["opacity"], "none": []}}, "prompts: give at least two classes"),
    ],
)
def test_mistakes_are_one_line(model, row, words) -> None:
    table = pd.DataFrame([{"image": None, "path": None, "pixels": None, "prompts": CLASSES} | row])
    with pytest.raises(InputError) as error:
        model.predict(table)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_array_is_padded_to_a_square() -> None:
    square = square_of_array(np.full((20, 40), 99.0), "pixels", 40)
    assert (square.pixels[10:30] == 99).all()
    assert (square.pixels[:10] == 0).all()
