"""The files of outlined_set.py, and its encoder."""

import pytest
import torch
from outlined_set import SMALL, Files, label_rows, write_images
from split_audit import write_audit
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from stages.common.encoders.dual import DualEncoder, checkpoint_record, save_checkpoint
from stages.common.encoders.image import ImageEncoder
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows


@pytest.fixture
def encoder() -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(SMALL.image).eval()


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("few_shot_segmentation")
    rows = label_rows(80)
    write_rows(folder / "labels.arrow", schemas.LABELS, rows)
    write_images(folder / "images", rows)
    write_audit(folder / "labels.arrow", folder / "audit.json")
    words = {word: rank for rank, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    (folder / "tokenizer").mkdir()
    Tokenizer(WordPiece(words, unk_token="[UNK]")).save(str(folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    model = DualEncoder(SMALL, 5).eval()
    save_checkpoint(folder / "checkpoint", model.state_dict(), checkpoint_record(model), folder / "tokenizer")
    return Files(folder)
