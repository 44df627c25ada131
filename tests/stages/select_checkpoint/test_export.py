"""The exported folder: complete, and loadable by timm and transformers without this project."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file, save_file
from selection_inputs import write_inputs

from stages.common.data.image_store import ImageStore
from stages.common.encoders.dual import load_checkpoint
from stages.common.errors import InputError
from stages.common.files.atomic_files import settle, sidecar_of, verify
from stages.pretrain.contract import Candidates
from stages.select_checkpoint.candidate_scores import ScoredCandidate
from stages.select_checkpoint.decision import Decision
from stages.select_checkpoint.export import model_card

FOREIGN = """
import sys
import torch
SHIM
import timm
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

folder, given, out = sys.argv[1:]
assert not any(name.startswith("stages") for name in sys.modules
               if not "stages.common.encoders.torchvision_operators".startswith(name))
image = timm.create_model(f"local-dir:{folder}/image", pretrained=True).eval()
text = AutoModel.from_pretrained(f"{folder}/text", add_pooling_layer=False).eval()
tokenizer = AutoTokenizer.from_pretrained(f"{folder}/text")
projections = load_file(f"{folder}/model.safetensors")
words = tokenizer(["word3 word1", "word7"], return_tensors="pt", padding=True)
with torch.inference_mode():
    features = image(load_file(given)["pixels"])
    hidden = text(input_ids=words.input_ids, attention_mask=words.attention_mask).last_hidden_state
save_file({"features": features, "cls": hidden[:, 0].contiguous(), "second": hidden[1, 1:2].contiguous(),
           "ids": words.input_ids, "mean": torch.tensor(image.pretrained_cfg["mean"])}, out)
"""


@pytest.fixture(scope="module", params=["report", "sentences"])
def exported(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("export")
    write_inputs(folder / "in", request.param).select(folder)
    return request.param, folder / "checkpoint"


def test_timm_and_transformers_alone_give_equal_features(exported, tmp_path) -> None:
    """In a process of its own that imports nothing of this project but the cure of a CPU build's torchvision."""
    context, folder = exported
    checkpoint = load_checkpoint(folder, torch.device("cpu"))
    grey = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    save_file({"pixels": checkpoint.model.image.normalise(grey).contiguous()}, tmp_path / "given.safetensors")
    program = FOREIGN.replace("SHIM", "import stages.common.encoders.torchvision_operators")
    out = tmp_path / "out.safetensors"
    subprocess.run(
        [sys.executable, "-c", program, folder, tmp_path / "given.safetensors", out],
        check=True, timeout=300, cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    found = load_file(out)
    with torch.inference_mode():
        expected = checkpoint.model.patch_tokens(grey).mean(dim=1)
        report = checkpoint.embed_sentences(["word3 word1", "word7"]).report
    torch.testing.assert_close(found["features"], expected, atol=1e-6, rtol=0)
    assert found["ids"].tolist() == [[2, 8, 6, 3], [2, 12, 3, 0]]
    pooled = found["cls"] if context == "report" else found["second"]
    projected = torch.nn.functional.normalize(checkpoint.model.text_projection(pooled).detach(), dim=-1)
    torch.testing.assert_close(projected, report if context == "report" else report[1:], atol=1e-6, rtol=0)
    assert found["mean"].tolist() == pytest.approx([checkpoint.model.settings.image.mean])


def test_the_card_tells_data_licence_use_and_limits(exported) -> None:
    _, folder = exported
    card = (folder / "README.md").read_text()
    for words in ("some/vit, revision 1, license cc-by-nc-4.0", "1" * 64, "8 training studies", "Not a medical device",
                  "timm.create_model", "contrastive loss", "validation studies"):  # fmt: skip
        assert words in card, words
    assert "{" not in card.split("```")[0]


def card_of(candidates: int, **changes) -> str:
    """The card of a record with other steps, mask ratio or model."""
    model = {"image": {"architecture": "custom"}, "text": {"weights": None}} | changes.pop("model", {})
    encoder = {"model": model, "vocabulary": 9, "text_configuration": {}}
    origin = {"starting_weights": {}, "digests": dict.fromkeys(("code", "settings", "data", "image"), "0" * 64),
              "studies": 8, "fingerprint": "1" * 64, "resumed_from": None, "seed": 0}  # fmt: skip
    row = {"step": 0, "path": "a", "sha256": "0" * 64}
    block = {
        "steps": 12,
        "mask_ratio": 0.5,
        "validated_mask_ratio": 0.5,
        "provenance": origin,
        "lost": [],
        "encoder": encoder,
        "candidates": [row],
    }
    record = Candidates.model_validate(block | changes)
    scored = [Mock(spec=ScoredCandidate, step=step) for step in range(candidates)]
    for each in scored:
        each.scores.return_value = {"contrastive_loss": 1.0}
    decision = Decision(
        scored[0], scored[0], None, None, "loss of pairs", "the best candidate", "step 0 is the only one"
    )
    return model_card("v", record, decision, scored, 5, "set")


def test_the_card_states_no_more_than_was_done() -> None:
    usual, untrained, whole = card_of(3), card_of(1, steps=0), card_of(3, mask_ratio=0.0)
    for words in ("trained together on radiographs", "Step 0 of 12.", "they were fitted to them", "optimistic",
                  "Chosen among 3 candidates", ", masked-modelling]"):  # fmt: skip
        assert words in usual
        assert words not in untrained
    assert "nothing was trained" in untrained
    assert "5 validation studies. Step 0 is the only one: nothing was chosen." in untrained
    assert "masked-modelling" not in whole


def test_the_code_of_the_card_adds_the_bias_of_the_projection() -> None:
    biased = card_of(3, model={"image_bias": True})
    assert '["image_projection.weight"].T + projections["image_projection.bias"],' in biased
    assert "image_projection.bias" not in card_of(3)


def test_every_file_has_its_side_car(exported) -> None:
    _, folder = exported
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".sha256"]
    assert {str(path.relative_to(folder)) for path in files} == {
        *("model.safetensors", "config.json", "inference.json", "README.md", "tokenizer/tokenizer.json"),
        *("integrity_map.json", "integrity_map.png"),
        *("image/model.safetensors", "image/config.json"),
        *("text/model.safetensors", "text/config.json", "text/tokenizer.json", "text/tokenizer_config.json"),
    }
    for path in files:
        verify(path)
        assert sidecar_of(path).is_file()


def caught(path: Path, load: Callable[[], object], times: int = 200) -> int:
    """How often `load` refuses `path` as damaged after one bit of it was flipped; the file is whole again after."""
    whole, noise, refused = path.read_bytes(), random.Random(0), 0
    try:
        for _ in range(times):
            damaged = bytearray(whole)
            damaged[noise.randrange(len(whole))] ^= 1 << noise.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(InputError, match="damaged"):
                load()
            refused += 1
    finally:
        path.write_bytes(whole)
    load()
    return refused


def test_one_flipped_bit_in_an_exported_model_is_caught_200_of_200(exported) -> None:
    _, folder = exported
    assert caught(folder / "model.safetensors", lambda: load_checkpoint(folder, torch.device("cpu"))) == 200


def test_one_flipped_bit_in_an_arrow_shard_is_caught_200_of_200(inputs) -> None:
    """Its checksum is taken in the background; `settle` is what stands before every output."""

    def load() -> None:
        ImageStore(inputs.folder / "manifest.json")
        settle()

    assert caught(inputs.folder / "0.arrow", load) == 200
