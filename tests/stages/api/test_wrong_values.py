"""Every public function refuses a wrong value in one line that names the argument, and takes none as another one."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from stages import InputError, Model, load, read_radiograph, split_report
from stages.common.files.atomic_files import write_sidecar

TEXT = "FINDINGS: No effusion.\nIMPRESSION: Clear."
CLASSES = {"opacity": "opacity", "none": ["no opacity"]}


@pytest.fixture(scope="module")
def model(exported) -> Model:
    return load(exported.checkpoint, "cpu")


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("device", ["tpu", "cuda:0", "CPU", "", None, 5, b"cpu", ["cpu"], torch.device("cpu")])
def test_a_device_that_is_none_is_refused(exported, device) -> None:
    words = "device: Input should be 'auto', 'cuda' or 'cpu' (given: "
    assert refused(lambda: load(exported.checkpoint, device)).startswith(words)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "source: None; give a path"),
        (5, "source: an int; give a path"),
        (b"x", "source: a bytes; give a path"),
        ([], "source: a list; give a path"),
        ("", "source: empty text; give a path"),
        (np.array([1, 2]), "source: a ndarray; give a path"),
        ("a\0b", r"a\x00b: no such folder"),
        ("a\nb", r"a\nb: no such folder"),
        ("x" * 5000, f"{'x' * 5000}: cannot be read (File name too long)"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x: cannot be downloaded (ValueError: "),
        ("foo://host/model", "foo://host/model: cannot be downloaded (MlflowException: "),
        ("models:/", "models:/: cannot be downloaded (MlflowException: "),
    ],
)
def test_a_source_that_is_no_model_is_refused(tmp_path, monkeypatch, source, words) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path))
    assert refused(lambda: load(source, "cpu")).startswith(words)


@pytest.mark.parametrize(
    "text", ["flavors:", "flavors: 5", "flavors: [a]", "flavors: {python_function: }", "a: b",
             "flavors: {python_function: {data: 5}}", "flavors: {python_function: {loader_module: x}}"],
)  # fmt: skip
def test_a_description_without_a_folder_is_refused(tmp_path, text) -> None:
    (tmp_path / "MLmodel").write_text(text)
    expected = f"{tmp_path}/MLmodel: flavors.python_function.data names no folder; export the model again"
    assert refused(lambda: load(tmp_path, "cpu")) == expected


def _with_another_shape(path: Path) -> None:
    save_file(load_file(path) | {"image_projection.weight": torch.zeros(3, 3)}, path)


def _with_a_word_more(path: Path) -> None:
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["new"] = len(tokenizer["model"]["vocab"])
    path.write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("model.safetensors", lambda path: path.write_bytes(b"x"), "/model.safetensors: not a tensor file, or damaged"),
        ("model.safetensors", _with_another_shape, ": weights do not fit the model (missing [], unexpected [], of "
                                                   "another shape ['image_projection.weight'])"),
        ("tokenizer/tokenizer.json", lambda path: path.write_text("{}"), "/tokenizer/tokenizer.json: not a token"),
        ("tokenizer/tokenizer.json", lambda path: path.write_bytes(b"\xff"), "/tokenizer/tokenizer.json: not a token"),
        ("tokenizer/tokenizer.json", _with_a_word_more, "/tokenizer/tokenizer.json: 13 word pieces, but the model has "
                                                        "12; export the checkpoint again"),
        ("config.json", lambda path: path.write_text("{}"), "/config.json: model: missing key"),
        ("inference.json", lambda path: path.write_text("[]"), "/inference.json: (top level): "),
    ],
)  # fmt: skip
def test_a_damaged_file_with_a_fitting_digest_is_named(exported, tmp_path, name, damage, words) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(exported.checkpoint, folder)
    damage(folder / name)
    write_sidecar(folder / name)
    assert refused(lambda: load(folder, "cpu")).startswith(f"{folder}{words}")


NO_IMAGES = [
    (None, "None; give a path, bytes or an array"),
    (5, "an int; give a path, bytes or an array"),
    (True, "a bool; give a path, bytes or an array"),
    ([1], "a list; give a path, bytes or an array"),
    ({}, "a dict; give a path, bytes or an array"),
    ("", "empty text; give a path, bytes or an array"),
    (io.BytesIO(b"x"), "a BytesIO; give a path, bytes or an array"),
    (pd.Series(["a", "b"]), "a Series; give a path, bytes or an array"),  # its comparison with a text is no yes or no
    (torch.zeros(20, 20), "a Tensor; give a path, bytes or an array"),
]


@pytest.mark.parametrize(("image", "words"), NO_IMAGES)
def test_what_is_no_image_is_refused_by_every_function(exported, model, image, words) -> None:
    for call in (read_radiograph, model.read_radiograph, lambda given: model.heatmap(given, "opacity"),
                 lambda given: model.classify(given, CLASSES)):  # fmt: skip
        assert refused(lambda call=call: call(image)) == f"image: {words}"
    assert refused(lambda: model.embed_images([exported.radiograph, image])) == f"image 1: {words}"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("a\0b", r"a\x00b: cannot be read (embedded null byte)"),
        ("a\nb", r"a\nb: cannot be read (No such file or directory)"),
        (bytearray(b"x"), "image 0: not an image: neither DICOM nor JPEG nor PNG"),
        (np.ma.masked_array(np.ones((20, 20)), np.eye(20)), "image 0: a masked array, whose mask has no grey level"),
        (np.zeros((2, 2), bool), "image 0: pixels are bool of shape (2, 2)"),
        (np.zeros((2, 2, 3)), "image 0: pixels are float64 of shape (2, 2, 3)"),
        (np.array(None), "image 0: pixels are object of shape ()"),
    ],
)
def test_an_image_that_cannot_be_read_is_refused(image, words) -> None:
    assert refused(lambda: read_radiograph(image)).startswith(words)


@pytest.mark.parametrize("size", [0, -1, 1, 15, 4097, 100000, None, float("nan"), 256.5, 256.0, "256", True, [256],
                                  torch.tensor(256)])  # fmt: skip
def test_a_size_that_is_none_is_refused(exported, size) -> None:
    line = refused(lambda: read_radiograph(exported.radiograph, size))
    assert line.startswith("size: Input should be ")
    assert line.endswith(f"(given: {size!r})")


@pytest.mark.parametrize("children", [0, -1, None, 1.5, "2", True])
def test_a_number_of_children_that_is_none_is_refused(exported, model, children) -> None:
    words = "children: Input should be "
    assert refused(lambda: model.embed_images([exported.radiograph], children)).startswith(words)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("image.dcm", "images: a str; put it in a list"),
        (b"x", "images: a bytes; put it in a list"),
        (Path("image.dcm"), "images: a PosixPath; put it in a list"),
        (np.zeros((20, 20)), "images: a single array; put it in a list"),
        (np.array(3), "images: a ndarray; put it in a list"),
        (5, "images: an int; put it in a list"),
        (None, "images: None; give a list"),
        ({"image.dcm": 1}, "images: a dict; give a list"),
        ({"image.dcm"}, "images: a set; give a list"),
    ],
)
def test_images_that_are_no_list_are_refused(model, images, words) -> None:
    assert refused(lambda: model.embed_images(images)) == words


def test_a_single_square_is_no_list(exported, model) -> None:
    square = model.read_radiograph(exported.radiograph)
    assert refused(lambda: model.embed_images(square)) == "images: a SquareImage; put it in a list"


def test_iterators_and_other_bytes_are_read_as_lists_and_bytes(exported, model) -> None:
    data = exported.radiograph.read_bytes()
    expected = model.embed_images([exported.radiograph])
    given = [exported.radiograph.parent.rglob("image.dcm"), iter([bytearray(data)]), [memoryview(data)],
             np.array([str(exported.radiograph)])]  # fmt: skip
    for images in given:
        assert np.array_equal(model.embed_images(images), expected)
    texts = ["opacity", "no opacity"]
    assert np.array_equal(model.embed_texts(text for text in texts), model.embed_texts(texts))
    assert model.embed_images(np.zeros((3, 20, 20))).shape == (3, model.width)  # a stack of images
    by_iterator = model.classify(exported.radiograph, {"opacity": iter(["opacity"]), "none": ("no opacity",)})
    assert by_iterator.cosines == model.classify(exported.radiograph, CLASSES).cosines
    assert split_report(TEXT, iter(["impression"])) == split_report(TEXT, ["impression"]) != []


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("Effusion", "texts: a str; put it in a list"),
        ("", "texts: a str; put it in a list"),
        (None, "texts: None; give a list"),
        ({"a": 1}, "texts: a dict; give a list"),
        ([None], "text 0: None; give text, in quotes"),
        (["opacity", b"x"], "text 1: a bytes; give text, in quotes"),
        ([["opacity"]], "text 0: a list; give text, in quotes"),
        (["\ud800"], r"text 0: '\ud800' is half of a character; remove it"),
        ([""], "text '' has no word pieces; write a sentence"),
    ],
)
def test_wrong_texts_are_refused(model, texts, words) -> None:
    assert refused(lambda: model.embed_texts(texts)) == words


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (None, "prompts: None; give a mapping of each class to its sentences"),
        ([], "prompts: a list; give a mapping of each class to its sentences"),
        ("ab", "prompts: a str; give a mapping of each class to its sentences"),
        ({}, "prompts: give at least two classes"),
        ({"a": "opacity", "b": []}, "prompts: give at least two classes"),
        ({"a": "opacity", "b": None}, "prompts: class b: None; give a list"),
        ({"a": b"x", "b": "y"}, "prompts: class a: a bytes; put it in a list"),
        ({"a": "opacity", "b": [5]}, "prompts: class b: sentence 0: an int; give text, in quotes"),
        ({"a": "opacity", "b": [None]}, "prompts: class b: sentence 0: None; give text, in quotes"),
        ({"a": "opacity", "b": {"no": 1}}, "prompts: class b: a dict; give a list"),
        ({True: ["x"], False: ["y"]}, "prompts: class True is a bool, no text; quote it"),
        ({"a": "opacity", 1: "y"}, "prompts: class 1 is an int, no text; quote it"),
        ({"a": "opacity", "b": ""}, "prompt '' has no word pieces; write a sentence"),
    ],
)
def test_wrong_classes_are_refused(exported, model, classes, words) -> None:
    assert refused(lambda: model.classify(exported.radiograph, classes)).startswith(words)


@pytest.mark.parametrize("phrase", [None, 5, ["opacity"], b"opacity", "\ud800"])
def test_a_phrase_that_is_no_text_is_refused(exported, model, phrase) -> None:
    assert refused(lambda: model.heatmap(exported.radiograph, phrase)).startswith("phrase: ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": None}, "text: Input should be a valid string (given: None)"),
        ({"text": b"x"}, "text: Input should be a valid string (given: b'x')"),
        ({"text": "x\ud800"}, "text: 'utf-8' codec can't encode character"),
        ({"fallback": "bogus"}, "fallback: Input should be 'unheaded', 'whole_report' or 'reject' (given: 'bogus')"),
        ({"fallback": None}, "fallback: Input should be 'unheaded', 'whole_report' or 'reject' (given: None)"),
        ({"sections": "findings"}, "sections: a str; put it in a list"),
        ({"sections": 0}, "sections: an int; put it in a list"),
        ({"sections": []}, "sections: none; name each wanted one once"),
        ({"sections": ["findings"] * 2}, "sections: one is named twice; name each wanted one once"),
        ({"sections": [5]}, "section 0: an int; give text, in quotes"),
        ({"sections": {"findings"}}, "sections: a set; give a list"),
        (
            {"text": 5, "sections": 5},
            "text: Input should be a valid string (given: 5); quote it; sections: an int; put it in a",
        ),
    ],
)
def test_wrong_values_for_a_report_are_refused(given, words) -> None:
    assert refused(lambda: split_report(**{"text": TEXT} | given)).startswith(words)


def test_without_sections_they_are_those_of_the_stage() -> None:
    assert split_report(TEXT, None) == split_report(TEXT) == split_report(TEXT, ["findings", "impression"])


def test_a_long_value_is_shortened() -> None:
    assert len(refused(lambda: split_report(b"x" * 10**6))) < 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "output: None; give a path"),
        (5, "output: an int; give a path"),
        ("", "output: empty text; give a path"),
        ("folder.png", "folder.png: is a folder; name a file"),
        ("x\0.png", r"x\x00.png: cannot be written (embedded null byte); name another file"),
        ("file/x.png", "file/x.png: file is no folder; name another path, or move that file"),
        ("/proc/x.png", "/proc/x.png: cannot be written ("),
        (f"{'x' * 300}.png", f"{'x' * 300}.png: cannot be written (File name too long); name a shorter path"),
        (f"new/{'x' * 300}/x.png", f"new/{'x' * 300}/x.png: cannot be written (File name too long)"),
        ("x\0/x.png", r"x\x00/x.png: cannot be written (embedded null byte); name another file"),
        ("x.jpg", "x.jpg: heatmaps are written as PNG only; use a name that ends in .png"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused(exported, model, tmp_path, monkeypatch, name, words) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    heatmap = model.heatmap(exported.radiograph, "opacity")
    assert refused(lambda: heatmap.write(name)).startswith(words.replace("{folder}", str(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_wrong_call_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'source'"):
        load()
    with pytest.raises(TypeError, match="unexpected keyword argument 'sizes'"):
        read_radiograph("image.dcm", sizes=5)


@pytest.mark.parametrize("size", [np.int64(32), np.uint16(32), torch.arange(32, 33).numpy()[0]])
def test_a_whole_number_of_numpy_is_one(size) -> None:
    grey = np.linspace(0, 255, 48 * 40).reshape(48, 40).astype(np.uint8)
    assert np.array_equal(read_radiograph(grey, size).pixels, read_radiograph(grey, 32).pixels)
