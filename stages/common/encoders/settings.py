"""Settings of the two encoders and of the augmentation of images.

They lie apart from the encoders, so that checking a configuration needs no torch.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from ..records import Record
from ..settings import Settings


class ImageEncoderSettings(Settings):
    """The vision transformer: architecture, starting weights, input."""

    architecture: str = Field("vit_base_patch16_224", description="timm name of a VisionTransformer, or `custom`")
    weights: str | None = Field(
        None,
        description="hub id or timm name (vit_base_patch16_224.mae), local folder, safetensors or torch file; "
        "null: initialised at random",
    )
    source: Literal["timm", "mae", "mrm", "maco", "mgca"] = Field(
        "timm",
        description="origin of the file in `weights`, which determines its tensor names "
        "(stages/pretrain/published_encoders.py)",
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean",
        exclude_if=lambda value: value == "mean",  # encoders trained before there was a choice keep their digest
        description="image feature for few-shot classification: mean of the patch tokens, or [CLS]. Our "
        "method trains the mean; a published encoder uses what its authors' code uses (published_encoders.py)",
    )
    input_size: int = Field(224, gt=0, description="side of the square input, pixels")
    patch_size: int = Field(16, gt=0, description="side of a patch, pixels")
    width: int = Field(768, gt=0, description="`custom` only: channels per token")
    depth: int = Field(12, gt=0, description="`custom` only: transformer blocks")
    heads: int = Field(12, gt=0, description="`custom` only: attention heads")
    mean: float = Field(0.4978, description="mean of grey values in 0..1; default: MIMIC-CXR, from MaCo's code")
    standard_deviation: float = Field(0.2449, gt=0, description="standard deviation of grey values in 0..1")

    @model_validator(mode="after")
    def _patches_fill_the_input(self) -> "ImageEncoderSettings":
        if self.input_size % self.patch_size:
            raise ValueError(f"input_size {self.input_size} must be a multiple of patch_size {self.patch_size}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self

    @property
    def grid(self) -> int:
        """Return the number of patches along one side."""
        return self.input_size // self.patch_size

    @property
    def patches(self) -> int:
        """Return the number of patches of an image."""
        return self.grid**2


class TextEncoderSettings(Settings):
    """The BERT: starting weights, context, token budget."""

    weights: str | None = Field(
        "emilyalsentzer/Bio_ClinicalBERT",
        description="hub id or local folder; null: a randomly initialised BERT of the sizes below",
    )
    width: int = Field(768, gt=0, description="without weights: channels per token")
    depth: int = Field(12, gt=0, description="without weights: transformer layers")
    heads: int = Field(12, gt=0, description="without weights: attention heads")
    dropout: float = Field(0.1, ge=0, lt=1, description="without weights: dropout of hidden states; attention has none")
    context: Literal["report", "sentences"] = Field(
        "report",
        description="report: one pass over the whole report; g is [CLS]. sentences: each sentence separately, the "
        "unique ones of a batch once; g is the mean of the report's sentences",
    )
    max_tokens: int = Field(256, gt=2, description="maximum tokens per report, including [CLS] and [SEP]")
    max_sentences: int = Field(16, gt=0, description="maximum sentences kept per report")


class DualEncoderSettings(Settings):
    """Both encoders, and the width of the space that they share."""

    image: ImageEncoderSettings = ImageEncoderSettings()
    text: TextEncoderSettings = TextEncoderSettings()
    embedding_width: int = Field(512, gt=0, description="E, width of the joint embedding space")
    image_bias: bool = Field(
        False,
        exclude_if=lambda value: not value,  # encoders trained before there was a choice keep their digest
        description="whether the projection of images has a bias, as in MaCo",
    )


EncoderPrecision = Literal["auto", "fp32", "tf32", "bf16"]


class EncodingSettings(Settings):
    """Base of the settings of evaluations that encode images or reports."""

    encoder_precision: EncoderPrecision = Field("auto", description="overrides the key at the top level of config.yaml")


HeatmapKind = Literal["centred", "raw"]  # less the checkpoint's mean by place, or cosines as they are


class HeatmapReading(Settings):
    """Say how the patches of an image and a sentence become a heatmap; without any key: their cosines as they are."""

    mean: Literal["none", "pretraining", "dataset"] = Field(
        "none",
        description="what is subtracted at each place: nothing; the mean over training radiographs of pre-training, "
        "which the checkpoint has; or the mean over training images of the data set (no label is read). Raw cosines "
        "have a pattern by place that all radiographs share (docs/decisions/0039)",
    )
    unit_patches: bool = Field(True, description="normalise patches to length 1; false: products, as in MaCo's code")
    integrity_temperature: float | None = Field(
        None, ge=1e-4, description="multiply by softmax(phi / this), as MaCo's code does with .02; null: do not"
    )
    smoothing: float = Field(
        0.0,
        ge=0,
        le=100,
        description="standard deviation of a Gaussian filter on the patch grid, in patches; MaCo's code: 1.5",
    )
    shifts: int = Field(
        1,
        ge=1,
        le=8,
        description="n: read the image n x n times, moved in steps of an n-th of a patch, and interleave the maps "
        "to a grid n times as fine (shift-and-stitch: Long et al., CVPR 2015, section 3.2); 1: once, as it is",
    )
    denied: float = Field(
        0.0,
        ge=0,
        le=1,
        description="subtract this share of the map of the prompts that deny the finding; sets of prompts without such "
        "prompts are not read so",
    )

    @model_validator(mode="after")
    def _mean_is_of_unit_vectors(self) -> "HeatmapReading":
        if self.mean != "none" and not self.unit_patches:
            raise ValueError("the mean is that of patches of length 1: set unit_patches: true, or mean: none")
        return self

    @model_validator(mode="after")
    def _mean_is_of_the_same_places(self) -> "HeatmapReading":
        if self.mean == "pretraining" and self.shifts > 1:
            raise ValueError("the checkpoint's mean is of images that are not shifted: set mean: dataset, or shifts: 1")
        return self


IMAGES_FOR_MEANS = 1000  # of a data set's training part, at most, for means and deviations by place
READINGS: Mapping[str, HeatmapReading] = {
    "centred": HeatmapReading(mean="pretraining"),
    "centred_on_dataset": HeatmapReading(mean="dataset"),
    "stitched": HeatmapReading(mean="dataset", shifts=2, smoothing=0.5),
    "stitched_less_denied": HeatmapReading(mean="dataset", shifts=2, smoothing=0.5, denied=0.5),
    "raw": HeatmapReading(),
}


class AugmentationSettings(Settings):
    """Strengths of the random changes of training images. There is no flip, because reports say left and right."""

    min_area: float = Field(0.6, gt=0, le=1, description="smallest share of the image area that a crop keeps")
    rotation: float = Field(0, ge=0, le=180, description="largest rotation in either direction, degrees")
    translation: float = Field(0, ge=0, lt=1, description="largest shift along each axis, as a share of the image side")
    scale: float = Field(0, ge=0, lt=1, description="largest relative change of size, in addition to the crop")
    brightness: float = Field(0.1, ge=0, description="largest shift of grey values 0..1")
    contrast: float = Field(0.2, ge=0, lt=1, description="largest relative change of contrast")


class InferenceRecord(Record):
    """Contents of inference.json: how a radiograph's file becomes the model's input, and cosines become shares.

    It lies beside a checkpoint.
    """

    size: int = Field(gt=0, description="side of the square in which radiographs are stored, pixels")
    temperature: float = Field(gt=0, description="temperature of the softmax over classes")


class EncoderRecord(Record):
    """Description of a dual encoder, enough to build it again; its weights lie beside it."""

    model: DualEncoderSettings
    vocabulary: int = Field(gt=0, description="vocabulary size of the tokenizer")
    text_configuration: dict[str, Any] = Field(description="config.json of the text encoder, in transformers' format")
