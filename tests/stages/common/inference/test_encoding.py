"""Batches through an encoder: the same tokens in any batches, in the precision asked for, and nothing left behind."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.common.device import possible_precision
from stages.common.encoders.dual import DualEncoder, to_input
from stages.common.encoders.report_batches import SpecialTokens, pack_reports
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.errors import InputError
from stages.common.inference.encoding import (
    choose_precision,
    computing_in,
    copied_behind,
    in_batches,
    input_batches,
    joined,
    report_embeddings,
    token_batches,
)
from stages.common.journal.tracking import Run

STORED, IMAGES = 20, 7
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
PIXELS = np.random.default_rng(0).integers(0, 256, (IMAGES, STORED, STORED), dtype=np.uint8)
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def model() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(SMALL, 30).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("device", "capability", "wanted", "chosen"),
    [
        (CUDA, 9, "auto", "bf16"), (CUDA, 8, "tf32", "tf32"), (CUDA, 8, "fp32", "fp32"), (CUDA, 8, "bf16", "bf16"),
        (CUDA, 7, "auto", "fp32"), (CUDA, 7, "fp32", "fp32"), (CUDA, 7, "bf16", "fp32"), (CUDA, 7, "tf32", "fp32"),
        (CPU, None, "auto", "fp32"), (CPU, None, "bf16", "bf16"), (CPU, None, "tf32", "fp32"),
    ],
)  # fmt: skip
def test_a_device_has_its_precisions_and_what_it_lacks_is_said(
    monkeypatch, capsys, device, capability, wanted, chosen
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (capability, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Tesla V100")
    run = Run(Path("journal.json"), {"tags": {}})
    possible_precision.cache_clear()  # which says everything once
    assert choose_precision(wanted, device, run) == chosen
    assert run.record["tags"] == {"encoder_precision": chosen}
    assert capsys.readouterr().err.count("; computing in fp32") == (wanted not in ("auto", chosen))


@pytest.mark.parametrize("most", [1, 3, 7, 99])
def test_batches_change_no_token(model, most) -> None:
    rows = [3, 0, 6, 1, 5]
    visible = torch.tensor([[0, 2], [1, 3], [2, 15], [4, 5], [9, 8], [7, 6], [3, 12]])
    images = to_input(torch.from_numpy(PIXELS[rows]), 16)
    for shown in (None, visible):
        found = joined(token_batches(model, PIXELS.__getitem__, in_batches(rows, most), visible=shown))
        expected = model.patch_tokens(images, None if shown is None else shown[rows])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    inputs = joined(input_batches(PIXELS.__getitem__, in_batches(rows, most), 16, CPU))
    torch.testing.assert_close(inputs, images, rtol=0, atol=0)


def test_encoding_waits_for_nothing(model) -> None:
    """Tensors of the device `meta` have no values: whatever reads one fails, as it would stop a GPU."""
    visible, batches = torch.zeros(IMAGES, 5, dtype=torch.int64), in_batches(range(IMAGES), 3)
    tokens = list(token_batches(model.to("meta"), PIXELS.__getitem__, batches, visible=visible))
    assert [each.shape for each in tokens] == [(3, 5, 16), (3, 5, 16), (1, 5, 16)]
    assert {model.embed_global(each).device.type for each in tokens} == {"meta"}
    reports = list(report_embeddings(model, [[[7, 8], [9]], [[10]], [[11]]], SpecialTokens(2, 3), 2))
    assert [each.shape for each in reports] == [(2, 8), (1, 8)]


def test_no_images_are_no_batches(model) -> None:
    assert list(token_batches(model, PIXELS.__getitem__, in_batches([], 3))) == []


def test_tokens_in_bf16_are_those_of_autocast_and_come_as_fp32(model) -> None:
    rows = range(IMAGES)
    full, half = (joined(token_batches(model, PIXELS.__getitem__, in_batches(rows, 4), precision))
                  for precision in ("fp32", "bf16"))  # fmt: skip
    assert full.dtype == half.dtype == torch.float32
    difference = (full - half).abs().max() / full.abs().max()
    assert 1e-4 < difference < 0.05  # eight bits, after two blocks
    cosines = torch.cosine_similarity(*(model.embed_global(each) for each in (full, half)))
    assert cosines.min() > 0.999


@pytest.mark.parametrize("most", [1, 2, 9])
def test_reports_are_embedded_in_their_order(model, most) -> None:
    reports = [[[7, 8], [9]], [[10]], [[11, 12, 13], [7, 8]], [[9], [9]], [[20, 21]]]
    special = SpecialTokens(2, 3)
    found = joined(report_embeddings(model, reports, special, most))
    torch.testing.assert_close(
        found, model.embed_text(pack_reports(reports, special, "report")).report, rtol=0, atol=1e-5
    )


def test_tf32_holds_inside_alone(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 0))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # as choose_device sets it
    possible_precision.cache_clear()
    before = torch.get_float32_matmul_precision()
    with computing_in("tf32", CUDA):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (before, False)
    assert before != "high"


def test_an_output_is_handed_on_when_the_next_one_is_asked_for() -> None:
    """Show the order that lets a GPU compute the next batch while the CPU works on the one before."""
    said = []

    def outputs():
        for number in range(3):
            said.append(f"ask {number}")
            yield torch.full((2,), float(number)), torch.tensor(number)

    for values, number in copied_behind(outputs()):
        said.append(f"use {int(number)}")
        assert values.tolist() == [float(number)] * 2
    assert said == ["ask 0", "ask 1", "use 0", "ask 2", "use 1", "use 2"]


def test_a_loop_that_is_left_leaves_no_thread(model) -> None:
    tokens = token_batches(model, PIXELS.__getitem__, in_batches(range(IMAGES), 1))
    next(tokens)
    tokens.close()
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_an_image_that_cannot_be_read_stops_the_loop(model) -> None:
    def gather(rows: np.ndarray) -> np.ndarray:
        if 5 in rows:
            raise InputError("image i5: damaged")
        return PIXELS[rows]

    with pytest.raises(InputError, match="image i5: damaged"):
        joined(token_batches(model, gather, in_batches(range(IMAGES), 2)))
