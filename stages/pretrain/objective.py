"""The whole objective L = L_c + lambda_l L_l + lambda_m L_m (docs/method.md), composed of its parts."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..common.encoders.augmentation import augment
from ..common.encoders.dual import INTEGRITY_MAP, DualEncoder, TextEmbeddings, resized
from ..common.encoders.image import patchify, visibility, visible_count
from .batches import TrainingBatch
from .contract import LocalSettings, PretrainSettings
from .losses import (
    MaskedImageDecoder,
    SemanticIntegrity,
    contrastive_loss,
    cross_entropy_both_ways,
    effective_rank,
    mask_false_negatives,
    reconstruction_loss,
)
from .pot import solve_by_pot
from .ranks import ALONE, Ranks
from .sinkhorn import SinkhornSettings, solve
from .transport import (
    Comparison,
    PairScorer,
    attention_scores,
    grouped_scores,
    sentence_marginal,
    transport_scores,
)

_SMALLEST_LOCAL_TEMPERATURE = 0.01


@dataclass(frozen=True)
class Losses:
    """The loss of a batch, and its diagnostics."""

    total: Float[Tensor, ""]
    diagnostics: dict[str, Tensor | float] = field(default_factory=dict)  # detached, for the journal


class Objective(nn.Module):
    """Everything that pre-training learns: encoders, integrity map, temperatures and decoder."""

    def __init__(self, settings: PretrainSettings, vocabulary: int, text_configuration: dict | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = DualEncoder(settings.model, vocabulary, text_configuration)
        image = settings.model.image
        usual = visible_count(image.patches, settings.mask_ratio)
        self.integrity = SemanticIntegrity(settings.contrastive.integrity, image.patches, usual)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.contrastive.temperature)))  # log 1 / tau
        self.log_scale_local = nn.Parameter(  # log 1 / tau_l
            torch.tensor(-math.log(settings.local.temperature)), requires_grad=settings.local.weight > 0
        )
        decoder = settings.reconstruction
        self.decoder: MaskedImageDecoder | None = None
        if decoder.weight:
            self.decoder = MaskedImageDecoder(
                self.encoder.image.width,
                image.grid,
                (settings.drawn_size // image.grid) ** 2,
                decoder.width,
                decoder.depth,
                decoder.heads,
            )

        if settings.optimisation.recompute:
            self._recompute_layers()

    def _recompute_layers(self) -> None:
        """Keep of every layer its input alone; the backward pass runs it again."""
        self.encoder.image.vit.set_grad_checkpointing()
        self.encoder.text.bert.config.use_cache = False  # of a decoder; transformers warns otherwise
        self.encoder.text.bert.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        if self.decoder is not None:
            self.decoder.recomputes = True

    def freeze_what_masks_teach(self) -> None:
        """Freeze the decoder and phi, which learn nothing where nothing is hidden.

        Without a gradient AdamW leaves them as they are: no weight decay, and no step by the moments of earlier ones.
        """
        self.integrity.phi.requires_grad_(False)
        if self.decoder is not None:
            self.decoder.requires_grad_(False)

    def forward(self, batch: TrainingBatch, ranks: Ranks = ALONE) -> Losses:
        """Return L over the global batch, the same number on every rank; see ranks.py for its gradient.

        A batch that hides nothing has no reconstruction.
        """
        settings = self.settings
        visible = batch.visible[ranks.rows(len(batch.visible))]
        images = self.augmented(batch)
        text = self.encoder.embed_text(batch.reports)
        tokens = torch.cat(self._in_micro_batches(self._tokens, images, visible))
        integrity = self.integrity(batch.visible)
        image, report = ranks.gather(self.encoder.embed_global(tokens)), ranks.gather(text.report)
        with torch.autocast(image.device.type, enabled=False):  # bf16 rounds a cosine by .004, a logit by .06
            cosine = image.float() @ report.float().T
        contrastive = contrastive_loss(cosine, self.log_scale.exp(), integrity, batch.false_negatives)
        total = contrastive.total
        diagnostics: dict[str, Tensor | float] = {
            "loss/contrastive": contrastive.total,
            "loss/contrastive_scaled": contrastive.scaled,
            "loss/contrastive_weighted": contrastive.weighted,
            "integrity/mean": integrity.mean(),
            "integrity/standard_deviation": integrity.std(),
            "effective_rank/images": effective_rank(image),
            "effective_rank/reports": effective_rank(report),
            "temperature/global": (-self.log_scale).exp(),
            "batch/accuracy": (cosine.argmax(dim=1) == torch.arange(len(cosine), device=cosine.device)).float().mean(),
            "batch/false_negatives": batch.false_negatives.float().sum(dim=1).mean(),
        }
        if self.integrity.kind != "none":
            diagnostics["integrity/phi_standard_deviation"] = self.integrity.phi.std()
        if settings.local.weight:
            local = self._local_loss(tokens, text, batch, ranks, diagnostics)
            total = total + settings.local.weight * local
        if self.decoder is not None and visible.shape[1] < settings.model.image.patches:
            loss = self._reconstruction_loss(self.decoder, tokens, images, visible, ranks)
            diagnostics["loss/reconstruction"] = loss
            total = total + settings.reconstruction.weight * loss
        diagnostics["loss/total"] = total
        return Losses(total, {key: _detached(value) for key, value in diagnostics.items()})

    def augmented(self, batch: TrainingBatch) -> Float[Tensor, "own size size"]:
        """Return this rank's images, augmented: grey 0..1, single precision.

        They have the encoder's input size or, if that is larger, the size of what is reconstructed.
        """
        with torch.autocast(batch.pixels.device.type, enabled=False):
            return augment(batch.pixels, self.settings.drawn_size, self.settings.augmentation, batch.draw)

    def _tokens(
        self, images: Float[Tensor, "batch size size"], visible: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch visible width"]:
        """Return the tokens of the visible patches of augmented images, at the encoder's input size."""
        return self.encoder.patch_tokens(resized(images, self.settings.model.image.input_size), visible)

    def _exceeds_micro_batch(self, rows: int) -> bool:
        """Return whether `rows` exceed a micro-batch, so that encoders run again in the backward pass, part by part.

        That is GradCache (Gao et al. 2021): the losses see the whole batch, while memory holds one part's activations.
        """
        size = self.settings.optimisation.micro_batch
        return size is not None and rows > size

    def _in_micro_batches(self, function: Callable[..., Tensor], *rows: Tensor) -> list[Tensor]:
        if not self._exceeds_micro_batch(len(rows[0])):
            return [function(*rows)]
        parts = zip(*(each.split(self.settings.optimisation.micro_batch) for each in rows), strict=True)
        return [checkpoint(function, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]

    def _local_loss(
        self,
        tokens: Float[Tensor, "own visible width"],
        text: TextEmbeddings,
        batch: TrainingBatch,
        ranks: Ranks,
        diagnostics: dict[str, Tensor | float],
    ) -> Float[Tensor, ""]:
        """Return L_l = 1/2 [CE_rows(S / tau_l) + CE_cols(S / tau_l)] over fixed groups of the batch."""
        local = self.settings.local
        mask = batch.sentence_mask
        weights = batch.sentence_weights if local.sentences == "idf" else mask.float()
        matched = grouped_scores(
            self.encoder.embed_patches(tokens),
            text.sentences,
            self._patch_marginal(batch.visible),
            sentence_marginal(weights, mask),
            local.group,
            _pair_scorer(local),
            ranks,
            _comparison(local, batch.compared),
        )
        scale = self.log_scale_local.exp().clamp(max=1 / _SMALLEST_LOCAL_TEMPERATURE)
        losses = []
        for rows, scores in matched.groups:
            logits = mask_false_negatives(scores * scale, batch.false_negatives[rows, rows])
            losses.append(cross_entropy_both_ways(logits) * len(logits) / len(mask))
        loss = torch.stack(losses).sum()
        diagnostics |= {"loss/local": loss, "temperature/local": 1 / scale, **matched.diagnostics}
        return loss

    def _patch_marginal(self, visible: Int[Tensor, "batch visible"]) -> Float[Tensor, "batch visible"]:
        """Return mu over the visible patches, summing to 1."""
        if self.settings.local.patches == "integrity":
            return self.integrity.phi.detach()[visible].softmax(dim=1)
        return torch.full(visible.shape, 1 / visible.shape[1], device=visible.device)

    def _reconstruction_loss(
        self,
        decoder: MaskedImageDecoder,
        tokens: Float[Tensor, "own visible width"],
        images: Float[Tensor, "own size size"],
        visible: Int[Tensor, "own visible"],
        ranks: Ranks,
    ) -> Float[Tensor, ""]:
        """Return L_m over the global batch: the mean over images, since every image hides equally many patches."""
        image = self.settings.model.image

        def share_of_loss(tokens: Tensor, images: Tensor, visible: Tensor) -> Tensor:
            target = patchify(self.encoder.image.normalise(images), images.shape[-1] // image.grid)
            predicted = decoder(tokens, visible).float()
            shown = visibility(visible, image.patches)
            loss = reconstruction_loss(predicted, target, shown, self.settings.reconstruction.normalise)
            return loss * (len(images) / rows)

        rows = len(images)
        own = torch.stack(self._in_micro_batches(share_of_loss, tokens, images, visible)).sum()
        return ranks.gather(own.unsqueeze(0)).mean()

    def exported_weights(self) -> dict[str, Tensor]:
        """Return what evaluation needs: the encoders with their projections, and the centred integrity map."""
        weights = dict(self.encoder.state_dict())
        if self.integrity.kind != "none":
            weights[INTEGRITY_MAP] = self.integrity.centred_map()
        return weights


def _pair_scorer(local: LocalSettings) -> PairScorer:
    if local.score == "attention":
        return partial(
            attention_scores,
            attention_temperature=local.attention_temperature,
            sentence_temperature=local.sentence_temperature,
        )
    solver = solve_by_pot if local.solver == "pot" else solve
    return partial(transport_scores, settings=_solver_settings(local), kind=local.score, solver=solver)


def _solver_settings(local: LocalSettings) -> SinkhornSettings:
    # costs are 1 - cosine
    return SinkhornSettings(local.epsilon, local.patch_strength, local.tolerance, local.max_iterations, cost_range=2.0)


def _comparison(local: LocalSettings, pair: tuple[int, int] | None) -> Comparison | None:
    """Return what to compare with POT at this step, or None.

    Attention has no transport, and POT need not be compared with itself.
    """
    if pair is None or local.score == "attention" or local.solver == "pot" or not local.suits_pot:
        return None
    return Comparison(*pair, _solver_settings(local))


def _detached(value: Tensor | float) -> Tensor | float:
    return value.detach() if isinstance(value, Tensor) else value
