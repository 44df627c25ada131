"""The Python API gives the pipeline's own numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_model import SIZE

import stages
from stages import InputError, Model, load, read_radiograph, split_report
from stages.api.checkpoints import checkpoint_folder
from stages.common.encoders.dual import load_checkpoint, to_input
from stages.common.files.code_digest import PACKAGE

CLASSES = {"opacity": "opacity in the left lung .", "none": ["no opacity ."]}


@pytest.fixture(scope="module")
def model(exported) -> Model:
    return load(exported.checkpoint, "cpu")


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(hasattr(stages, name) for name in stages.__all__)
    assert set(stages.__all__) <= set(dir(stages))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = stages.lod


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import sys, stages; print(sorted({'torch', 'numpy', 'cv2', 'pydantic', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout == "[]\n"


def test_path_bytes_and_array_give_the_same_radiograph(exported, model) -> None:
    square = read_radiograph(exported.radiograph, SIZE)
    box = square.content
    content = square.pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    others = [str(exported.radiograph), exported.radiograph.read_bytes(), content, square]
    for other in map(model.read_radiograph, others):
        assert np.array_equal(other.pixels, square.pixels)
        assert other.content == box


def test_embeddings_are_those_of_the_encoders(exported, model) -> None:
    square = model.read_radiograph(exported.radiograph)
    checkpoint = load_checkpoint(exported.checkpoint, torch.device("cpu"))
    texts = ["opacity in the left lung .", "no opacity"]
    with torch.inference_mode():
        tokens = checkpoint.model.patch_tokens(to_input(torch.from_numpy(square.pixels[None]), 32))
        image = checkpoint.model.embed_global(tokens).numpy()
        prompts = checkpoint.embed_sentences(texts).report.numpy()
    found = model.embed_images([exported.radiograph, square] * 20)  # more than one batch
    assert np.allclose(found, np.repeat(image, 40, axis=0), atol=1e-6)
    assert np.allclose(model.embed_texts(texts), prompts, atol=1e-6)
    assert model.embed_images([]).shape == model.embed_texts([]).shape == (0, model.width)


def test_cosines_of_classes_are_products_of_embeddings(exported, model) -> None:
    reading = model.classify(exported.radiograph, CLASSES)
    images, texts = model.embed_images([exported.radiograph]), model.embed_texts([CLASSES["opacity"], "no opacity ."])
    assert list(reading.cosines.values()) == pytest.approx((images @ texts.T)[0].tolist(), abs=1e-6)
    assert sum(reading.probabilities.values()) == pytest.approx(1)


def test_the_heatmap_of_a_phrase_is_that_of_its_class_and_a_picture(exported, model, tmp_path) -> None:
    heatmap = model.heatmap(exported.radiograph, CLASSES["opacity"])
    assert np.allclose(heatmap.values, model.classify(exported.radiograph, CLASSES).heatmaps["opacity"], atol=1e-6)
    raw, reading = model.heatmap(exported.radiograph, CLASSES["opacity"], "raw"), "raw"
    assert np.allclose(raw.values, model.classify(exported.radiograph, CLASSES, reading).heatmaps["opacity"], atol=1e-6)
    assert not np.allclose(raw.values, heatmap.values, atol=1e-3)
    heatmap.write(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_is_split_as_the_stage_splits_it() -> None:
    text = "FINDINGS: No  effusion.\nHeart normal.\nDictated by Dr. X.\nIMPRESSION: Clear."
    found = split_report(text)
    assert [(each.section, each.text) for each in found] == [
        ("findings", "No effusion."), ("findings", "Heart normal."), ("impression", "Clear."),
    ]  # fmt: skip
    assert [text[each.start : each.end] for each in found] == ["No  effusion.", "Heart normal.", "Clear."]
    assert split_report("No header here.", fallback="reject") == []


def test_every_form_of_a_model_gives_the_same_weights(exported, model) -> None:
    for source in (exported.model, str(exported.model), f"file://{exported.model}"):
        other = load(source, "cpu")
        assert np.array_equal(other.embed_texts(["opacity"]), model.embed_texts(["opacity"]))


@pytest.mark.slow
def test_a_registered_model_loads_by_its_uri(exported, model, tmp_path, monkeypatch) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    client.create_registered_model("chest")
    client.create_model_version("chest", f"file://{exported.model}")
    other = load("models:/chest/1", "cpu")
    assert np.array_equal(other.embed_texts(["opacity"]), model.embed_texts(["opacity"]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: load("nowhere"), "nowhere: no such folder; name the checkpoint"),
        (lambda _: load("file:///nowhere"), "file:///nowhere: "),
        (lambda model: model.read_radiograph("nowhere.dcm"), "nowhere.dcm: cannot be read"),
        (lambda model: model.read_radiograph(b"no picture"), "image 0: not an image: neither DICOM nor JPEG nor PNG"),
        (lambda model: model.read_radiograph(np.full((2, 2), 300)), "image 0: grey levels are outside"),
        (lambda model: model.classify(np.zeros((2, 2)), {"a": "opacity"}), "prompts: give at least two classes"),
        (lambda model: model.embed_texts(["opacity", " ."]), "text ' .' has no word pieces"),
        (lambda _: split_report("text", ["finding"]), "sections: unknown finding; known are"),
    ],
)
def test_mistakes_are_one_line(model, call, words) -> None:
    with pytest.raises(InputError) as error:
        call(model)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


def test_a_square_of_another_size_is_refused(exported, model) -> None:
    with pytest.raises(InputError, match=f"a square of side 64, but the model needs {SIZE}; read it at {SIZE}"):
        model.embed_images([read_radiograph(exported.radiograph, 64)])


def test_folders_are_no_uris(exported, monkeypatch) -> None:
    monkeypatch.chdir(exported.checkpoint.parent)
    assert checkpoint_folder("checkpoint") == Path("checkpoint")
