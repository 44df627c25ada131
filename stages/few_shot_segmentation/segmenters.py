"""The segmenters, SETR-PUP and UPerNet, on a pre-trained encoder, and their losses.

Protocol `linear` trains a SETR-PUP decoder on the frozen encoder. SETR with progressive upsampling (Zheng et al., CVPR
2021) has stages of convolution, batch norm, ReLU and doubling, then one map of logits. As in MGCA's code (Wang et al.,
NeurIPS 2022) a linear layer precedes the first stage.

Protocol `finetune` trains the encoder and UPerNet together. UPerNet (Xiao et al., ECCV 2018) works on four scales of a
plain ViT, as in MRM (Zhou et al., ICLR 2023) and MaCo (Huang et al., Nat. Commun. 2024). Tokens of four blocks are
resampled to 4, 2, 1 and 1/2 times the patch grid, as in BEiT. An FCN head is attached to the third, and the learning
rate decreases from block to block towards the input. The heads are those of transformers.

Protocol `benchx` trains the same UPerNet on the frozen encoder by cross-entropy, as BenchX (Zhou et al., NeurIPS 2024).

Differences from the authors' code are listed in contract.py, ALWAYS_DIFFERENT, and beside the figures.
"""

from ..common.encoders import torchvision_operators  # noqa: F401, I001  (before timm and transformers)
import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss
from transformers import UperNetConfig
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from ..common.encoders.image import ImageEncoder
from ..common.encoders.timm_models import checkpoint_filter_fn
from ..common.errors import InputError
from .contract import BenchxJobSettings, FinetuneJobSettings, LinearJobSettings, UperNetSettings


Tokens = list[Float[Tensor, "batch width grid grid"]]  # what a decoder reads of the encoder, by level
Logits = Float[Tensor, "batch size size"]
Masks = Float[Tensor, "batch size size"]  # 1 finding, 0 not


class Segmenter(nn.Module):
    """Model of a protocol: an encoder of grey images 0..1 and a decoder to logits of the finding per pixel."""

    encoder: ImageEncoder
    decoder: nn.Module

    def forward(self, images: Float[Tensor, "batch size size"]) -> Logits:
        """Return the logits of grey images 0..1."""
        return self.decode(self.encode(images), images.shape[-1])

    def loss(self, images: Float[Tensor, "batch size size"], masks: Masks) -> Tensor:
        """Return the loss of a batch."""
        return self.loss_of_tokens(self.encode(images), masks)

    def encode(self, images: Float[Tensor, "batch size size"]) -> Tokens:
        """Return the tokens of four blocks."""
        return level_tokens(self.encoder, images)

    def decode(self, tokens: Tokens, size: int) -> Logits:
        """Return the logits of square images of `size` pixels."""
        return self.decoder(tokens, size)

    @abstractmethod
    def loss_of_tokens(self, tokens: Tokens, masks: Masks) -> Tensor:
        """Return the loss of a batch, an auxiliary head's included."""

    @abstractmethod
    def optimiser(self) -> torch.optim.Optimizer:
        """Return the optimiser of the trained weights, each group with its own peak learning rate."""

    @abstractmethod
    def trained(self) -> nn.Module:
        """Return the part whose weights change, which is what must be kept of a training."""


def encoder_for(encoder: ImageEncoder, size: int) -> ImageEncoder:
    """Copy the encoder for square inputs of `size` pixels: positions are resampled (bicubic), other weights kept.

    Raises InputError where `size` is not a multiple of the patch size: UPerNet halves a grid of two patches or more.
    """
    settings = encoder.settings
    if size % settings.patch_size or size == settings.patch_size:
        raise InputError(
            f"few_shot_segmentation: input_size {size} is not a multiple of the encoder's patch_size, "
            f"{settings.patch_size} pixels, beyond itself",
            remedy="set it to a multiple, of two patches or more",
        )
    resized = ImageEncoder(settings.model_copy(update={"input_size": size}))
    state = {name: tensor.detach().cpu().clone() for name, tensor in encoder.vit.state_dict().items()}
    if size != settings.input_size:
        state = checkpoint_filter_fn(state, resized.vit)
    resized.vit.load_state_dict(state)
    return resized.to(next(encoder.parameters()).device)


def last_tokens(
    encoder: ImageEncoder, images: Float[Tensor, "batch size size"]
) -> Float[Tensor, "batch width grid grid"]:
    """Return the patch tokens after the last norm, on their grid, of grey images 0..1."""
    tokens = encoder(encoder.normalise(images))  # B N D
    grid = encoder.settings.grid
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


