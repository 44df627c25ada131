"""A stage never computes on the CPU where a GPU was meant."""

import pytest
import torch

from stages.common.device import choose_device
from stages.common.errors import InputError


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("allotted", [{}, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "-1"}])
def test_without_a_gpu_auto_is_the_cpu(allotted: dict[str, str]) -> None:
    assert choose_device("auto", allotted).type == "cpu"


@pytest.mark.parametrize("wanted", ["tpu", "cuda:0", "CPU", ""])
def test_another_word_is_refused(wanted: str) -> None:
    with pytest.raises(InputError, match=f"device: '{wanted}' is none; choose one of auto, cuda, cpu"):
        choose_device(wanted, {})


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_was_allotted_or_asked_for_and_is_not_seen_is_an_error() -> None:
    with pytest.raises(InputError, match=r"CUDA_VISIBLE_DEVICES=0,1.*nvidia-smi"):
        choose_device("auto", {"CUDA_VISIBLE_DEVICES": "0,1"})
    with pytest.raises(InputError, match=r"device: cuda"):
        choose_device("cuda", {})
    assert choose_device("cpu", {"CUDA_VISIBLE_DEVICES": "0"}).type == "cpu"


def test_a_gpu_that_is_seen_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", {}).type == "cuda"
    assert choose_device("cpu", {}).type == "cpu"
