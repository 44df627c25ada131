"""A labelled data set whose images show their target as brightness, and a tiny encoder that has seen nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from one_shard_store import write_one_shard
from split_audit import write_audit
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from stages.common.encoders.dual import DualEncoder, checkpoint_record, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_split import with_splits

SIZE = 16
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": SIZE, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)


def label_rows(count: int = 400, patients: bool = True, shares: dict | None = None) -> list[dict]:
    """Rows of LABELS: two images a patient, both with the patient's target, split as label_images splits."""
    settings = LabelImagesSettings.model_validate(
        {"layout": "rsna", "finding": "lung_opacity"} | ({"split": shares} if shares else {})
    )
    targets = np.random.default_rng(0).integers(0, 2, count // 2)
    rows = [
        {"image_id": f"i{number:04d}", "patient_id": f"p{number // 2}" if patients else None, "finding": "lung_opacity",
         "target": int(targets[number // 2]), "boxes": [], "mask": None, "lung_mask": None,
         "sex": None, "age": None, "view": None}
        for number in range(count)
    ]  # fmt: skip
    return with_splits(rows, settings)


@pytest.fixture(scope="session")
def labels() -> pl.DataFrame:
    return pl.DataFrame(label_rows())


@dataclass(frozen=True)
class Files:
    """What the stage reads."""

    labels: Path
    images: Path
    checkpoint: Path
    audit: Path

    def options(self) -> list[str]:
        return ["--labels", str(self.labels), "--audit", str(self.audit)]


def write_images(folder: Path, rows: list[dict]) -> Path:
    """A manifest with one shard: grey noise, brighter where the target is 1."""
    noise = np.random.default_rng(1)
    images = (
        {"image_id": row["image_id"], "patient_id": row["patient_id"],
         "pixels": (noise.integers(0, 60, (SIZE, SIZE)) + 120 * row["target"]).astype(np.uint8).tobytes()}
        for row in rows
    )  # fmt: skip
    return write_one_shard(folder, "rsna", SIZE, images)


def tiny_model() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(SMALL, 5).eval()


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("few_shot")
    rows = label_rows(160)
    write_rows(folder / "labels.arrow", schemas.LABELS, rows)
    write_audit(folder / "labels.arrow", folder / "audit.json")
    words = {word: rank for rank, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    (folder / "tokenizer").mkdir()
    Tokenizer(WordPiece(words, unk_token="[UNK]")).save(str(folder / "tokenizer" / "tokenizer.json"))
    model = tiny_model()
    save_checkpoint(folder / "checkpoint", model.state_dict(), checkpoint_record(model), folder / "tokenizer")
    return Files(
        labels=folder / "labels.arrow",
        images=write_images(folder / "images", rows),
        checkpoint=folder / "checkpoint",
        audit=folder / "audit.json",
    )