def levels_of(depth: int) -> list[int]:
    """Return the 1-based blocks whose tokens are used, at 1/3, 1/2, 2/3 and all of the depth: 4, 6, 8, 12 of 12."""
    return [math.ceil(depth * share) for share in (1 / 3, 1 / 2, 2 / 3, 1)]


def level_tokens(encoder: ImageEncoder, images: Float[Tensor, "batch size size"]) -> Tokens:
    """Return the patch tokens after the blocks of `levels_of`, before any norm, of grey images 0..1."""
    blocks = [level - 1 for level in levels_of(len(encoder.vit.blocks))]
    taken = sorted(set(blocks))  # a shallow encoder has some of them twice
    tokens = encoder.vit.forward_intermediates(
        encoder.normalise(images), indices=taken, norm=False, intermediates_only=True
    )
    assert isinstance(tokens, list)  # because of `intermediates_only`
    return [tokens[taken.index(block)] for block in blocks]


_SMOOTH = 1.0  # pixels added to both sides of the fraction, so that an empty mask has a gradient
_GAMMA = 2.0  # Lin et al., ICCV 2017


def linear_loss(logits: Logits, masks: Masks, focal_weight: float) -> Float[Tensor, ""]:
    """Return w focal - log D, with D the soft Dice of all pixels of the batch, as in GLoRIA's and MGCA's code.

    focal: mean over pixels of (1 - p_t)^2 (-log p_t). D = (2 sum p y + 1) / (sum p + sum y + 1).
    """
    focal = sigmoid_focal_loss(logits, masks, alpha=-1, gamma=_GAMMA, reduction="mean")
    probabilities = logits.sigmoid()
    dice = (2 * (probabilities * masks).sum() + _SMOOTH) / (probabilities.sum() + masks.sum() + _SMOOTH)
    return focal_weight * focal - torch.log(dice)


def finetuning_loss(logits: Logits, masks: Masks, focal_weight: float) -> Float[Tensor, ""]:
    """Return w focal + (1 - mean D_i), D_i = (2 sum p y + 1) / (sum p^2 + sum y^2 + 1), as in MRM and MaCo.

    The focal loss is the one of `linear_loss` times 1/2, which weighs both classes alike (alpha of Lin et al.).
    """
    focal = sigmoid_focal_loss(logits, masks, alpha=0.5, gamma=_GAMMA, reduction="mean")
    probabilities, masks = logits.sigmoid().flatten(1), masks.flatten(1)
    squares = (probabilities**2).sum(dim=1) + (masks**2).sum(dim=1)
    dice = (2 * (probabilities * masks).sum(dim=1) + _SMOOTH) / (squares + _SMOOTH)
    return focal_weight * focal + 1 - dice.mean()


def resize_logits(logits: Float[Tensor, "batch 1 rows columns"], size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Resample logits bilinearly to the size of the masks."""
    if logits.shape[-2:] != (size, size):
        logits = F.interpolate(logits, size=(size, size), mode="bilinear")
    return logits.squeeze(1)


def progressive_upsampling(width: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Build the decoder from tokens [batch width g g] to logits [batch 1 g*2^n g*2^n], of n stages."""
    layers: list[nn.Module] = [nn.Conv2d(width, width, 1)]
    for before, after in zip((width, *widths), widths, strict=False):
        layers += [
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"),
        ]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))


class FrozenSegmenter(Segmenter):
    """A decoder on a frozen encoder, which has no gradient and whose norms and dropout stay in evaluation mode."""

    def __init__(
        self, encoder: ImageEncoder, decoder: nn.Module, settings: LinearJobSettings | BenchxJobSettings
    ) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.decoder = decoder
        self._rate, self._decay = settings.learning_rate, settings.weight_decay

    def train(self, mode: bool = True) -> "FrozenSegmenter":
        """Set the decoder's mode; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def optimiser(self) -> torch.optim.Optimizer:
        """Return AdamW over the decoder's weights."""
        return torch.optim.AdamW(self.decoder.parameters(), self._rate, weight_decay=self._decay)

    def trained(self) -> nn.Module:
        """Return the decoder."""
        return self.decoder


