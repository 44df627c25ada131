"""A checkpoint of a tiny encoder with random weights, as select_checkpoint writes it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.encoders.dual import MEAN_PATCHES, DualEncoder, checkpoint_record, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings

SIZE = 16
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": SIZE, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
PHI = torch.linspace(-1, 1, 16)


def write_tiny_checkpoint(folder: Path, words: Sequence[str]) -> Path:
    """`folder/checkpoint`, whose tokenizer knows these words."""
    vocabulary = [*SPECIAL, *words]
    (folder / "tokenizer").mkdir()
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    model = DualEncoder(SMALL, len(vocabulary))
    weights = model.state_dict() | {"integrity_map": PHI, MEAN_PATCHES: torch.randn(len(PHI), 8) / 8}
    save_checkpoint(folder / "checkpoint", weights, checkpoint_record(model), folder / "tokenizer")
    return folder / "checkpoint"
