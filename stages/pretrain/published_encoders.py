"""Published image encoders: the names of tensors in their files, and the standardisation of their inputs.

Each entry says where the encoder's tensors are in the file (`prefix`; the rest of the name is timm's) and which other
tensors belong to the method. It was read from the public code that writes and loads the file, named in `reference`.

No text encoder is taken, because our joint space is one linear map of mean tokens. MGCA embeds images and reports by
perceptrons of [CLS], MaCo by a linear layer with bias and a BERT of its own vocabulary. MRM has no joint space.
"""

from dataclasses import dataclass
from typing import Literal

Pooling = Literal["mean", "cls"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean, standard deviation of R, G, B
MIMIC_GREY = ((0.4978,) * 3, (0.2449,) * 3)  # grey values 0..1 in three equal channels


@dataclass(frozen=True)
class PublishedEncoder:
    """A published image encoder.

    `normalisation` is the mean and deviation of R, G, B in 0..1, or None where the file's own configuration states it.
    `pooling` is what its authors' classification code takes of the tokens. MAE, MRM and MaCo fine-tune with the mean of
    patches (`global_pool=True`); MGCA probes [CLS] after the last norm (models/backbones/encoder.py).
    """

    name: str
    reference: str
    license: str
    prefix: str = ""
    others: tuple[str, ...] = ()  # prefixes of tensors of the method that are not part of the encoder
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    pooling: Pooling = "mean"
    architecture: str = "vit_base_patch16_224"
    patch_size: int = 16
    input_size: int = 224


_MAE_DECODER = ("decoder_", "mask_token")

SOURCES = {
    "timm": PublishedEncoder(
        "timm", "github.com/huggingface/pytorch-image-models; also ImageNet, CLIP and DINO weights", "of the model card"
    ),
    "mae": PublishedEncoder(
        "MAE",
        "He et al., CVPR 2022; github.com/facebookresearch/mae, models_mae.py",
        "CC BY-NC 4.0",
        others=_MAE_DECODER,
        normalisation=IMAGENET,
    ),
    "mrm": PublishedEncoder(
        "MRM",
        "Zhou et al., ICLR 2023; github.com/RL4M/MRM-pytorch, model_mrm.py, Siim_Segmentation/configs/_base_/datasets",
        "MIT (the code); it started from MAE's weights, which are CC BY-NC 4.0",
        others=(*_MAE_DECODER, "bert_encoder.", "bert_mlp."),
        normalisation=MIMIC_GREY,
    ),
    "maco": PublishedEncoder(
        "MaCo",
        "Huang et al., Nat. Commun. 2024; github.com/SZUHvern/MaCo, ZeroShot/model_MaCo.py, CLS-NIH_ChestX-ray",
        "MIT (the code); it started from MAE's weights, which are CC BY-NC 4.0",
        others=(*_MAE_DECODER, "bert_encoder.", "bert_mlp.", "img_mlp.", "cls_head."),
        normalisation=MIMIC_GREY,
    ),
    "mgca": PublishedEncoder(
        "MGCA-ViT",
        "Wang et al., NeurIPS 2022; github.com/HKU-MedAI/MGCA, models/mgca/mgca_module.py, datasets/transforms.py",
        "none stated",
        prefix="img_encoder_q.model.",
        others=(
            "img_encoder_q.global_embed.",
            "img_encoder_q.local_embed.",
            "text_encoder_q.",
            "patch_local_atten_layer.",
            "word_local_atten_layer.",
            "prototype_layer.",
        ),
        normalisation=((0.5,) * 3, (0.5,) * 3),
        pooling="cls",
    ),
}


def encoder_names(source: PublishedEncoder, names: list[str]) -> dict[str, str]:
    """Return name in the file -> name in timm's VisionTransformer, for the tensors of the encoder."""
    return {
        name: name.removeprefix(source.prefix)
        for name in names
        if name.startswith(source.prefix) and not name.startswith(source.others)
    }
