"""Protocol `finetune`: the encoder and UPerNet trained together.

UPerNet (Xiao et al., ECCV 2018) on four scales of a plain ViT, as MRM (Zhou et al., ICLR 2023) and MaCo (Huang et al.,
Nat. Commun. 2024) have it: tokens after four blocks, resampled to 4, 2, 1 and 1/2 times the patch grid (as BEiT does),
an FCN head on the third beside it, and a learning rate that falls from block to block towards the input. The heads are
those of transformers. What differs from their code stands in settings.py, ALWAYS_DIFFERENT, and beside the figures.
"""

import stages.common.torchvision_operators  # noqa: F401, I001  (before timm and transformers)
import torch
from jaxtyping import Float
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from transformers import UperNetConfig
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from stages.common.image_encoder import ImageEncoder
from stages.few_shot_segmentation.encoder import level_tokens
from stages.few_shot_segmentation.losses import Logits, finetuning_loss, resize_logits
from stages.few_shot_segmentation.segmenter import Segmenter
from stages.few_shot_segmentation.settings import FinetuneJobSettings

_AUXILIARY_LEVEL = 2  # at the resolution of the patch grid


def feature_pyramid(width: int) -> nn.ModuleList:
    """One module a level: 4 times, 2 times, once and half the resolution."""

    def double() -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)

    return nn.ModuleList(
        [
            nn.Sequential(double(), nn.BatchNorm2d(width), nn.GELU(), double()),
            double(),
            nn.Identity(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        ]
    )


class UperNetSegmenter(Segmenter):
    """Encoder, feature pyramid, UPerNet, and the auxiliary head that training alone uses."""

    def __init__(self, encoder: ImageEncoder, settings: FinetuneJobSettings) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(True)
        self.pyramid = feature_pyramid(encoder.width)
        widths = [encoder.width] * len(self.pyramid)
        shape = UperNetConfig(
            hidden_size=settings.decoder_width, auxiliary_channels=settings.auxiliary_width, num_labels=1
        )
        self.head = UperNetHead(shape, widths)
        self.auxiliary = UperNetFCNHead(shape, widths, in_index=_AUXILIARY_LEVEL)
        self._settings = settings

    def forward(self, images: Float[Tensor, "batch size size"]) -> Logits:
        return resize_logits(self.head(self._features(images)), images.shape[-1])

    def loss(self, images: Float[Tensor, "batch size size"], masks: Float[Tensor, "batch size size"]) -> Tensor:
        features, weight = self._features(images), self._settings.focal_weight
        each = [
            finetuning_loss(resize_logits(head(features), images.shape[-1]).float(), masks, weight)
            for head in (self.head, self.auxiliary)
        ]
        return each[0] + self._settings.auxiliary_weight * each[1]

    def _features(self, images: Float[Tensor, "batch size size"]) -> list[Tensor]:
        tokens = level_tokens(self.encoder, images)
        return [rescale(level) for rescale, level in zip(self.pyramid, tokens, strict=True)]

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW; block k of K learns at layer_decay^(K - k + 1) of the rate, patches and positions one further down."""
        settings, vit = self._settings, self.encoder.vit
        groups = param_groups_layer_decay(
            vit, settings.weight_decay, vit.no_weight_decay(), layer_decay=settings.layer_decay
        )
        for group in groups:  # timm's scale is 1 for the last block; the heads lie one above it
            group["lr"] = settings.learning_rate * settings.layer_decay * group.pop("lr_scale")
        heads = [parameter for name, parameter in self.named_parameters() if not name.startswith("encoder.")]
        groups += [
            {"params": [each for each in heads if each.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [each for each in heads if each.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=settings.learning_rate)

    def trained(self) -> nn.Module:
        return self
