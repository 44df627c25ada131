"""The whole objective L = L_c + lambda_l L_l + lambda_m L_m (design section 2), composed of its parts."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stages.common.dual_encoder import DualEncoder, TextEmbeddings
from stages.common.image_encoder import patchify
from stages.common.report_batches import ReportBatch
from stages.pretrain.contrastive import contrastive_loss, cross_entropy_both_ways, mask_false_negatives
from stages.pretrain.integrity import SemanticIntegrity
from stages.pretrain.masking import visibility
from stages.pretrain.reconstruction import MaskedImageDecoder, reconstruction_loss
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.sinkhorn import SinkhornSettings
from stages.pretrain.transport import sentence_marginal, transport_scores

_SMALLEST_LOCAL_TEMPERATURE = 0.01


@dataclass(frozen=True)
class TrainingBatch:
    images: Float[Tensor, "batch size size"]  # grey 0..1, augmented
    visible: Int[Tensor, "batch visible"]  # patches that the encoder sees
    reports: ReportBatch
    sentence_weights: Float[Tensor, "batch sentences"]  # idf; 0 for padding
    false_negatives: Bool[Tensor, "batch batch"]  # True: i and j are no true negatives; False on the diagonal


@dataclass(frozen=True)
class Losses:
    total: Float[Tensor, ""]
    diagnostics: dict[str, Tensor | float] = field(default_factory=dict)  # detached, for the journal


class Objective(nn.Module):
    """Encoders, integrity map, temperatures and decoder: everything that pre-training learns."""

    def __init__(self, settings: PretrainSettings, vocabulary: int) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = DualEncoder(settings.model, vocabulary)
        image = settings.model.image
        self.integrity = SemanticIntegrity(settings.contrastive.integrity, image.patches)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.contrastive.temperature)))  # log 1 / tau
        self.log_scale_local = nn.Parameter(torch.tensor(-math.log(settings.local.temperature)))  # log 1 / tau_l
        decoder = settings.reconstruction
        self.decoder = None
        if decoder.weight:
            self.decoder = MaskedImageDecoder(
                self.encoder.image.width, image.grid, image.patch_size**2, decoder.width, decoder.depth, decoder.heads
            )

    def forward(self, batch: TrainingBatch) -> Losses:
        settings = self.settings
        text = self.encoder.embed_text(batch.reports)
        tokens = self.encoder.patch_tokens(batch.images, batch.visible)
        integrity = self.integrity(batch.visible)
        cosine = self.encoder.embed_global(tokens) @ text.report.T
        contrastive = contrastive_loss(cosine.float(), self.log_scale.exp(), integrity, batch.false_negatives)
        total = contrastive.total
        diagnostics: dict[str, Tensor | float] = {
            "loss/contrastive": contrastive.total,
            "loss/contrastive_scaled": contrastive.scaled,
            "loss/contrastive_weighted": contrastive.weighted,
            "integrity/mean": integrity.mean(),
            "integrity/standard_deviation": integrity.std(),
            "temperature/global": (-self.log_scale).exp(),
            "batch/accuracy": (cosine.argmax(dim=1) == torch.arange(len(cosine), device=cosine.device)).float().mean(),
            "batch/false_negatives": batch.false_negatives.float().sum(dim=1).mean(),
        }
        if settings.local.weight:
            local = self._local_loss(tokens, text, batch, diagnostics)
            total = total + settings.local.weight * local
        if self.decoder is not None:
            loss = self._reconstruction_loss(tokens, batch)
            diagnostics["loss/reconstruction"] = loss
            total = total + settings.reconstruction.weight * loss
        diagnostics["loss/total"] = total
        return Losses(total, {key: _detached(value) for key, value in diagnostics.items()})

    def _local_loss(
        self, tokens: Tensor, text: TextEmbeddings, batch: TrainingBatch, diagnostics: dict[str, Tensor | float]
    ) -> Float[Tensor, ""]:
        """L_l = 1/2 [CE_rows(S / tau_l) + CE_cols(S / tau_l)] over fixed groups of the batch."""
        local = self.settings.local
        patches = self.encoder.embed_patches(tokens)
        mask = batch.reports.sentence_mask
        weights = batch.sentence_weights if local.sentences == "idf" else mask.float()
        nu = sentence_marginal(weights, mask)
        mu = self._patch_marginal(batch.visible)
        scale = self.log_scale_local.exp().clamp(max=1 / _SMALLEST_LOCAL_TEMPERATURE)
        solver = SinkhornSettings(local.epsilon, local.patch_strength, local.tolerance, local.max_iterations)
        losses = []
        for first in range(0, len(patches), local.group):
            rows = slice(first, first + local.group)
            matched = transport_scores(patches[rows], text.sentences[rows], mu[rows], nu[rows], solver, local.score)
            logits = mask_false_negatives(matched.scores * scale, batch.false_negatives[rows, rows])
            losses.append(cross_entropy_both_ways(logits) * len(logits) / len(patches))
        loss = torch.stack(losses).sum()
        diagnostics |= {
            "loss/local": loss,
            "temperature/local": 1 / scale,
            "transport/iterations": float(matched.iterations),
            "transport/marginal_error": matched.error,
            "transport/plan_entropy": matched.entropy,
            "transport/gain_over_mean_cosine": matched.gain,
            "transport/peak_share": matched.peak_share,
        }
        return loss

    def _patch_marginal(self, visible: Int[Tensor, "batch visible"]) -> Float[Tensor, "batch visible"]:
        """mu over the visible patches, summing to 1."""
        if self.settings.local.patches == "integrity":
            return self.integrity.phi.detach()[visible].softmax(dim=1)
        return torch.full(visible.shape, 1 / visible.shape[1], device=visible.device)

    def _reconstruction_loss(self, tokens: Tensor, batch: TrainingBatch) -> Float[Tensor, ""]:
        image = self.settings.model.image
        target = patchify(self.encoder.image.normalise(batch.images), image.patch_size)
        predicted = self.decoder(tokens, batch.visible)
        shown = visibility(batch.visible, image.patches)
        return reconstruction_loss(predicted.float(), target, shown, self.settings.reconstruction.normalise)

    def exported_weights(self) -> dict[str, Tensor]:
        """What evaluation needs: the encoders with their projections, and the centred integrity map."""
        weights = dict(self.encoder.state_dict())
        if self.integrity.kind != "none":
            weights["integrity_map"] = self.integrity.centred_map()
        return weights


def _detached(value: Tensor | float) -> Tensor | float:
    return value.detach() if isinstance(value, Tensor) else value