class SetrSegmenter(FrozenSegmenter):
    """SETR-PUP on a frozen encoder."""

    def __init__(self, encoder: ImageEncoder, settings: LinearJobSettings) -> None:
        super().__init__(encoder, progressive_upsampling(encoder.width, settings.decoder_widths), settings)
        self._focal_weight = settings.focal_weight

    def encode(self, images: Float[Tensor, "batch size size"]) -> Tokens:
        """Return the tokens after the last norm."""
        return [last_tokens(self.encoder, images)]

    def decode(self, tokens: Tokens, size: int) -> Logits:
        """Return the logits of square images of `size` pixels."""
        return resize_logits(self.decoder(tokens[0]), size)

    def loss_of_tokens(self, tokens: Tokens, masks: Masks) -> Tensor:
        """Return focal loss and Dice of the batch."""
        return linear_loss(self.decode(tokens, masks.shape[-1]).float(), masks, self._focal_weight)


_AUXILIARY_LEVEL = 2  # at the resolution of the patch grid


def feature_pyramid(width: int) -> nn.ModuleList:
    """Return one module per level: 4 times, 2 times, once and half the resolution."""

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


class UperNet(nn.Module):
    """Feature pyramid, UPerNet, and the auxiliary head that only training uses."""

    def __init__(self, width: int, settings: UperNetSettings) -> None:
        super().__init__()
        self.pyramid = feature_pyramid(width)
        widths = [width] * len(self.pyramid)
        shape = UperNetConfig(hidden_size=settings.decoder_width, auxiliary_channels=settings.auxiliary_width)
        shape.num_labels = 1
        self.head = UperNetHead(shape, widths)
        self.auxiliary = UperNetFCNHead(shape, widths, in_index=_AUXILIARY_LEVEL)
        self._auxiliary_weight = settings.auxiliary_weight

    def forward(self, tokens: Tokens, size: int) -> Logits:
        """Return the logits of square images of `size` pixels from the tokens of `level_tokens`."""
        return resize_logits(self.head(self._levels(tokens)), size)

    def loss(self, tokens: Tokens, masks: Masks, criterion: Callable[[Logits, Masks], Tensor]) -> Tensor:
        """Return the `criterion` of the head plus the weighted one of the auxiliary head."""
        levels = self._levels(tokens)
        each = [
            criterion(resize_logits(head(levels), masks.shape[-1]).float(), masks)
            for head in (self.head, self.auxiliary)
        ]
        return each[0] + self._auxiliary_weight * each[1]

    def _levels(self, tokens: Tokens) -> list[Tensor]:
        return [rescale(level) for rescale, level in zip(self.pyramid, tokens, strict=True)]


class UperNetSegmenter(Segmenter):
    """UPerNet and an encoder that is trained with it."""

    decoder: UperNet

    def __init__(self, encoder: ImageEncoder, settings: FinetuneJobSettings) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(True)
        self.decoder = UperNet(encoder.width, settings)
        self._settings = settings

    def loss_of_tokens(self, tokens: Tokens, masks: Masks) -> Tensor:
        """Return the loss of a batch, the auxiliary head's included."""
        criterion = partial(finetuning_loss, focal_weight=self._settings.focal_weight)
        return self.decoder.loss(tokens, masks, criterion)

    def optimiser(self) -> torch.optim.Optimizer:
        """Return AdamW with a learning rate per block.

        Block k of K learns at layer_decay^(K - k + 1) of the rate, patches and positions one step further down.
        """
        settings, vit = self._settings, self.encoder.vit
        groups = param_groups_layer_decay(
            vit, settings.weight_decay, vit.no_weight_decay(), layer_decay=settings.layer_decay
        )
        for group in groups:  # timm's scale is 1 for the last block; the heads lie one above it
            group["lr"] = settings.learning_rate * settings.layer_decay * group.pop("lr_scale")
        heads = list(self.decoder.parameters())
        groups += [
            {"params": [each for each in heads if each.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [each for each in heads if each.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=settings.learning_rate)

    def trained(self) -> nn.Module:
        """Return the whole segmenter."""
        return self


class FrozenUperNetSegmenter(FrozenSegmenter):
    """UPerNet on a frozen encoder; the loss is the cross-entropy of the pixels."""

    decoder: UperNet

    def __init__(self, encoder: ImageEncoder, settings: BenchxJobSettings) -> None:
        super().__init__(encoder, UperNet(encoder.width, settings), settings)

    def loss_of_tokens(self, tokens: Tokens, masks: Masks) -> Tensor:
        """Return the loss of a batch, the auxiliary head's included."""
        return self.decoder.loss(tokens, masks, F.binary_cross_entropy_with_logits)
