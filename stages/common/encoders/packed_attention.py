"""Attention within sequences that lie one after another, without padding: an attention function for transformers.

On a GPU in half precision it is one kernel for all sequences (torch.nn.attention.varlen). Elsewhere sequences are laid
out in padded rows for the attention alone, on a CPU in groups of similar length; everything else reads no padding.

The weights of attention are not dropped out, since kernels for sequences of different length do not offer it; hidden
states are (keyed_dropout.py). So Portes et al. (MosaicBERT, NeurIPS 2023) train BERT, too.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from ..device import is_ampere_or_newer
from .report_batches import TokenStream

NAME = "packed"  # of the function, in transformers' registry
_GROUPS = 4  # of sequences by length, on a CPU: little padding, few calls


@dataclass(frozen=True)
class _Rows:
    """Sequences in padded rows: R of up to T tokens."""

    tokens: Int[Tensor, "slots"]  # the token in each of the R x T slots; any in padding
    present: Bool[Tensor, "rows 1 1 tokens"] | None  # None: no padding
    length: int

    def laid_out(self, values: Float[Tensor, "tokens heads channels"]) -> Float[Tensor, "rows heads length channels"]:
        chosen = values.index_select(0, self.tokens)
        return chosen.view(-1, self.length, *values.shape[1:]).transpose(1, 2)


class PackedLayout:
    """Hold where the sequences of a stream lie, for one pass of an encoder."""

    def __init__(self, stream: TokenStream) -> None:
        self._stream = stream
        self._rows: list[_Rows] = []
        self._slots: Int[Tensor, tokens] | None = None

    def attend(
        self,
        query: Float[Tensor, "tokens heads channels"],
        key: Float[Tensor, "tokens heads channels"],
        value: Float[Tensor, "tokens heads channels"],
        scale: float | None,
    ) -> Float[Tensor, "tokens heads channels"]:
        """Return softmax(scale Q K^T) V within each sequence; without `scale`, 1 / sqrt(channels)."""
        if _has_kernel(query):
            starts, longest = self._stream.starts, self._stream.longest
            found = varlen_attn(query, key, value, starts, starts, longest, longest, scale=scale)
            assert isinstance(found, Tensor)  # a pair, if more had been asked for
            return found
        slots = self._lay_out()
        parts = []
        for rows in self._rows:
            q, k, v = (rows.laid_out(each) for each in (query, key, value))
            rows_found = F.scaled_dot_product_attention(q, k, v, attn_mask=rows.present, scale=scale)
            parts.append(rows_found.transpose(1, 2).flatten(0, 1))
        return torch.cat(parts).index_select(0, slots)

    def _lay_out(self) -> Int[Tensor, "tokens"]:
        """Return the slot of each token in the padded rows, which are prepared at the first call."""
        if self._slots is not None:
            return self._slots
        stream, starts = self._stream, self._stream.starts.long()
        lengths = starts.diff()
        device, count = starts.device, len(lengths)
        if device.type == "cpu":
            groups = [(group, int(lengths[group].max())) for group in lengths.argsort().chunk(_GROUPS)]
        else:  # one group, whose length is known without a look at the device
            groups = [(torch.arange(count, device=device), stream.longest)]
        first_slot, used = torch.empty_like(lengths), 0
        for group, length in groups:
            place = torch.arange(length, device=device)
            tokens = (starts[:-1][group].unsqueeze(1) + place).clamp_(max=len(stream.token_ids) - 1)
            present = place < lengths[group].unsqueeze(1)
            padded = device.type != "cpu" or not bool(present.all())
            self._rows.append(_Rows(tokens.flatten(), present[:, None, None] if padded else None, length))
            first_slot[group] = used + length * torch.arange(len(group), device=device)
            used += length * len(group)
        self._slots = first_slot.repeat_interleave(lengths, output_size=len(stream.token_ids)) + stream.positions
        return self._slots


def _has_kernel(query: Float[Tensor, "tokens heads channels"]) -> bool:
    """Return whether there is a kernel for sequences of different length on this device, for this type and width."""
    return (
        is_ampere_or_newer(query.device) and query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] % 8 == 0
    )


def _attention(
    _module: nn.Module,
    query: Float[Tensor, "1 heads tokens channels"],
    key: Float[Tensor, "1 heads tokens channels"],
    value: Float[Tensor, "1 heads tokens channels"],
    _mask: None,
    *,
    layout: PackedLayout,
    scaling: float | None = None,
    **_other: Any,
) -> tuple[Float[Tensor, "1 tokens heads channels"], None]:
    """Attend as transformers' attention modules ask for it; `layout` is an argument of the model's forward."""
    q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
    return layout.attend(q, k, v, scaling).unsqueeze(0), None


AttentionInterface.register(NAME, _attention)
