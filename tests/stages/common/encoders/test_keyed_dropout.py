"""Keyed dropout has the right rate, no structure between tokens, channels and places, and is a function of its keys."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.common.encoders.keyed_dropout import KeyedDropout, Keys, key_dropout, token_keys

TOKENS, CHANNELS = 2000, 512


def kept(p: float, seed: int = 0, place: str = "a", tokens: int = TOKENS) -> Tensor:
    """Return which values stay, for the tokens of sequences of 50."""
    numbers = np.arange(tokens)
    keys = Keys(torch.from_numpy(token_keys(seed, numbers // 50, numbers % 50)))
    module = KeyedDropout(p, CHANNELS, place, keys).train()
    values = module(torch.ones(1, tokens, CHANNELS))[0]
    torch.testing.assert_close(values.unique(), torch.tensor([0, 1 / (1 - p)]))
    return values != 0


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped(p: float) -> None:
    mask = kept(p)
    spread = math.sqrt(p * (1 - p) / mask.numel())
    assert abs((~mask).double().mean() - p) < 5 * spread
    for dimension in (0, 1):  # no token and no channel has another rate: 5.5 standard deviations of 2,512 means
        means = (~mask).double().mean(dim=dimension)
        assert (means - p).abs().max() < 5.5 * math.sqrt(p * (1 - p) / mask.shape[dimension])


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of each row of `a` with each of `b`."""
    a, b = (each.double() - each.double().mean(dim=1, keepdim=True) for each in (a, b))
    return (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T


def test_tokens_channels_places_and_seeds_are_not_correlated() -> None:
    mask = kept(0.1)
    for rows in (mask, mask.T):
        found = correlations(rows, rows).fill_diagonal_(0)
        assert found.abs().max() < 7 / math.sqrt(rows.shape[1])  # of up to 2 million pairs
        assert abs(found.std() * math.sqrt(rows.shape[1]) - 1) < 0.02
    for other in (kept(0.1, place="b"), kept(0.1, seed=1)):
        same = correlations(mask, other).diagonal()
        assert same.abs().max() < 6 / math.sqrt(CHANNELS)


def test_products_of_keys_leave_no_structure_of_four() -> None:
    # k1 c1 * k2 c2 = k1 c2 * k2 c1: the parity of the four corners must still be that of independent values
    dropped = ~kept(0.5)
    random = torch.Generator().manual_seed(0)
    rows = torch.randint(TOKENS, (2, 100_000), generator=random)
    columns = torch.randint(CHANNELS, (2, 100_000), generator=random)
    different = (rows[0] != rows[1]) & (columns[0] != columns[1])
    corners = [dropped[row, column] for row in rows for column in columns]
    parity = torch.stack(corners).sum(dim=0)[different] % 2
    assert abs(parity.double().mean() - 0.5) < 5 * 0.5 / math.sqrt(len(parity))


def test_it_is_dropout_in_training_alone_and_where_there_are_keys() -> None:
    keys = Keys(torch.tensor([3, 5], dtype=torch.int32))
    module = KeyedDropout(0.5, 4, "a", keys)
    values = torch.randn(1, 2, 4)
    assert not torch.equal(module.train()(values), values)
    assert torch.equal(module.eval()(values), values)
    keys.of_tokens = None
    assert torch.equal(module.train()(values), values)


def test_the_gradient_is_that_of_the_mask() -> None:
    keys = Keys(torch.from_numpy(token_keys(1, np.zeros(6, int), np.arange(6))))
    module = KeyedDropout(0.3, 5, "a", keys).train()
    values = torch.randn(1, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (values,))


def test_all_dropout_modules_of_an_encoder_are_replaced_and_have_masks_of_their_own() -> None:
    encoder = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))
    keys = key_dropout(encoder, 64)
    modules = [module for module in encoder.modules() if isinstance(module, KeyedDropout)]
    assert len(modules) == 2
    assert not any(isinstance(module, nn.Dropout) for module in encoder.modules())
    keys.of_tokens = torch.from_numpy(token_keys(1, np.zeros(8, int), np.arange(8)))
    first, second = (module.train()(torch.ones(1, 8, 64)) for module in modules)
    assert not torch.equal(first, second)
    assert set(encoder.state_dict()) == {"1.0.weight", "1.0.bias"}  # checkpoints do not know of it
