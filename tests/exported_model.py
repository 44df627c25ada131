"""A tiny checkpoint with random weights, exported, and a radiograph that was written here."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from one_shard_store import write_manifest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.encoders.dual import MEAN_PATCHES, DualEncoder, checkpoint_record, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings, ImageEncoderSettings, TextEncoderSettings
from stages.common.records import write_record
from stages.select_checkpoint.contract import Selection
from stages.select_checkpoint.mlflow_model import export_model

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "opacity", "no", "in", "the", "left", "lung", "."]
SIZE, TEMPERATURE = 40, 0.2
SMALL = DualEncoderSettings(
    image=ImageEncoderSettings(architecture="custom", input_size=32, patch_size=8, width=16, depth=1, heads=2),
    text=TextEncoderSettings(weights=None, width=16, depth=1, heads=2, dropout=0, max_tokens=16),
    embedding_width=8,
)


@dataclass(frozen=True)
class Exported:
    checkpoint: Path
    model: Path
    radiograph: Path  # 12 bit, 60 rows x 90 columns


def write_exported(folder: Path) -> Exported:
    (folder / "tokenizer").mkdir()
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    model = DualEncoder(SMALL, len(WORDS)).eval()
    settings = model.settings
    mean = torch.randn(settings.image.patches, settings.embedding_width) / 8
    weights = model.state_dict() | {MEAN_PATCHES: mean}
    save_checkpoint(folder / "checkpoint", weights, checkpoint_record(model), folder / "tokenizer")
    selection = Selection(
        criterion="a criterion",
        split="validation",
        studies=9,
        candidates={5: 0.25, 9: 0.5},
        scores={5: {"recall_at_1": 0.25}, 9: {"recall_at_1": 0.5}},
        temperatures={5: 0.3, 9: TEMPERATURE},
        zero_shot_on=None,
        labelled_images=0,
        rule="a rule",
        best_step=9,
        runner_up_step=5,
        lead_of_best=None,
        resampled_by="patient",
        chosen_step=9,
        reason="a reason",
    )
    write_record(folder / "selection.json", selection)
    manifest = write_manifest(folder, "set", SIZE, [])
    export_model(folder / "mlflow_model", folder / "checkpoint", folder / "selection.json", manifest)
    return Exported(folder / "checkpoint", folder / "mlflow_model", write_radiograph(folder / "image.dcm"))


def write_radiograph(path: Path) -> Path:
    rows, columns = np.mgrid[0:60, 0:90]
    stored = (1000 + 30 * rows - 9 * columns + 900 * (np.hypot(rows - 20, columns - 30) < 9)).astype(np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.Modality, dataset.ViewPosition, dataset.PhotometricInterpretation = "DX", "PA", "MONOCHROME1"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 60, 90, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path
