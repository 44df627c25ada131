"""The pre-trained encoder as a segmenter needs it: at another input size, with tokens laid out on their grid."""

import math

from jaxtyping import Float
from torch import Tensor

from stages.common.errors import InputError
from stages.common.image_encoder import ImageEncoder
from stages.common.timm_models import checkpoint_filter_fn


def encoder_for(encoder: ImageEncoder, size: int) -> ImageEncoder:
    """A copy for square inputs of `size` pixels: positions are resampled (bicubic), every other weight is the same."""
    settings = encoder.settings
    if size % settings.patch_size:
        raise InputError(
            f"few_shot_segmentation: input_size {size} is no multiple of the encoder's patch of {settings.patch_size} "
            "pixels; give one that is"
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
    """Patch tokens after the last norm, of grey images 0..1."""
    tokens = encoder(encoder.normalise(images))  # B N D
    grid = encoder.settings.grid
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


def levels_of(depth: int) -> list[int]:
    """Blocks (1-based) whose tokens are taken, at a third, half, two thirds and all of the depth: 4, 6, 8, 12 of 12."""
    return [math.ceil(depth * share) for share in (1 / 3, 1 / 2, 2 / 3, 1)]


def level_tokens(
    encoder: ImageEncoder, images: Float[Tensor, "batch size size"]
) -> list[Float[Tensor, "batch width grid grid"]]:
    """Patch tokens after the blocks of `levels_of`, before any norm, of grey images 0..1."""
    blocks = [level - 1 for level in levels_of(len(encoder.vit.blocks))]
    taken = sorted(set(blocks))  # a shallow encoder gives some of them twice
    tokens = encoder.vit.forward_intermediates(
        encoder.normalise(images), indices=taken, norm=False, intermediates_only=True
    )
    return [tokens[taken.index(block)] for block in blocks]
