"""From files to files with planted embeddings: figures of scikit-learn, rows for paired tests, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from split_audit import write_audit
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.command_line import run_stage
from stages.common.encoders.dual import DualEncoder, checkpoint_record, load_checkpoint, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_json
from stages.common.records import read_record
from stages.multi_class_classification.__main__ import WORK
from stages.multi_class_classification.contract import MultiClassResult

CLASSES = ["edema", "effusion", "mass"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CLASSES, "no", "new"]
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
IMAGES = 90
PROMPTS = {
    name: {"sets": {"first": {"positive": [name, f"new {name}"], "negative": [f"no {name}"]},
                    "second": {"positive": ["new"], "negative": ["no"]}}}
    for name in CLASSES
}  # fmt: skip


@pytest.fixture
def files(tmp_path) -> Path:
    """Images of one class each, three to a patient, whose embeddings lean to the first prompts of their class."""
    folder = tmp_path / "inputs"
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    model = DualEncoder(SMALL, len(WORDS))
    save_checkpoint(folder / "checkpoint", model.state_dict(), checkpoint_record(model), folder / "tokenizer")
    rows = [
        {"image_id": f"i{n:03d}", "patient_id": f"p{n // 3}", "finding": name, "target": int(n % 3 == place),
         "boxes": [], "mask": None, "lung_mask": None,
         "sex": None, "age": None, "view": None, "subset": 100, "split": "test" if n < 60 else "train"}
        for n in range(IMAGES)
        for place, name in enumerate(CLASSES)
    ]  # fmt: skip
    write_rows(folder / "labels.arrow", schemas.LABELS, rows)
    write_audit(folder / "labels.arrow", folder / "audit.json", 0, 0, 0, 0, 2)
    apart = directions(folder) - directions(folder).mean(axis=0)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    vectors = np.random.default_rng(0).normal(size=(IMAGES, 8)) + 2 * apart[np.arange(IMAGES) % 3]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [{"image_id": f"i{n:03d}", "embedding": vectors[n].tolist(), "pooled": [0.0] * 16} for n in range(IMAGES)]
    write_rows(folder / "features.arrow", schemas.features(8, 16), rows)
    write_prompts(folder, PROMPTS)
    return folder


def directions(folder: Path) -> np.ndarray:
    """The normalised mean of the first affirming prompts of each class."""
    checkpoint = load_checkpoint(folder / "checkpoint", torch.device("cpu"))
    means = np.array(
        [checkpoint.embed_sentences([name, f"new {name}"]).report.numpy().mean(axis=0) for name in CLASSES]
    )
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def write_prompts(folder: Path, findings: dict) -> None:
    (folder / "prompts.yaml").write_text(json.dumps({"findings": findings}))


def classify(folder: Path, output: Path, **settings: object) -> MultiClassResult:
    chosen = {"prompts": str(folder / "prompts.yaml"), "draws": 50, "precision_at": [1, 5, 61]} | settings
    options = {"checkpoint": folder / "checkpoint", "features": folder / "features.arrow",
               "labels": folder / "labels.arrow", "audit": folder / "audit.json", "scores": output / "scores.arrow",
               "result": output / "result.json", "journal": output / "journal.json", "device": "cpu",
               "settings": json.dumps(chosen)}  # fmt: skip
    run_stage(WORK, [str(word) for name, value in options.items() for word in (f"--{name}", value)])
    return read_record(output / "result.json", MultiClassResult)


def test_figures_are_those_of_the_nearest_first_prompts(files, tmp_path) -> None:
    result = classify(files, tmp_path)
    embeddings = np.array(read_table(files / "features.arrow", schemas.features(8, 16))["embedding"].to_pylist())[:60]
    truth, predicted = np.arange(60) % 3, (embeddings @ directions(files).T).argmax(axis=1)
    assert 0.5 < result.accuracy.value < 1, "some are wrong, or the test would say little"
    assert result.accuracy.value == pytest.approx(accuracy_score(truth, predicted))
    assert result.macro_f1.value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert result.confusion == confusion_matrix(truth, predicted).tolist()
    assert result.accuracy.low <= result.accuracy.value <= result.accuracy.high
    assert (result.accuracy.chance, result.resampled_by, result.images) == (pytest.approx(1 / 3), "patient", 60)
    assert list(result.precision_at) == [1, 5], "60 images: the first 61 of them are none"
    assert {each.prompt_set for each in result.classes.values()} == {"first"}
    rows = read_table(tmp_path / "scores.arrow", schemas.CLASS_SCORES).to_pylist()
    assert [row["true_class"] for row in rows] == [CLASSES[n % 3] for n in range(60)]
    assert [row["predicted_class"] for row in rows] == [CLASSES[n] for n in predicted]
    assert [CLASSES[int(np.argmax(row["scores"]))] for row in rows] == [row["predicted_class"] for row in rows]
    logged = {each["key"]: each["value"] for each in read_json(tmp_path / "journal.json")["metrics"]}
    assert logged["test/accuracy"] == result.accuracy.value


def test_classes_parts_and_scores_can_be_chosen(files, tmp_path) -> None:
    two = classify(files, tmp_path, classes=["mass", "edema"], part="all", per_class=10)
    assert {name: (each.qualifying, each.images) for name, each in two.classes.items()} == {
        "mass": (30, 10),
        "edema": (30, 10),
    }
    assert two.not_qualifying == {"none_present": 30, "several_present": 0, "others_unknown": 0}
    other = classify(files, tmp_path, score="difference")
    assert other.classes != classify(files, tmp_path).classes


@pytest.mark.parametrize(
    ("prompts", "settings", "words"),
    [
        ({"mass": PROMPTS["mass"]}, {}, "prompts.yaml: it has prompts of one finding, but there must be two classes"),
        (PROMPTS | {"edema": PROMPTS["mass"]}, {}, "prompts.yaml: edema and mass have the same prompts; write"),
        (PROMPTS | {"hernia": PROMPTS["mass"]}, {"classes": ["edema", "hernia"]}, "no label is of finding 'hernia'"),
        (PROMPTS, {"classes": ["edema", "masse"]}, "prompts.yaml: it has no prompts of the class 'masse'"),
        (PROMPTS, {"per_class": 21}, "labels.arrow: 20 images of the test part have edema and no other class"),
    ],
)
def test_what_cannot_be_measured_is_one_line(files, tmp_path, capsys, prompts, settings, words) -> None:
    write_prompts(files, prompts)
    with pytest.raises(SystemExit):
        classify(files, tmp_path, **settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
