"""A labelled data set whose finding is a bright rectangle, and a tiny encoder that has seen nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from one_shard_store import write_one_shard

from stages.common.data.run_lengths import encode
from stages.common.encoders.settings import DualEncoderSettings
from stages.few_shot_segmentation.contract import BenchxJobSettings, FinetuneJobSettings, LinearJobSettings
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_split import with_splits

STORED = 32  # pixels; originals are 64 high and 32 wide, so that half of the square is padding
ROWS, COLUMNS = 64, 32
CONTENT = [8, 0, 16, 32]
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)


@dataclass(frozen=True)
class Files:
    """What the stage reads."""

    folder: Path

    def options(self) -> list[str]:
        return [
            *("--checkpoint", str(self.folder / "checkpoint"), "--images", str(self.folder / "images/manifest.json")),
            *("--labels", str(self.folder / "labels.arrow"), "--audit", str(self.folder / "audit.json")),
        ]


def truth(number: int) -> np.ndarray:
    """The finding of image `number` in original pixels; every second image has none."""
    mask = np.zeros((ROWS, COLUMNS), dtype=bool)
    if number % 2:
        draw = np.random.default_rng(number)
        y, x = 2 * draw.integers(0, (ROWS - 24) // 2), 2 * draw.integers(0, (COLUMNS - 16) // 2)  # even: halves fit
        mask[y : y + 24, x : x + 16] = True
    return mask


def label_rows(count: int, boxes: bool = False) -> list[dict]:
    """Rows of LABELS, one image a patient; the finding as run lengths, or as one box."""
    rows = []
    for number in range(count):
        mask = truth(number)
        ys, xs = np.nonzero(mask)
        box = [[float(xs.min()), float(ys.min()), 16.0, 24.0]] if mask.any() and boxes else []
        runs = encode(mask) if mask.any() and not boxes else None
        rows.append({"image_id": f"i{number:04d}", "patient_id": f"p{number}", "finding": "lung_opacity",
                     "target": int(mask.any()), "boxes": box, "mask": runs, "lung_mask": None,
                     "sex": None, "age": None, "view": None})  # fmt: skip
    return with_splits(rows, LabelImagesSettings.model_validate({"layout": "rsna", "finding": "lung_opacity"}))


def write_images(folder: Path, rows: list[dict]) -> Path:
    """A manifest with one shard: grey noise, brighter where the finding is, black padding."""
    noise = np.random.default_rng(1)
    images = []
    for row in rows:
        number = int(row["image_id"][1:])
        pixels = np.zeros((STORED, STORED), dtype=np.uint8)
        half = truth(number)[::2, ::2]  # 64 x 32 -> 32 x 16
        pixels[:, 8:24] = noise.integers(0, 60, half.shape) + 150 * half
        images.append(
            {"image_id": row["image_id"], "patient_id": row["patient_id"], "pixels": pixels.tobytes(),
             "content_box": CONTENT, "original_rows": ROWS, "original_columns": COLUMNS}
        )  # fmt: skip
    return write_one_shard(folder, "rsna", STORED, images)


def linear_job(**changes) -> LinearJobSettings:
    given = {"input_size": 32, "batch_size": 16, "decoder_widths": (16, 8), "learning_rate": 5e-3, "epochs": 3,
             "draws": 50, "seeds": 1}  # fmt: skip
    return LinearJobSettings.model_validate(given | changes)


def finetune_job(**changes) -> FinetuneJobSettings:
    given = {"input_size": 32, "batch_size": 8, "decoder_width": 16, "auxiliary_width": 8, "learning_rate": 5e-3,
             "steps": 8, "warmup_steps": 2, "validations": 2, "draws": 50, "seeds": 1}  # fmt: skip
    return FinetuneJobSettings.model_validate(given | changes)


def benchx_job(**changes) -> BenchxJobSettings:
    given = {"input_size": 32, "batch_size": 8, "decoder_width": 16, "auxiliary_width": 8, "learning_rate": 5e-3,
             "steps": 8, "warmup_steps": 2, "validations": 2, "draws": 50, "seeds": 1}  # fmt: skip
    return BenchxJobSettings.model_validate(given | changes)
