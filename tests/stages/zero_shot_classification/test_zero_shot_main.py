"""From files to files with planted embeddings; what does not fit is one line; nothing is written half."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from split_audit import write_audit
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.command_line import run_stage
from stages.common.encoders.dual import Checkpoint, DualEncoder, checkpoint_record, load_checkpoint, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files import atomic_files, schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_json, verify
from stages.common.records import read_record, write_record
from stages.select_checkpoint.contract import Selection
from stages.zero_shot_classification.__main__ import WORK
from stages.zero_shot_classification.contract import ZeroShotResult

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "opacity", "clear", "no", "new"]
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
SETS = {
    "one": {"positive": ["opacity"], "negative": ["no opacity", "clear"]},
    "other": {"positive": ["opacity", "new opacity"], "negative": ["clear"]},
}


@dataclass(frozen=True)
class Files:
    """What the stage reads; a test may spoil its own copy of a file."""

    folder: Path

    def write_labels(self, change: Callable[[dict], dict] = lambda row: row) -> None:
        rows = [
            {"image_id": f"i{n:03d}", "patient_id": f"p{n // 2}", "finding": "opacity", "target": n // 2 % 2,
             "boxes": [], "mask": None, "lung_mask": None, "sex": None, "age": None, "view": None, "subset": 100,
             "split": ("train", "validation", "test")[n // 4 % 3]}
            for n in range(120)
        ]  # fmt: skip
        write_rows(self.folder / "labels.arrow", schemas.LABELS, [change(row) for row in rows])
        write_audit(self.folder / "labels.arrow", self.folder / "audit.json", 0, 0, 0, 0, 2)

    def write_features(self, keep: slice = slice(None), value: float | None = None) -> None:
        """Embeddings that lean from "clear" to "opacity" where the target is 1, the other way where it is 0."""
        checkpoint = load_checkpoint(self.folder / "checkpoint", torch.device("cpu"))
        clear, opacity = checkpoint.embed_sentences(["clear", "opacity"]).report.numpy()
        lean = (opacity - clear) / np.linalg.norm(opacity - clear)
        noise = np.random.default_rng(0).normal(size=(120, 8))
        vectors = np.array([(-1, 1)[n // 2 % 2] * lean for n in range(120)]) + 0.5 * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[3, 0] = vectors[3, 0] if value is None else value
        rows = [{"image_id": f"i{n:03d}", "embedding": vectors[n].tolist(), "pooled": [0.0] * 16} for n in range(120)]
        write_rows(self.folder / "features.arrow", schemas.features(8, 16), rows[keep])

    def write_prompts(self, sets: dict) -> None:
        (self.folder / "prompts.yaml").write_text(json.dumps({"finding": "opacity", "sets": sets}))


@pytest.fixture
def files(tmp_path) -> Files:
    files = Files(tmp_path / "inputs")
    (files.folder / "tokenizer").mkdir(parents=True)
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(files.folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    model = DualEncoder(SMALL, len(WORDS))
    save_checkpoint(
        files.folder / "checkpoint", model.state_dict(), checkpoint_record(model), files.folder / "tokenizer"
    )
    files.write_labels()
    files.write_features()
    files.write_prompts(SETS)
    return files


def classify(files: Files, output: Path, score: str = "global", *more: str, **chosen: str) -> dict:
    inputs = {name: files.folder / name for name in ("checkpoint",)}
    inputs |= {"features": files.folder / "features.arrow", "labels": files.folder / "labels.arrow"}
    inputs |= {"audit": files.folder / "audit.json", "scores": output / "scores.arrow"}
    inputs |= {"samples": output / "samples.arrow"}
    inputs |= {"result": output / "result.json", "journal": output / "journal.json"}
    options = [word for name, path in inputs.items() for word in (f"--{name}", str(path))]
    settings = json.dumps({"prompts": str(files.folder / "prompts.yaml"), "draws": 50, "score": score} | chosen)
    run_stage(WORK, [*more, *options, "--device", "cpu", "--settings", settings])
    result = read_record(output / "result.json", ZeroShotResult)
    assert result.model_dump(mode="json") == read_json(output / "result.json")
    return read_json(output / "result.json")


def test_scores_are_the_formula_and_figures_are_scikit_learns(files, tmp_path) -> None:
    whole = classify(files, tmp_path)
    [(finding, result)] = whole["findings"].items()
    rows = read_table(tmp_path / "scores.arrow", schemas.SCORES).to_pylist()
    assert {row["finding"] for row in rows} == {finding}
    assert whole["metrics"] == result["metrics"]
    features = {
        row["image_id"]: np.array(row["embedding"])
        for row in read_table(files.folder / "features.arrow", schemas.features(8, 16)).to_pylist()
    }
    checkpoint, chosen = load_checkpoint(files.folder / "checkpoint", torch.device("cpu")), SETS[result["prompt_set"]]
    ends = []
    for side in ("positive", "negative"):  # one prompt after the other
        mean = np.mean([checkpoint.embed_sentences([prompt]).report[0].numpy() for prompt in chosen[side]], axis=0)
        ends.append(mean / np.linalg.norm(mean))
    for row in rows:
        assert row["score"] == pytest.approx(features[row["image_id"]] @ (ends[0] - ends[1]), abs=2e-6)
    test = [row for row in rows if row["split"] == "test"]
    targets, scores = [row["target"] for row in test], np.array([row["score"] for row in test])
    assert roc_auc_score(targets, scores) > 0.9
    assert result["metrics"]["auc"]["value"] == pytest.approx(roc_auc_score(targets, scores))
    assert list(result["test_auc"]) == list(SETS)
    assert result["test_auc"][result["prompt_set"]] == result["metrics"]["auc"]
    assert result["metrics"]["f1"]["value"] == pytest.approx(f1_score(targets, scores >= result["threshold"]))
    assert (whole["test_images"], result["test_images"], whole["resampled_by"]) == (40, 40, "patient")
    assert whole["overlap"]["test_patients_in_pretraining"] == 2


def test_a_prompt_of_several_sets_is_embedded_once(files, tmp_path, monkeypatch) -> None:
    asked, embed = [], Checkpoint.embed_sentences
    monkeypatch.setattr(
        Checkpoint, "embed_sentences", lambda self, prompts: asked.append(prompts) or embed(self, prompts)
    )
    classify(files, tmp_path)
    assert [sorted(prompts) for prompts in asked] == [["clear", "new opacity", "no opacity", "opacity"]]


def no_denial(files: Files) -> None:
    files.write_prompts(SETS | {"lone": {"positive": ["opacity"]}})


def no_positives(files: Files) -> None:
    files.write_labels(lambda row: row | ({"target": 0} if row["split"] == "test" else {}))


def other_finding(files: Files) -> None:
    files.write_labels(lambda row: row | {"finding": "edema"})


def short_features(files: Files) -> None:
    files.write_features(keep=slice(0, 118))


def diverged(files: Files) -> None:
    files.write_features(value=float("nan"))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (no_denial, "prompts.yaml: set lone has no `negative` prompts"),
        (no_positives, "labels.arrow: the test part needs positives and negatives"),
        (other_finding, "labels.arrow: no label is of finding 'opacity' (known: edema)"),
        (short_features, "features.arrow: lacks 2 labelled images (first: i118); run extract_features again"),
        (diverged, "features.arrow: embeddings of 1 images (first: i003) are not finite"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_no_result(files, tmp_path, capsys, spoil, complaint) -> None:
    spoil(files)
    with pytest.raises(SystemExit) as stop:
        classify(files, tmp_path / "output")
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert complaint in lines[0]
    assert not {"result.json", "scores.arrow"} & {path.name for path in (tmp_path / "output").glob("*")}


def test_the_local_score_asks_for_images(files, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        classify(files, tmp_path / "output", score="local")
    assert "zero_shot_classification.score is local: name --images" in capsys.readouterr().err


def test_wherever_the_disk_is_full_no_file_is_half(files, tmp_path, monkeypatch) -> None:
    """The n-th rename of a run fails, for every n: what has a name is whole, and the result comes last."""
    whole = classify(files, tmp_path / "whole")
    settled = 0

    def full(at: int) -> Callable[[], None]:
        def settle() -> None:
            nonlocal settled
            settled += 1
            if settled == at:
                raise OSError(28, "No space left on device")

        return settle

    failures = 0
    for at in range(1, 30):
        settled, output = 0, tmp_path / str(at)
        monkeypatch.setattr(atomic_files, "settle", full(at))
        try:
            classify(files, output)
        except SystemExit:  # with one line
            failures += 1
        else:
            assert settled < at  # it never came to the n-th
            break
        names = {path.name for path in output.glob("*")} if output.exists() else set()
        assert not any(name.endswith(".tmp") for name in names)
        if "result.json" in names:
            assert read_json(output / "result.json") == whole
            assert verify(output / "scores.arrow")
        if "scores.arrow" in names:
            assert (output / "scores.arrow").read_bytes() == (tmp_path / "whole" / "scores.arrow").read_bytes()
    assert failures >= 4  # scores and result, each with its side-car


def test_scores_become_probabilities_where_it_is_asked_for(files, tmp_path, capsys) -> None:
    selection = Selection(
        criterion="", split="validation", studies=1, candidates={5: 0.5}, scores={}, temperatures={5: 0.1},
        zero_shot_on=None, labelled_images=0, rule="", best_step=5, runner_up_step=None, lead_of_best=None,
        resampled_by="patient", chosen_step=5, reason="",
    )  # fmt: skip
    write_record(tmp_path / "selection.json", selection)
    plain = classify(files, tmp_path)["findings"]["opacity"]
    given = ("--selection", str(tmp_path / "selection.json"))
    result = classify(files, tmp_path, "global", *given, calibration="platt")["findings"]["opacity"]
    found = result.pop("calibration")
    assert plain.pop("calibration") is None
    assert result == plain, "a calibration changes no other figure"
    rows = [row for row in read_table(tmp_path / "scores.arrow", schemas.SCORES).to_pylist() if row["split"] == "test"]
    scores, targets = (np.array([row[key] for row in rows]) for key in ("score", "target"))
    before, after = 1 / (1 + np.exp(-scores / 0.1)), 1 / (1 + np.exp(-found["slope"] * scores - found["bias"]))
    assert found["before"]["brier"]["value"] == pytest.approx(np.mean((before - targets) ** 2), abs=1e-5)
    assert found["after"]["brier"]["value"] == pytest.approx(np.mean((after - targets) ** 2), abs=1e-5)
    assert sum(each["images"] for each in found["after"]["bins"]) == 40
    with pytest.raises(SystemExit):
        classify(files, tmp_path, calibration="platt")
    assert "zero_shot_classification.calibration is platt: name --selection" in capsys.readouterr().err
