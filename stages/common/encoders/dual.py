"""The dual encoder: image and text encoders with projections into one space, saved and loaded as checkpoints.

Pre-training trains it and every evaluation loads it. Embeddings of prompts are made here as well; how patches and
prompts become a heatmap stands in stages/common/inference/heatmaps.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.initialization import no_init_weights

from ..data.paired_reports import fit_budget
from ..errors import InputError, first_line
from ..files.atomic_files import atomic_path, verify, write_sidecar, write_text
from ..records import read_record, write_record
from .image import Grey, ImageEncoder, grid_of
from .report_batches import ReportBatch, SpecialTokens, pack_reports
from .settings import DualEncoderSettings, EncoderRecord
from .text import TextEncoder, load_tokenizer


@dataclass(frozen=True)
class TextEmbeddings:
    """Unit vectors of reports and their sentences (padded sentences are zero)."""

    report: Float[Tensor, "reports embedding"]
    sentences: Float[Tensor, "reports sentences embedding"]


class DualEncoder(nn.Module):
    """ViT and BERT with one linear projection each, shared by global and local representations.

    Because the projection is linear (affine with `image_bias`), the projected mean of patches is the mean of projected
    patches.
    """

    def __init__(self, settings: DualEncoderSettings, vocabulary: int, text_configuration: dict | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.vocabulary = vocabulary
        self.image = ImageEncoder(settings.image)
        self.text = TextEncoder(settings.text, vocabulary, text_configuration)
        self.image_projection = nn.Linear(self.image.width, settings.embedding_width, bias=settings.image_bias)  # W_v
        self.text_projection = nn.Linear(self.text.width, settings.embedding_width, bias=False)  # W_t

    def embed_text(self, batch: ReportBatch) -> TextEmbeddings:
        """Return the unit vectors of reports and their sentences."""
        sentences, report = self.text(batch)
        return TextEmbeddings(self.embed_reports(report), F.normalize(self.text_projection(sentences), dim=-1))

    def embed_reports(self, vectors: Float[Tensor, "reports width"]) -> Float[Tensor, "reports embedding"]:
        """Return the reports' embeddings W_t g, normalised to length 1."""
        return F.normalize(self.text_projection(vectors), dim=-1)

    def patch_tokens(
        self, images: Grey, visible: Int[Tensor, "batch visible"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of the (visible) patches of grey images."""
        return self.image(self.image.normalise(images), visible)

    @property
    def device(self) -> torch.device:
        """Return where the weights lie."""
        return self.image_projection.weight.device

    def input_of(self, stored: UInt8[Tensor, "batch stored stored"]) -> Grey:
        """Return stored images at the encoder's input size: bytes still, if that is how they lie."""
        size = self.settings.image.input_size
        return stored if stored.shape[-1] == size else to_input(stored, size)

    def embed_global(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch embedding"]:
        """Return the images' global embeddings W_v mean_a p_a, normalised to length 1."""
        return F.normalize(self.image_projection(tokens.mean(dim=1)), dim=-1)

    def embed_patches(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens embedding"]:
        """Return the patches' embeddings W_v p_a, each normalised to length 1."""
        return F.normalize(self.image_projection(tokens), dim=-1)


def to_input(images: Tensor, size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Convert stored uint8 images to grey 0..1 at the encoder's input size (bilinear, antialiased)."""
    return resized(images.to(torch.float32).div_(255), size)


def resized(grey: Float[Tensor, "batch old old"], size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Return images at another size (bilinear, antialiased); at their own size as they are."""
    if grey.shape[-1] == size:
        return grey
    return F.interpolate(grey.unsqueeze(1), size=(size, size), mode="bilinear", antialias=True).squeeze(1)


# Tensors of a checkpoint's weights that are none of the model's.
INTEGRITY_MAP, MEAN_PATCHES = "integrity_map", "mean_patches"


def of_model(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the model alone."""
    return {name: each for name, each in weights.items() if name not in (INTEGRITY_MAP, MEAN_PATCHES)}


# A checkpoint is a folder: model.safetensors, config.json, tokenizer/tokenizer.json, each with a sha256 side-car.


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, ready for evaluation: no dropout, no gradient."""

    model: DualEncoder
    tokenizer: Tokenizer
    integrity_map: Float[Tensor, "patches"] | None  # phi, centred; None where the variant has none
    record: EncoderRecord
    mean_patches: Float[Tensor, "patches embedding"] | None = None  # over training radiographs

    @torch.inference_mode()
    def embed_sentences(self, sentences: list[str]) -> TextEmbeddings:
        """Return the embeddings of prompts, each a report of one sentence.

        Raises InputError for a prompt without word pieces.
        """
        text = self.model.settings.text
        pieces = [self.tokenizer.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
        for sentence, ids in zip(sentences, pieces, strict=True):
            if not ids:
                raise InputError(f"prompt {sentence!r} has no word pieces", remedy="write a sentence")
        reports = [fit_budget([ids], text.max_tokens, text.max_sentences)[0] for ids in pieces]
        batch = pack_reports(reports, SpecialTokens.of(self.tokenizer), text.context)
        return self.model.embed_text(batch.to(self.model.device))


def save_weights(path: Path, weights: dict[str, Tensor]) -> str:
    """Write tensors as safetensors with a side-car and return the sha256."""
    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary)
    return write_sidecar(path)


def checkpoint_record(model: DualEncoder) -> EncoderRecord:
    """Return the record from which `load_checkpoint` builds the model again."""
    return EncoderRecord(
        model=model.settings, vocabulary=model.vocabulary, text_configuration=model.text.bert.config.to_dict()
    )


def build_encoder(record: EncoderRecord) -> DualEncoder:
    """Build the model of a checkpoint's record.

    Its trained weights are loaded afterwards, so the weights that it started from are not needed.
    """
    return DualEncoder(record.model, record.vocabulary, record.text_configuration)


def save_checkpoint(folder: Path, weights: dict[str, Tensor], record: EncoderRecord, tokenizer: Path) -> None:
    """Write a checkpoint folder from weights, their record and a tokenizer folder."""
    folder = Path(folder)
    target = folder / "tokenizer" / "tokenizer.json"
    write_text(target, (Path(tokenizer) / "tokenizer.json").read_text(encoding="utf-8"))
    write_sidecar(target)
    save_weights(folder / "model.safetensors", weights)
    write_record(folder / "config.json", record)


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint:
    """Read and verify a checkpoint folder.

    Raises InputError where a file is missing or damaged, or does not fit the others.
    """
    folder = Path(folder)
    for name in ("model.safetensors", "tokenizer/tokenizer.json"):
        verify(folder / name)
    record = read_record(folder / "config.json", EncoderRecord)
    with no_init_weights():  # every tensor is read below; initialising them takes longer
        model = build_encoder(record)
    try:
        weights = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        what = f"{folder / 'model.safetensors'}: not a tensor file, or damaged ({first_line(error)})"
        raise InputError(what, remedy="export the checkpoint again") from None
    own = of_model(weights)
    _check_fit(model.state_dict(), own, folder)
    model.load_state_dict(own)
    model.requires_grad_(False)
    tokenizer = load_tokenizer(folder / "tokenizer")
    if (pieces := tokenizer.get_vocab_size()) > record.vocabulary:
        what = f"{folder / 'tokenizer/tokenizer.json'}: {pieces} word pieces, but the model has {record.vocabulary}"
        raise InputError(what, remedy="export the checkpoint again")
    return Checkpoint(model.eval().to(device), tokenizer, weights.get(INTEGRITY_MAP), record, weights.get(MEAN_PATCHES))


def _check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], folder: Path) -> None:
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [name for name in found if name in wanted and found[name].shape != wanted[name].shape]
    if missing or unexpected or misshapen:
        raise InputError(
            f"{folder}: weights do not fit the model (missing {missing[:3]}, unexpected {unexpected[:3]}, of another "
            f"shape {misshapen[:3]})",
            remedy="export the checkpoint again",
        )


@torch.inference_mode()
def mean_embeddings(
    checkpoint: Checkpoint, groups: Sequence[Sequence[str]], of: Literal["report", "sentence"] = "report"
) -> Float[Tensor, "groups embedding"]:
    """Return the normalised mean of each group's prompts; a prompt of several groups is embedded once.

    A prompt is a report of one sentence. `of` selects that report's vector, comparable with images, or that sentence's
    vector, comparable with patches.
    """
    place = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompt for group in groups for prompt in group))}
    texts = checkpoint.embed_sentences(list(place))
    embedded = texts.report if of == "report" else texts.sentences[:, 0]
    means = [embedded[[place[prompt] for prompt in group]].mean(dim=0) for group in groups]
    return F.normalize(torch.stack(means), dim=1)


def prompt_sentences(checkpoint: Checkpoint, prompts: list[str]) -> Float[Tensor, "prompts embedding"]:
    """Return unit vectors of the prompts' sentences; a prompt is a report of one sentence."""
    return checkpoint.embed_sentences(prompts).sentences[:, 0]


def to_pixels(values: Float[Tensor, "batch patches"], size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Resample values on the patch grid (row-major) bilinearly to a square image."""
    grid = grid_of(values.shape[1])
    square = values.reshape(-1, 1, grid, grid)
    return F.interpolate(square, size=(size, size), mode="bilinear", align_corners=False).squeeze(1)
