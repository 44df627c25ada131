"""The two encoders with their projections: what pre-training trains and every evaluation loads."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)
from transformers.initialization import no_init_weights

from stages.common.atomic_files import atomic_path, read_json, verify, write_record, write_sidecar, write_text
from stages.common.encoder_settings import DualEncoderSettings
from stages.common.errors import InputError
from stages.common.image_encoder import ImageEncoder
from stages.common.report_batches import ReportBatch, SpecialTokens, fit_budget, load_tokenizer, pad_reports
from stages.common.text_encoder import TextEncoder


@dataclass(frozen=True)
class TextEmbeddings:
    """Unit vectors of reports and their sentences (padded sentences are zero)."""

    report: Float[Tensor, "reports embedding"]
    sentences: Float[Tensor, "reports sentences embedding"]


class DualEncoder(nn.Module):
    """ViT and BERT with one linear projection each, shared by global and local representations.

    Because the projection is linear, the projected mean of patches is the mean of projected patches.
    """

    def __init__(self, settings: DualEncoderSettings, vocabulary: int, text_configuration: dict | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.vocabulary = vocabulary
        self.image = ImageEncoder(settings.image)
        self.text = TextEncoder(settings.text, vocabulary, text_configuration)
        self.image_projection = nn.Linear(self.image.width, settings.embedding_width, bias=False)  # W_v
        self.text_projection = nn.Linear(self.text.width, settings.embedding_width, bias=False)  # W_t

    def embed_text(self, batch: ReportBatch) -> TextEmbeddings:
        sentences, report = self.text(batch)
        return TextEmbeddings(
            report=F.normalize(self.text_projection(report), dim=-1),
            sentences=F.normalize(self.text_projection(sentences), dim=-1),
        )

    def patch_tokens(
        self, images: Float[Tensor, "batch size size"], visible: Int[Tensor, "batch visible"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Tokens of (visible) patches of grey images 0..1."""
        return self.image(self.image.normalise(images), visible)

    def embed_global(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch embedding"]:
        """W_v mean_a p_a, length 1."""
        return F.normalize(self.image_projection(tokens.mean(dim=1)), dim=-1)

    def embed_patches(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens embedding"]:
        """W_v p_a, length 1 each."""
        return F.normalize(self.image_projection(tokens), dim=-1)


def to_input(images: Tensor, size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Stored uint8 images to grey 0..1 at the encoder's input size (bilinear, antialiased)."""
    grey = images.to(torch.float32).unsqueeze(1) / 255
    if grey.shape[-1] != size:
        grey = F.interpolate(grey, size=(size, size), mode="bilinear", antialias=True)
    return grey.squeeze(1)


# A checkpoint is a folder: model.safetensors, config.json, tokenizer/tokenizer.json, each with a sha256 side-car.


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, ready for evaluation: no dropout, no gradient."""

    model: DualEncoder
    tokenizer: Tokenizer
    integrity_map: Float[Tensor, "patches"] | None  # phi, centred; None where the variant has none
    record: dict

    @torch.inference_mode()
    def embed_sentences(self, sentences: list[str]) -> TextEmbeddings:
        """Each text as a report of one sentence (prompts)."""
        text = self.model.settings.text
        pieces = [self.tokenizer.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
        for sentence, ids in zip(sentences, pieces, strict=True):
            if not ids:
                raise InputError(f"prompt {sentence!r} has no word pieces; write a sentence")
        reports = [fit_budget([ids], text.max_tokens, text.max_sentences)[0] for ids in pieces]
        device = next(self.model.parameters()).device
        return self.model.embed_text(pad_reports(reports, SpecialTokens.of(self.tokenizer)).to(device))


def save_weights(path: Path, weights: dict[str, Tensor]) -> str:
    """Tensors as safetensors with a side-car; returns the sha256."""
    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary)
    return write_sidecar(path)


def checkpoint_record(model: DualEncoder) -> dict:
    """What `load_checkpoint` needs to build the model again."""
    return {
        "model": model.settings.model_dump(mode="json"),
        "vocabulary": model.vocabulary,
        "text_configuration": model.text.bert.config.to_dict(),
    }


def build_encoder(record: dict) -> DualEncoder:
    """The model of a `checkpoint_record`; its weights follow, so those that it once started from are not needed."""
    settings = DualEncoderSettings.model_validate(record["model"])
    return DualEncoder(settings, record["vocabulary"], record["text_configuration"])


def save_checkpoint(folder: Path, weights: dict[str, Tensor], record: dict, tokenizer: Path) -> None:
    """Write a checkpoint folder from weights, `checkpoint_record` (and provenance) and a tokenizer folder."""
    folder = Path(folder)
    target = folder / "tokenizer" / "tokenizer.json"
    write_text(target, (Path(tokenizer) / "tokenizer.json").read_text(encoding="utf-8"))
    write_sidecar(target)
    save_weights(folder / "model.safetensors", weights)
    write_record(folder / "config.json", record)


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint:
    """Read and verify a checkpoint folder; unexpected or missing tensors are errors."""
    folder = Path(folder)
    for name in ("model.safetensors", "config.json", "tokenizer/tokenizer.json"):
        verify(folder / name)
    record = read_json(folder / "config.json")
    with no_init_weights():  # every tensor is read below; drawing them takes longer
        model = build_encoder(record)
    weights = load_file(folder / "model.safetensors")
    integrity_map = weights.pop("integrity_map", None)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise InputError(f"{folder}: weights do not fit the model (missing {missing[:3]}, unexpected {unexpected[:3]})")
    model.requires_grad_(False)
    return Checkpoint(model.eval().to(device), load_tokenizer(folder / "tokenizer"), integrity_map, record)
