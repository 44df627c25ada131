"""Protocol `linear`: a SETR-PUP decoder on the frozen encoder.

SETR with progressive upsampling (Zheng et al., CVPR 2021): stages of convolution, batch norm, ReLU and doubling, then
one map of logits. As in MGCA's code (Wang et al., NeurIPS 2022) a linear layer comes before the first stage.
What differs from it stands in settings.py, ALWAYS_DIFFERENT, and beside the figures.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stages.common.image_encoder import ImageEncoder
from stages.few_shot_segmentation.encoder import last_tokens
from stages.few_shot_segmentation.losses import Logits, linear_loss, resize_logits
from stages.few_shot_segmentation.segmenter import Segmenter
from stages.few_shot_segmentation.settings import LinearJobSettings


def progressive_upsampling(width: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Tokens [batch width g g] -> logits [batch 1 g*2^n g*2^n], n stages."""
    layers: list[nn.Module] = [nn.Conv2d(width, width, 1)]
    for before, after in zip((width, *widths), widths, strict=False):
        layers += [
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"),
        ]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))


class SetrSegmenter(Segmenter):
    """The encoder never changes: it has no gradient, and its norms and dropout are those of evaluation."""

    def __init__(self, encoder: ImageEncoder, settings: LinearJobSettings) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.decoder = progressive_upsampling(encoder.width, settings.decoder_widths)
        self._settings = settings

    def train(self, mode: bool = True) -> "SetrSegmenter":
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Float[Tensor, "batch size size"]) -> Logits:
        with torch.no_grad():
            tokens = last_tokens(self.encoder, images)
        return resize_logits(self.decoder(tokens), images.shape[-1])

    def loss(self, images: Float[Tensor, "batch size size"], masks: Float[Tensor, "batch size size"]) -> Tensor:
        return linear_loss(self(images).float(), masks, self._settings.focal_weight)

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.decoder.parameters(), lr=self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )

    def trained(self) -> nn.Module:
        return self.decoder
