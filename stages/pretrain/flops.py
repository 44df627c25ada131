"""Floating-point operations of a step, in closed form: a product of [m, k] and [k, n] is 2 m k n of them.

Counted is the work that the objective asks for: linear layers, attention and projections, of visible patches and real
word pieces. Padding, recomputation (`micro_batch`), transport and elementwise functions are not, so that a share of
the device's peak (MFU) is never flattered by waste. A backward pass costs two forward passes; frozen layers have none.
"""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from stages.common.report_batches import ReportBatch
from stages.pretrain.batches import DrawnBatch
from stages.pretrain.objective import Objective

_FORWARD_AND_BACKWARD = 3


def layer_flops(tokens: int, width: int, hidden: int) -> int:
    """One transformer layer on one sequence: Q, K, V and output, scores and their product with V, two MLP matrices."""
    return tokens * (8 * width**2 + 4 * width * hidden) + 4 * tokens**2 * width


class StepFlops:
    """Operations of the steps of one model, on the rows of one rank."""

    def __init__(self, model: Objective) -> None:
        vit, decoder = model.encoder.image.vit, model.decoder
        image, embedding = model.settings.model.image, model.encoder.image_projection.out_features
        self._layer = (vit.embed_dim, vit.blocks[0].mlp.fc1.out_features, len(vit.blocks))
        self._prefix, self._patches, self._pixels = vit.num_prefix_tokens, image.patches, image.patch_size**2
        self._decoder = None if decoder is None else (decoder.embed.out_features, len(decoder.blocks))
        self._embedding = embedding
        self._context = model.encoder.text.context
        self._text = _text_sizes(model.encoder.text.bert)
        trained = model.encoder.text.bert.named_parameters()
        self._frozen = len({name.split(".layer.")[1].split(".")[0] for name, parameter in trained
                            if ".layer." in name and not parameter.requires_grad})  # fmt: skip

    def image_forward(self, visible: int) -> int:
        """One image: all patches embedded, `visible` of them through the layers."""
        width, hidden, depth = self._layer
        return 2 * self._patches * self._pixels * width + depth * layer_flops(visible + self._prefix, width, hidden)

    def text_forward(self, tokens: int, layers: int | None = None) -> int:
        """One sequence through `layers` (all) layers of the text encoder."""
        width, hidden, depth = self._text
        return (depth if layers is None else layers) * layer_flops(tokens, width, hidden)

    def decoder_forward(self, visible: int) -> int:
        """One image through the decoder of masked patches; 0 where the objective has none."""
        if self._decoder is None:
            return 0
        width, depth = self._decoder
        ends = 2 * visible * self._layer[0] * width + 2 * self._patches * width * self._pixels
        return ends + depth * layer_flops(self._patches, width, 4 * width)

    def of(self, batch: DrawnBatch) -> int:
        """Forward and backward pass of this rank's rows."""
        own, visible = len(batch.pixels), batch.visible.shape[1]
        projected = 2 * self._embedding * self._layer[0] * (visible + 1)
        image = own * (self.image_forward(visible) + self.decoder_forward(visible) + projected)
        lengths = torch.cat([_lengths(group.reports, self._context) for group in batch.reports]).tolist()
        sentences = int(batch.sentence_mask.sum()) * own // len(batch.visible)
        text = 2 * self._embedding * self._text[0] * (own + sentences) + sum(map(self.text_forward, lengths))
        frozen = sum(self.text_forward(length, self._frozen) for length in lengths)
        return _FORWARD_AND_BACKWARD * (image + text) - (_FORWARD_AND_BACKWARD - 1) * frozen


def _lengths(reports: ReportBatch, context: str) -> Int[Tensor, "sequences"]:
    """Tokens of each sequence that the text encoder reads."""
    masks = [reports.token_mask] if context == "report" else [group.token_mask for group in reports.unique]
    return torch.cat([mask.sum(dim=1) for mask in masks])


def _text_sizes(bert: nn.Module) -> tuple[int, int, int]:
    """Width, channels of the MLP, layers of a BERT-like model of transformers."""
    config = bert.config
    hidden = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", 4 * config.hidden_size)
    return config.hidden_size, hidden, config.num_hidden_layers
