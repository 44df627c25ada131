"""Scores of every candidate on validation pairs, and where asked for on validation labels; none on test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor

from stages.common.atomic_files import verify
from stages.common.digests import seed_from
from stages.common.dual_encoder import DualEncoder, build_encoder, to_input
from stages.common.image_store import ImageStore
from stages.common.paired_reports import PairedReports, Study
from stages.common.report_batches import ReportBatch, SpecialTokens, pad_reports
from stages.pretrain.masking import draw_visible
from stages.select_checkpoint.pair_scores import contrastive_losses, rank_scores
from stages.select_checkpoint.settings import SelectCheckpointSettings
from stages.select_checkpoint.validation_labels import PromptAuc, ValidationLabels


@dataclass(frozen=True)
class ScoredCandidate:
    step: int
    path: Path
    by_study: dict[str, Float[np.ndarray, "studies"]]  # what each study contributes; the score is their mean
    labelled: PromptAuc | None = None
    temperature: float | None = None  # of the contrastive loss

    def score(self, criterion: str, weights: Float[np.ndarray, "draws units"] | None = None) -> np.ndarray:
        """The criterion for each weighting of studies (labelled images for zero_shot_auc); [1] with equal weights."""
        if criterion == "zero_shot_auc":
            assert self.labelled is not None  # settings see to it
            return self.labelled.auc(weights)
        values = self.by_study[criterion]
        weights = np.ones((1, len(values))) if weights is None else weights
        return weights @ values / weights.sum(axis=1)

    def scores(self) -> dict[str, float]:
        names = [*self.by_study, *(["zero_shot_auc"] if self.labelled else [])]
        return {name: float(self.score(name)[0]) for name in names}


class ValidationPairs:
    """Validation studies (one image each, the first) with what is relevant to what."""

    def __init__(
        self, reports: PairedReports, store: ImageStore, special: SpecialTokens, settings: SelectCheckpointSettings
    ) -> None:
        self.studies: list[Study] = reports.studies[: settings.max_pairs]
        self._store, self._special, self._settings = store, special, settings
        texts = [" ".join(study.texts) for study in self.studies]
        self.relevant = np.array([[one == other for other in texts] for one in texts])
        self.patients = np.array([study.patient_id for study in self.studies])

    def scores(
        self, model: DualEncoder, mask_ratio: float, device: torch.device
    ) -> tuple[dict[str, Float[np.ndarray, "studies"]], float]:
        """Of each study by name, and the temperature of the loss. Ranks are those of whole images."""
        reports = torch.cat([model.embed_text(text.to(device)).report for text in self._reports()])
        whole = self._similarity(model, reports, None, device)
        hidden = [
            self._similarity(model, reports, self._visible(model, mask_ratio, masking), device)
            for masking in range(self._settings.maskings if mask_ratio else 0)
        ]
        losses, temperature = contrastive_losses(np.stack(hidden or [whole]), self.relevant)
        return {"contrastive_loss": losses, **rank_scores(whole, self.relevant)}, temperature

    def _batches(self) -> Iterator[slice]:
        for first in range(0, len(self.studies), self._settings.batch_size):
            yield slice(first, first + self._settings.batch_size)

    def _reports(self) -> Iterator[ReportBatch]:
        for rows in self._batches():
            yield pad_reports([study.sentences for study in self.studies[rows]], self._special)

    def _visible(self, model: DualEncoder, mask_ratio: float, masking: int) -> Tensor:
        """Patches that each study's image shows: the same ones to every candidate."""
        generator = torch.Generator().manual_seed(seed_from("selection", self._settings.seed, masking))
        return draw_visible(len(self.studies), model.settings.image.patches, mask_ratio, generator)

    def _similarity(
        self, model: DualEncoder, reports: Tensor, visible: Tensor | None, device: torch.device
    ) -> Float[np.ndarray, "studies studies"]:
        """Cosines of every image with every report, images as rows."""
        images = []
        for rows in self._batches():
            shown = None if visible is None else visible[rows].to(device)
            tokens = model.patch_tokens(to_input(self._pixels(rows).to(device), model.settings.image.input_size), shown)
            images.append(model.embed_global(tokens))
        return (torch.cat(images) @ reports.T).cpu().numpy()

    def mean_radiograph(self, size: int) -> Float[np.ndarray, "size size"]:
        """Mean of the studies' images at the encoder's input size, grey 0..1."""
        total = sum(to_input(self._pixels(rows), size).double().sum(dim=0) for rows in self._batches())
        return (total / len(self.studies)).numpy()

    def _pixels(self, rows: slice) -> UInt8[Tensor, "rows stored stored"]:
        stored = [self._store.row_of(study.image_ids[0]) for study in self.studies[rows]]
        return torch.from_numpy(self._store.gather(np.array(stored)))


@torch.inference_mode()
def score_candidates(
    index: Path, record: dict, pairs: ValidationPairs, labels: ValidationLabels | None, device: torch.device
) -> list[ScoredCandidate]:
    """Every candidate that `index` (candidates.json, read as `record`) lists, in its order."""
    model = build_encoder(record["encoder"]).eval().to(device)
    scored = []
    for candidate in record["candidates"]:
        path = Path(index).parent / candidate["path"]
        verify(path)
        weights = load_file(path)
        weights.pop("integrity_map", None)
        model.load_state_dict(weights)
        by_study, temperature = pairs.scores(model, record["mask_ratio"], device)
        labelled = None if labels is None else labels.scores(model, device)
        scored.append(ScoredCandidate(candidate["step"], path, by_study, labelled, temperature))
    return scored
