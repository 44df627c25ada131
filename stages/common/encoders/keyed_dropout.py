"""Dropout whose every decision is a function of a token, not of the batch around it.

PyTorch draws dropout in the order in which a tensor lies in memory, so a token's mask depends on what is encoded with
it. Here each token carries a key, a hash of (seed, sequence, position), and each dropout module has a key for each
channel. A hash of both keys decides. So the number of processes, passes and micro-batches changes nothing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt32
from torch import Tensor, nn

from ..digests import seed_from

# Odd multipliers of known good hashes (MurmurHash3's finaliser, and the golden ratio), as 32-bit integers.
_FIRST, _SECOND, _GOLDEN = 0x85EBCA6B, 0xC2B2AE35, 0x9E3779B1


def token_keys(
    seed: int, sequences: Int[np.ndarray, "tokens"], positions: Int[np.ndarray, "tokens"]
) -> Int[np.ndarray, "tokens"]:
    """Return an odd int32 key for each token, a hash of the seed, the number of its sequence and its position."""
    low, high = (np.uint32(part) for part in (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    keys = _mixed(sequences.astype(np.uint32) * np.uint32(_GOLDEN) ^ low)
    keys = _mixed((keys + positions.astype(np.uint32) * np.uint32(_GOLDEN)) ^ high)
    return (keys | np.uint32(1)).view(np.int32)


def _mixed(words: UInt32[np.ndarray, "tokens"]) -> UInt32[np.ndarray, "tokens"]:
    """Return MurmurHash3's finaliser of 32-bit words, in which every bit depends on every bit."""
    words = (words ^ words >> np.uint32(16)) * np.uint32(_FIRST)
    words = (words ^ words >> np.uint32(13)) * np.uint32(_SECOND)
    return words ^ words >> np.uint32(16)


@dataclass
class Keys:
    """Keys of the tokens that an encoder reads at present, shared by its dropout modules; None: no dropout."""

    of_tokens: Int[Tensor, "tokens"] | None = None


class KeyedDropout(nn.Module):
    """Dropout of the tokens of one stream, at one place in an encoder."""

    channel_keys: Tensor

    def __init__(self, p: float, channels: int, place: str, keys: Keys) -> None:
        """Prepare for up to `channels` channels; `place` names the module, so that no two have the same masks."""
        super().__init__()
        self.p = p
        self._keys = keys
        noise = np.random.default_rng(seed_from("dropout", place)).integers(-(2**31), 2**31, channels, dtype=np.int32)
        self.register_buffer("channel_keys", torch.from_numpy(noise | 1), persistent=False)

    def forward(self, hidden: Float[Tensor, "1 tokens channels"]) -> Float[Tensor, "1 tokens channels"]:
        """Return `hidden` with each value dropped with probability p, and the others scaled by 1 / (1 - p)."""
        keys = self._keys.of_tokens
        if not self.training or not self.p or keys is None:
            return hidden
        # Multiply-shift hashing (Dietzfelbinger et al. 1997): the upper bits of a product of odd words are uniform.
        words = keys.unsqueeze(1) * self.channel_keys[: hidden.shape[-1]]
        dropped = words < round(self.p * 2**32) - 2**31
        return hidden.masked_fill(dropped, 0) * (1 / (1 - self.p))


def key_dropout(encoder: nn.Module, channels: int) -> Keys:
    """Replace every dropout module of an encoder by a keyed one, and return what holds their tokens' keys."""
    keys = Keys()
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Dropout):
            parent, _, attribute = name.rpartition(".")
            setattr(encoder.get_submodule(parent), attribute, KeyedDropout(module.p, channels, name, keys))
    return keys
