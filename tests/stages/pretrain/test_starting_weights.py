"""Which weights a training starts from: settings and options agree, the journal says what was used."""

import json

import pytest
import torch
from safetensors.torch import save_file

from stages.common.encoders.dual import DualEncoder, build_encoder, checkpoint_record
from stages.common.encoders.settings import DualEncoderSettings, EncoderRecord
from stages.common.encoders.text import TextEncoder
from stages.common.errors import InputError
from stages.common.journal.tracking import track
from stages.common.settings import Settings
from stages.pretrain.weights import StartingWeights

IMAGE = {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2}
TEXT = {"width": 16, "depth": 1, "heads": 2, "weights": None}
RANDOM = DualEncoderSettings.model_validate({"image": IMAGE, "text": TEXT, "embedding_width": 8})
NAMED = DualEncoderSettings.model_validate(
    {"image": {**IMAGE, "weights": "vit.mae"}, "text": {**TEXT, "weights": "someone/bert"}, "embedding_width": 8}
)


@pytest.fixture
def start(tmp_path) -> StartingWeights:
    """Weights of both encoders, saved as folders."""
    torch.manual_seed(0)
    model = DualEncoder(RANDOM, 30)
    for name, module in (("image", model.image.vit), ("text", model.text.bert)):
        (tmp_path / name).mkdir()
        save_file(module.state_dict(), tmp_path / name / "model.safetensors")
    (tmp_path / "text" / "config.json").write_text(json.dumps(model.text.bert.config.to_dict()))
    (tmp_path / "text" / "weights.json").write_text(
        json.dumps({"id": "someone/bert", "revision": "abc", "license": "mit", "files": {}})
    )
    return StartingWeights(tmp_path / "image", tmp_path / "text")


def test_weights_are_loaded_and_the_journal_counts_them(start, tmp_path, capsys) -> None:
    inputs = start.inputs(NAMED)
    assert set(inputs) == {
        "image_weights/model.safetensors",
        "text_weights/config.json",
        "text_weights/model.safetensors",
    }
    torch.manual_seed(1)
    model = DualEncoder(NAMED, 30, start.text_configuration())
    with track("pretrain", "x", journal=tmp_path / "journal.json", settings=Settings(), inputs=inputs) as run:
        start.load(model, run)
    torch.manual_seed(0)
    expected = DualEncoder(RANDOM, 30)
    for one, other in ((model.image, expected.image), (model.text, expected.text)):
        assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())
    journal = json.loads((tmp_path / "journal.json").read_text())
    counts = {metric["key"]: metric["value"] for metric in journal["metrics"]}
    assert counts["weights/image_used"] == len(expected.image.state_dict())
    assert counts["weights/text_used"] == len(expected.text.state_dict())
    assert counts["weights/text_missing"] == counts["weights/image_unexpected"] == 0
    assert journal["tags"]["text_weights"] == "someone/bert, revision abc, license mit"
    assert journal["tags"]["image_weights"] == "model.safetensors, license unknown"
    assert "text encoder:" in capsys.readouterr().err


def test_a_checkpoint_does_not_ask_for_the_weights_it_started_from(start) -> None:
    record = checkpoint_record(DualEncoder(NAMED, 30, start.text_configuration()))
    assert build_encoder(EncoderRecord.model_validate_json(record.model_dump_json())).settings == NAMED


def test_settings_and_options_must_agree(start) -> None:
    assert StartingWeights().inputs(RANDOM) == {}
    assert StartingWeights().text_configuration() is None
    with pytest.raises(InputError, match=r"--image-weights: missing, but model\.image\.weights names vit\.mae"):
        StartingWeights(None, start.text).inputs(NAMED)
    with pytest.raises(InputError, match=r"model\.text\.weights is null; omit the option"):
        StartingWeights(None, start.text).inputs(RANDOM)
    with pytest.raises(InputError, match="no folder"):
        StartingWeights(start.image, start.text / "absent").inputs(NAMED)


def test_no_encoder_starts_at_random_unasked() -> None:
    with pytest.raises(ValueError, match="settings with weights"):
        TextEncoder(NAMED.text, 30)
