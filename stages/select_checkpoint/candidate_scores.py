"""Scores of every candidate on the validation pairs; no test image and no downstream label comes near."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from stages.common.atomic_files import verify
from stages.common.dual_encoder import DualEncoder, build_encoder, to_input
from stages.common.image_store import ImageStore
from stages.common.paired_reports import PairedReports, Study
from stages.common.report_batches import SpecialTokens, pad_reports
from stages.select_checkpoint.retrieval_rank import mean_reciprocal_rank


@dataclass(frozen=True)
class ScoredCandidate:
    step: int
    path: Path
    mean_reciprocal_rank: float


class ValidationPairs:
    """Validation studies (one image each, the first) with what is relevant to what."""

    def __init__(self, reports: PairedReports, store: ImageStore, special: SpecialTokens, batch_size: int) -> None:
        self.studies: list[Study] = reports.studies
        self._store, self._special, self._batch_size = store, special, batch_size
        texts = [" ".join(study.texts) for study in self.studies]
        self.relevant = np.array([[one == other for other in texts] for one in texts])

    @torch.inference_mode()
    def similarity(self, model: DualEncoder, device: torch.device) -> np.ndarray:
        """Cosines of every image with every report, images as rows."""
        images, reports = [], []
        for first in range(0, len(self.studies), self._batch_size):
            studies = self.studies[first : first + self._batch_size]
            rows = np.array([self._store.row_of(study.image_ids[0]) for study in studies])
            pixels = torch.from_numpy(self._store.gather(rows)).to(device)
            tokens = model.patch_tokens(to_input(pixels, model.settings.image.input_size))
            images.append(model.embed_global(tokens))
            text = pad_reports([study.sentences for study in studies], self._special).to(device)
            reports.append(model.embed_text(text).report)
        return (torch.cat(images) @ torch.cat(reports).T).cpu().numpy()


def score_candidates(index: Path, record: dict, pairs: ValidationPairs, device: torch.device) -> list[ScoredCandidate]:
    """Every candidate that `index` (candidates.json, read as `record`) lists, in its order."""
    model = build_encoder(record["encoder"]).eval().to(device)
    scored = []
    for candidate in record["candidates"]:
        path = Path(index).parent / candidate["path"]
        verify(path)
        weights = load_file(path)
        weights.pop("integrity_map", None)
        model.load_state_dict(weights)
        value = mean_reciprocal_rank(pairs.similarity(model, device), pairs.relevant)
        scored.append(ScoredCandidate(candidate["step"], path, value))
    return scored


def best(candidates: list[ScoredCandidate]) -> ScoredCandidate:
    """The highest mean reciprocal rank; of equal ones the earlier step."""
    return max(candidates, key=lambda candidate: (candidate.mean_reciprocal_rank, -candidate.step))
