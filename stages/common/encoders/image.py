"""The image encoder: a timm vision transformer that can encode the visible patches only.

Masking is here as well: every image shows exactly V = round((1 - r) N) of N patches, drawn anew for every sample.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import InputError, first_line
from .settings import ImageEncoderSettings
from .timm_models import VisionTransformer, create_model, is_model

# Grey images of the encoder's input size: 0..1, or bytes as stored.
Grey = Float[Tensor, "batch size size"] | UInt8[Tensor, "batch size size"]


class ImageEncoder(nn.Module):
    """Vision transformer on grey images that returns tokens of the visible patches.

    Positions are added before patches are dropped (docs/method.md). Its weights are random; `stages.pretrain.weights`
    loads pre-trained ones.
    """

    def __init__(self, settings: ImageEncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        if settings.architecture == "custom":
            self.vit = VisionTransformer(
                img_size=settings.input_size,
                in_chans=1,
                num_classes=0,
                global_pool="",
                patch_size=settings.patch_size,
                embed_dim=settings.width,
                depth=settings.depth,
                num_heads=settings.heads,
            )
        else:
            self.vit = _create(settings)
        if settings.pooling == "cls" and self.vit.cls_token is None:
            raise InputError(
                f"pretrain.model.image.pooling: cls, but {settings.architecture} has no [CLS]",
                remedy="set pooling: mean",
            )
        self.width: int = self.vit.embed_dim

    def normalise(self, images: Grey) -> Float[Tensor, "batch 1 size size"]:
        """Scale grey values to the encoder's range."""
        mean, deviation = self.settings.mean, self.settings.standard_deviation
        if images.dtype == torch.uint8:  # in one new tensor: page faults cost a processor more than the arithmetic
            return images.to(torch.float32).div_(255).sub_(mean).div_(deviation).unsqueeze(1)
        return (images - mean).div_(deviation).unsqueeze(1)

    def forward(
        self, images: Float[Tensor, "batch 1 size size"], visible: Int[Tensor, "batch visible"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return patch tokens after the last norm, without [CLS] and registers; `visible` as in `tokens`."""
        return self.patches(self.tokens(images, visible))

    def patches(self, tokens: Float[Tensor, "batch all width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the patch tokens among all tokens."""
        return tokens[:, self.vit.num_prefix_tokens :]

    def pool(self, tokens: Float[Tensor, "batch all width"]) -> Float[Tensor, "batch width"]:
        """Return the vector that is classified: [CLS] or the mean of patches, according to `pooling`."""
        return tokens[:, 0] if self.settings.pooling == "cls" else self.patches(tokens).mean(dim=1)

    def tokens(
        self, images: Float[Tensor, "batch 1 size size"], visible: Int[Tensor, "batch visible"] | None = None
    ) -> Float[Tensor, "batch all width"]:
        """Return all tokens after the last norm: [CLS] and registers, where the model has them, then patches.

        `visible` lists the patches to keep (row-major on the grid); None keeps all of them.
        """
        vit = self.vit
        tokens = vit.patch_embed(images)  # B N D
        # 1 (prefix +) N D; positions of [CLS] and registers come first, where they have any
        positions = vit.get_parameter("pos_embed")
        prefix = positions.shape[1] - tokens.shape[1]
        tokens = tokens + positions[:, prefix:]
        if visible is not None:
            batch, patches, width = tokens.shape
            # index_select on the flattened batch: its backward pass is far cheaper than that of fancy indexing.
            rows = visible + patches * torch.arange(batch, device=visible.device).unsqueeze(1)
            tokens = tokens.reshape(batch * patches, width).index_select(0, rows.flatten())
            tokens = tokens.reshape(batch, visible.shape[1], width)
        first: list[Tensor] = [token for token in (vit.cls_token, vit.reg_token) if token is not None]
        if first:
            leading = torch.cat(first, dim=1)
            leading = leading + positions[:, :prefix] if prefix else leading
            tokens = torch.cat([leading.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = vit.norm_pre(tokens)
        return vit.norm(run_blocks(vit.blocks, tokens, vit.grad_checkpointing))


def run_blocks(
    blocks: nn.Module, tokens: Float[Tensor, "batch tokens width"], recompute: bool
) -> Float[Tensor, "batch tokens width"]:
    """Return what a transformer's blocks make of `tokens`.

    With `recompute` the backward pass runs each block again from its input, which is all that is kept. timm's own
    function would save and restore the states of random generators around every block, and nothing here draws numbers.
    """
    if not recompute:
        return blocks(tokens)
    for block in blocks.children():
        tokens = checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
    return tokens


def _create(settings: ImageEncoderSettings) -> VisionTransformer:
    """Create a vision transformer by its timm name, with random weights; nothing is downloaded."""
    name = settings.architecture
    if not is_model(name):
        raise InputError(
            f"pretrain.model.image.architecture: timm has no {name!r}",
            remedy="give a name from timm.list_models('vit*')",
        )
    try:
        vit = create_model(
            name,
            img_size=settings.input_size,
            in_chans=1,
            num_classes=0,
            global_pool="",
            patch_size=settings.patch_size,
            dynamic_img_size=False,
        )
    except (TypeError, RuntimeError, AssertionError) as error:
        raise InputError(
            f"pretrain.model.image.architecture: {name!r}: {first_line(error)}",
            remedy="correct pretrain.model.image",
        ) from None
    if type(vit) is not VisionTransformer or vit.pos_embed is None:
        raise InputError(
            f"pretrain.model.image.architecture: {name!r} is a {type(vit).__name__}",
            remedy="name a VisionTransformer of timm with position embeddings: only these can leave patches out",
        )
    return vit


def patchify(images: Float[Tensor, "batch 1 size size"], patch_size: int) -> Float[Tensor, "batch patches pixels"]:
    """Cut images into patches, row-major; the pixels of a patch are row-major, too."""
    batch, _, size, _ = images.shape
    grid = size // patch_size
    cut = images.reshape(batch, grid, patch_size, grid, patch_size)  # B gy py gx px
    return cut.permute(0, 1, 3, 2, 4).reshape(batch, grid * grid, patch_size * patch_size)


def grid_of(patches: int) -> int:
    """Return the side of a square grid of patches. Raises ValueError where they form no square."""
    side = math.isqrt(patches)
    if side * side != patches:
        raise ValueError(f"{patches} patches do not form a square grid")
    return side


def visible_count(patches: int, ratio: float) -> int:
    """Return V for a mask ratio r; at least one patch stays visible."""
    return max(1, round((1 - ratio) * patches))


def draw_visible(batch: int, patches: int, ratio: float, generator: torch.Generator) -> Int[Tensor, "batch visible"]:
    """Return the indices of the visible patches, ascending; every subset of size V is equally likely."""
    noise, count = torch.rand(batch, patches, generator=generator).numpy(), visible_count(patches, ratio)
    return torch.from_numpy(np.sort(noise.argpartition(count - 1, axis=1)[:, :count], axis=1))


def visibility(visible: Int[Tensor, "batch visible"], patches: int) -> Bool[Tensor, "batch {patches}"]:
    """Return the masks m_i: True is visible, False is masked."""
    mask = torch.zeros(visible.shape[0], patches, dtype=torch.bool, device=visible.device)
    return mask.scatter_(1, visible, True)
