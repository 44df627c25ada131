"""Settings with which training would only fail later: one line that names the key and the remedy."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.encoders.image import visible_count
from stages.common.errors import InputError
from stages.pretrain.batches import sentence_orders
from stages.pretrain.contract import PretrainSettings, SentenceSettings


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"mask_ratio": 0}, "mask_ratio 0.0 masks none of 196 patches"),
        ({"mask_ratio": 0.001}, "mask_ratio 0.001 masks none of 196 patches"),
        ({"mask_ratio": 0.999}, "mask_ratio 0.999 leaves none of 196 patches; give at most 0.994"),
        ({"mask_ratio": 1}, "mask_ratio"),
        ({"unmasked_epochs": 52}, "unmasked_epochs 52 exceeds optimisation.epochs 51"),
        ({"unmasked_epochs": -1}, "unmasked_epochs"),
        (
            {"unmasked_epochs": 2, "mask_ratio": 0, "reconstruction": {"weight": 0}},
            "unmasked_epochs 2 has no effect, since mask_ratio 0.0 masks nothing in any epoch; set unmasked_epochs: 0",
        ),
        ({"local": {"epsilon": 0}}, "local.epsilon"),
        ({"local": {"epsilon": -0.1}}, "local.epsilon"),
        ({"local": {"rho": -1}}, "local.rho"),
        ({"local": {"attention_temperature": 0}}, "local.attention_temperature"),
        ({"local": {"group": 1}}, "local.group"),
        ({"optimisation": {"batch_size": 1}}, "optimisation.batch_size"),
        ({"model": {"image": {"input_size": 225}}}, "input_size 225 must be a multiple of patch_size 16"),
        ({"sentences": {"keep": 0}}, "sentences.keep"),
    ],
)
def test_what_cannot_train_is_refused_in_one_line(block: dict, named: str) -> None:
    with pytest.raises(InputError, match=named) as refused:
        PretrainSettings.from_text(json.dumps(block))
    assert "\n" not in str(refused.value)


def test_the_largest_mask_ratio_that_is_named_leaves_a_patch() -> None:
    assert PretrainSettings.from_text("{mask_ratio: 0.994}").mask_ratio == 0.994
    assert visible_count(196, 0.994) == 1


def test_a_training_of_no_epochs_takes_the_settings_of_the_others() -> None:
    """A variant that is not trained shares the block `pretrain` with those that are."""
    assert PretrainSettings.from_text("{unmasked_epochs: 2, optimisation: {epochs: 0}}").unmasked_epochs == 2


def _orders(counts: list[int], settings: SentenceSettings, seed: int = 0) -> list[list[int]]:
    return [order.tolist() for order in sentence_orders(np.array(counts), settings, seed)]


@given(counts=st.lists(st.integers(1, 12), min_size=1), keep=st.none() | st.integers(1, 5), seed=st.integers(0, 99))
def test_sentences_are_drawn_without_repeats_and_keep_their_order(counts, keep, seed) -> None:
    settings = SentenceSettings(keep=keep)
    orders, again = (_orders(counts, settings, seed) for _ in range(2))
    assert orders == again
    for count, order in zip(counts, orders, strict=True):
        assert order == sorted(set(order))
        assert len(order) == min(count, keep or math.inf)
        assert set(order) <= set(range(count))
        assert keep or order == list(range(count))


def test_every_sentence_is_as_likely_and_shuffling_reaches_every_order() -> None:
    orders = _orders([3] * 6000, SentenceSettings(shuffle=True))
    times = [orders.count([a, b, 3 - a - b]) for a in range(3) for b in range(3) if a != b]
    assert sum((each - 1000) ** 2 / 1000 for each in times) < 25.7  # chi-square, 5 degrees of freedom, p = 1e-4
    drawn = _orders([4] * 6000, SentenceSettings(keep=1))
    assert sum((drawn.count([b]) - 1500) ** 2 / 1500 for b in range(4)) < 21.1  # 3 degrees of freedom
