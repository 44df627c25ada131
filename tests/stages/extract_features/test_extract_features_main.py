"""From an image store and a checkpoint to the table of features."""

import numpy as np
import pytest
import torch
from one_shard_store import write_one_shard
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from stages.common.command_line import run_stage
from stages.common.data.image_store import ImageStore
from stages.common.encoders.dual import DualEncoder, checkpoint_record, load_checkpoint, save_checkpoint, to_input
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files.arrow_tables import read_table
from stages.common.files.atomic_files import read_json
from stages.common.files.schemas import features
from stages.extract_features.__main__ import WORK

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZE = 20
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)


def write_inputs(folder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE), dtype=np.uint8)
    write_one_shard(folder, "set", SIZE, [{"image_id": f"i{n}", "pixels": each.tobytes()}
                                          for n, each in enumerate(noise)])  # fmt: skip
    (folder / "tokenizer").mkdir()
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    model = DualEncoder(SMALL, len(WORDS))
    save_checkpoint(folder / "checkpoint", model.state_dict(), checkpoint_record(model), folder / "tokenizer")


@pytest.mark.parametrize("batch_size", [2, 8])
def test_every_image_is_embedded_in_the_order_of_the_store(tmp_path, batch_size) -> None:
    write_inputs(tmp_path)
    inputs = {"checkpoint": tmp_path / "checkpoint", "images": tmp_path / "manifest.json"}
    outputs = {"features": tmp_path / "out" / "features.arrow", "journal": tmp_path / "out" / "journal.json"}
    options = [word for name, path in (inputs | outputs).items() for word in (f"--{name}", str(path))]
    run_stage(WORK, [*options, "--device", "cpu", "--settings", f"{{batch_size: {batch_size}}}"])
    rows = read_table(outputs["features"], features(8, 16)).to_pylist()
    assert [row["image_id"] for row in rows] == [f"i{n}" for n in range(5)]
    model, store = load_checkpoint(inputs["checkpoint"], torch.device("cpu")).model, ImageStore(inputs["images"])
    tokens = model.patch_tokens(to_input(torch.from_numpy(store.gather(np.arange(5))), 16))
    expected = {"embedding": model.embed_global(tokens), "pooled": tokens.mean(dim=1)}
    for name, values in expected.items():
        np.testing.assert_allclose([row[name] for row in rows], values, atol=1e-6)
    journal = read_json(outputs["journal"])
    assert (journal["status"], journal["metrics"][0]["key"], journal["metrics"][0]["value"]) == (
        "FINISHED",
        "images",
        5,
    )
    assert [each["path"] for each in journal["artifacts"]] == ["features.arrow"]
    assert set(journal["inputs"]) == {"checkpoint", "images"}
