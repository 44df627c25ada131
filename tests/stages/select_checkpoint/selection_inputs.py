"""Candidates, validation pairs and labels in files, all small; test rows can be made different."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from one_shard_store import write_manifest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common import records
from stages.common.command_line import run_stage
from stages.common.encoders.dual import DualEncoder, checkpoint_record, save_weights
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import read_json
from stages.pretrain.contract import Candidates
from stages.select_checkpoint.__main__ import WORK

SIZE = 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(8))]
STEPS = (10, 20, 30)


@dataclass(frozen=True)
class Inputs:
    """A folder with all that the stage reads."""

    folder: Path

    def select(self, output: Path, settings: str = "{draws: 50}", labels: bool = False) -> dict:
        place = {name: str(self.folder / name) for name in ("pairs.arrow", "sentences.arrow", "tokenizer")}
        arguments = [
            *("--candidates", str(self.folder / "candidates.json"), "--pairs", place["pairs.arrow"]),
            *("--sentences", place["sentences.arrow"], "--images", str(self.folder / "manifest.json")),
            *("--tokenizer", place["tokenizer"], "--checkpoint", str(output / "checkpoint"), "--device", "cpu"),
            *("--model", str(output / "mlflow_model")),
            *("--selection", str(output / "selection.json"), "--journal", str(output / "journal.json")),
            *("--settings", settings, "--name", "mlip"),
        ]
        if labels:
            arguments += ["--zero-shot-images", str(self.folder / "manifest.json"), "--zero-shot-labels",
                          str(self.folder / "labels.arrow"), "--zero-shot-prompts",
                          str(self.folder / "prompts.yaml")]  # fmt: skip
        run_stage(WORK, arguments)
        return read_json(output / "selection.json")


def encoder_settings(context: str) -> DualEncoderSettings:
    image = {"architecture": "custom", "input_size": SIZE, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}
    text = {"weights": None, "width": 16, "depth": 2, "heads": 2, "dropout": 0.1, "context": context}
    return DualEncoderSettings.model_validate({"image": image, "text": text, "embedding_width": 8})


def write_inputs(folder: Path, context: str = "report", test_seed: int = 0) -> Inputs:
    """24 studies, 8 of each part of the split. `test_seed` changes pixels, reports, labels of the test part alone."""
    folder.mkdir(exist_ok=True)
    parts = np.repeat(["train", "validation", "test"], 8)
    draws = {
        part: np.random.default_rng(test_seed if part == "test" else 9) for part in ("train", "validation", "test")
    }
    images, pairs, sentences, labels = [], [], [], []
    for number, part in enumerate(parts):
        noise, study, patient = draws[part], f"s{number:02d}", f"p{number // 2}"
        word = int(noise.integers(8))
        pixels = noise.integers(0, 256, (SIZE, SIZE)).astype(np.uint8).tobytes()
        images.append({"image_id": f"i{number}", "study_id": study, "patient_id": patient, "dataset": "set",
                       "view": None, "pixels": pixels, "content_box": [0, 0, SIZE, SIZE], "original_rows": SIZE,
                       "original_columns": SIZE, "row_spacing": None, "column_spacing": None,
                       "photometric": "MONOCHROME2", "window": "minmax",
                       "picture_sha256": None, "sex": None, "age": None, "pixels_sha256": f"i{number}",
                       "instance_uid": None})  # fmt: skip
        pairs.append(dict(zip(schemas.PAIRS.names, (f"i{number}", study, patient, part), strict=True)))
        sentences.append({"study_id": study, "section": "findings", "position": 0, "start": 0, "end": 5,
                          "text": f"word{word} word{number % 8}", "token_ids": [5 + word, 5 + number % 8]})  # fmt: skip
        target = int(noise.integers(2)) if part == "test" else number % 2
        labels.append({"image_id": f"i{number}", "patient_id": patient, "finding": "opacity", "target": target,
                       "boxes": [], "mask": None, "lung_mask": None,
                       "sex": None, "age": None, "view": None, "split": part, "subset": 100})  # fmt: skip
    write_rows(folder / "0.arrow", schemas.images(SIZE), images)
    write_manifest(folder, "set", SIZE, [len(images)])
    write_rows(folder / "pairs.arrow", schemas.PAIRS, pairs)
    write_rows(folder / "sentences.arrow", schemas.SENTENCES, sentences)
    write_rows(folder / "labels.arrow", schemas.LABELS, labels)
    (folder / "prompts.yaml").write_text("finding: opacity\nsets: {one: {positive: [word1], negative: [word2]}}\n")
    (folder / "tokenizer").mkdir(exist_ok=True)
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    write_candidates(folder, context)
    return Inputs(folder)


def write_candidates(folder: Path, context: str) -> None:
    rows = []
    for step in STEPS:
        torch.manual_seed(step)
        model = DualEncoder(encoder_settings(context), len(WORDS))
        path = f"candidates/step_{step:08d}.safetensors"
        weights = model.state_dict() | {"integrity_map": torch.zeros(16)}
        rows.append({"step": step, "path": path, "sha256": save_weights(folder / path, weights)})
    digests = dict.fromkeys(("code", "settings", "data", "image"), "0" * 64)
    provenance = {"starting_weights": {"image_weights": "some/vit, revision 1, license cc-by-nc-4.0"}, "studies": 8,
                  "digests": digests, "fingerprint": "1" * 64, "resumed_from": None, "seed": 0}  # fmt: skip
    record = Candidates(
        steps=30,
        mask_ratio=0.5,
        validated_mask_ratio=0.5,
        provenance=provenance,
        lost=[],
        encoder=checkpoint_record(model),
        candidates=rows,
    )
    records.write_record(folder / "candidates.json", record)
