"""Scores of every candidate on validation pairs, and if asked for on validation labels; none on test.

Studies are scored in both directions: images retrieve reports, reports retrieve images. Validation images of a labelled
data set are scored by zero-shot classification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, UInt8
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import LabelMatrix, read_label_matrix
from ..common.data.paired_reports import Study
from ..common.data.prompts import FindingPrompts
from ..common.digests import seed_from
from ..common.encoders.dual import Checkpoint, DualEncoder, build_encoder, checkpoint_record, of_model
from ..common.encoders.image import draw_visible
from ..common.encoders.prompt_scores import prompt_scores
from ..common.encoders.report_batches import SpecialTokens
from ..common.errors import InputError
from ..common.files.atomic_files import verify
from ..common.inference.encoding import in_batches, input_batches, joined, report_embeddings, token_batches
from ..common.metrics.findings import mean_of_known
from ..common.metrics.ranking import auc
from ..common.settings import Precision
from ..pretrain.contract import Candidates
from .contract import SelectCheckpointSettings

_GOLDEN = (5**0.5 - 1) / 2
_LARGEST_SCALE, _LOOKS = 200.0, 25  # 1 / tau lies below it; 25 looks leave 200 * .618^25 = .001 of it open


def reciprocal_ranks(
    similarity: Float[np.ndarray, "queries keys"], relevant: Bool[np.ndarray, "queries keys"]
) -> Float[np.ndarray, "queries"]:
    """Return 1 / rank of the best relevant key of every query; ties count against it (as if ranked last among equals).

    Every query needs a relevant key.
    """
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    rank = 1 + ((similarity >= best) & ~relevant).sum(axis=1)
    return 1 / rank


def rank_scores(
    similarity: Float[np.ndarray, "studies studies"], relevant: Bool[np.ndarray, "studies studies"]
) -> dict[str, Float[np.ndarray, "studies"]]:
    """Return the reciprocal rank and the hits among the first k of each study, averaged over both directions.

    `relevant` marks the own report and every report of identical text.
    """
    ranks = [reciprocal_ranks(similarity, relevant), reciprocal_ranks(similarity.T, relevant.T)]
    scores = {"mean_reciprocal_rank": np.mean(ranks, axis=0)}
    for k in (1, 5, 10):
        scores[f"recall_at_{k}"] = np.mean([rank >= 1 / k - 1e-9 for rank in ranks], axis=0)
    return scores


def contrastive_losses(
    similarities: Float[np.ndarray, "maskings studies studies"], relevant: Bool[np.ndarray, "studies studies"]
) -> tuple[Float[np.ndarray, "studies"], float]:
    """Return the cross-entropy of each study, averaged over maskings and directions, and its temperature.

    Other reports of identical text are left out of the denominators, as in training. The temperature is the one that
    gives this candidate its lowest mean: a candidate is not penalised for overconfidence in what it ranks well, which a
    single number would correct. The loss is convex in 1 / tau, so a golden-section search finds it.
    """
    others = relevant & ~np.eye(len(relevant), dtype=bool)
    below_one = np.where(others, -np.inf, similarities.astype(np.float64) - 1)  # no exponential overflows
    own = np.diagonal(below_one, axis1=1, axis2=2)

    def losses(scale: float) -> Float[np.ndarray, "studies"]:
        terms = np.exp(scale * below_one)
        return np.mean([np.log(terms.sum(axis=axis)) - scale * own for axis in (1, 2)], axis=(0, 1))

    low, high = 0.0, _LARGEST_SCALE
    for _ in range(_LOOKS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if losses(left).mean() <= losses(right).mean():
            high = right
        else:
            low = left
    scale = (low + high) / 2
    return losses(scale), 1 / scale


@dataclass(frozen=True)
class PromptAuc:
    """Scores of one candidate, by finding one row per prompt set; -1 is an unknown label."""

    by_finding: list[Float[np.ndarray, "sets images"]]
    targets: Int8[np.ndarray, "images findings"]

    def auc(self, weights: Float[np.ndarray, "draws images"] | None = None) -> Float[np.ndarray, "draws"]:
        """Return the mean AUC over prompt sets and findings: no set is chosen here, so none is favoured."""
        weights = np.ones((1, len(self.targets))) if weights is None else weights
        means = []
        for by_set, targets in zip(self.by_finding, self.targets.T, strict=True):
            known = targets >= 0
            own, drawn = targets[known].astype(np.int64), weights[:, known]
            means.append(np.mean([auc(scores[known], own, drawn) for scores in by_set], axis=0))
        return mean_of_known(means)


def read_validation_labels(path: Path, findings: Sequence[str]) -> LabelMatrix:
    """Return the validation labels of the `findings` that have positives and negatives in that part.

    Raises InputError where none has, and for a finding without labels.
    """
    labels = read_label_matrix(path, findings).part("validation").among(findings)
    usable = [finding for finding in findings if {0, 1} <= set(labels.of(finding).tolist())]
    if not usable:
        raise InputError(
            f"{path}: the validation part needs positives and negatives of {' or '.join(findings)}",
            remedy="raise its share in label_images, or unset select_checkpoint.zero_shot_on",
        )
    labels = labels.among(usable).labelled()
    order = labels.images["image_id"].arg_sort().to_numpy()
    return LabelMatrix(labels.findings, labels.images[order], labels.targets[order])


class ValidationLabels:
    """Labelled validation images with the prompts of their findings."""

    def __init__(
        self,
        labels: LabelMatrix,
        store: ImageStore,
        prompts: Mapping[str, FindingPrompts],
        tokenizer: Tokenizer,
        settings: SelectCheckpointSettings,
    ) -> None:
        rows = [store.row_of(image_id) for image_id in labels.images["image_id"]]
        self._batches = in_batches(rows, settings.batch_size)
        self._prompts = [prompts[finding] for finding in labels.findings]
        self._store, self._tokenizer = store, tokenizer
        self.targets = labels.targets
        self.patients = labels.resampled[1]

    def scores(self, model: DualEncoder, precision: Precision = "fp32") -> PromptAuc:
        """Return cos(image, affirming) - cos(image, denying) per finding, prompt set and image.

        Each of the two is the normalised mean of its prompts' embeddings.
        """
        tokens = token_batches(model, self._store.gather, self._batches, precision)
        embedded = joined(map(model.embed_global, tokens))
        reader = Checkpoint(model, self._tokenizer, None, checkpoint_record(model))
        expanded = [own.expanded() for own in self._prompts]
        sets = {(number, name): each for number, own in enumerate(expanded) for name, each in own.items()}
        scores = prompt_scores(reader, sets, embedded.numpy())
        by_finding = [np.stack([scores[number, name] for name in own]) for number, own in enumerate(expanded)]
        return PromptAuc(by_finding, self.targets)


@dataclass(frozen=True)
class ScoredCandidate:
    """A candidate with its scores."""

    step: int
    path: Path
    by_study: dict[str, Float[np.ndarray, "studies"]]  # contribution of each study; the score is their mean
    labelled: PromptAuc | None = None
    temperature: float | None = None  # of the contrastive loss

    def score(self, criterion: str, weights: Float[np.ndarray, "draws units"] | None = None) -> np.ndarray:
        """Return the criterion for each weighting of studies (or labelled images); [1] with equal weights."""
        if criterion == "zero_shot_auc":
            assert self.labelled is not None  # the settings require it
            return self.labelled.auc(weights)
        values = self.by_study[criterion]
        weights = np.ones((1, len(values))) if weights is None else weights
        return weights @ values / weights.sum(axis=1)

    def scores(self) -> dict[str, float]:
        """Return every criterion with equal weights."""
        names = [*self.by_study, *(["zero_shot_auc"] if self.labelled else [])]
        return {name: float(self.score(name)[0]) for name in names}


class ValidationPairs:
    """Validation studies, each with its first image, and which reports are relevant to which images."""

    def __init__(
        self, studies: list[Study], store: ImageStore, special: SpecialTokens, settings: SelectCheckpointSettings
    ) -> None:
        self.studies = studies[: settings.max_pairs]
        self._store, self._special, self._settings = store, special, settings
        self._rows = np.array([store.row_of(study.image_ids[0]) for study in self.studies])
        self._batches = in_batches(range(len(self.studies)), settings.batch_size)
        texts = [" ".join(study.texts) for study in self.studies]
        self.relevant = np.array([[one == other for other in texts] for one in texts])
        self.patients = np.array([study.patient_id for study in self.studies])

    def scores(
        self, model: DualEncoder, mask_ratio: float, precision: Precision = "fp32"
    ) -> tuple[dict[str, Float[np.ndarray, "studies"]], float]:
        """Return the scores of each study by name, and the temperature of the loss. Ranks are those of whole images."""
        sentences, most = [study.sentences for study in self.studies], self._settings.batch_size
        reports = joined(report_embeddings(model, sentences, self._special, most, precision))

        def similarity(visible: Tensor | None) -> Float[np.ndarray, "studies studies"]:
            tokens = token_batches(model, self._gather, self._batches, precision, visible)
            return (joined(map(model.embed_global, tokens)) @ reports.T).numpy()

        whole = similarity(None)
        maskings = range(self._settings.maskings if mask_ratio else 0)
        hidden = [similarity(self._visible(model, mask_ratio, masking)) for masking in maskings]
        losses, temperature = contrastive_losses(np.stack(hidden or [whole]), self.relevant)
        return {"contrastive_loss": losses, **rank_scores(whole, self.relevant)}, temperature

    def _visible(self, model: DualEncoder, mask_ratio: float, masking: int) -> Tensor:
        """Return the patches that each study's image shows: the same for every candidate."""
        generator = torch.Generator().manual_seed(seed_from("selection", self._settings.seed, masking))
        return draw_visible(len(self.studies), model.settings.image.patches, mask_ratio, generator)

    def _gather(self, numbers: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n stored stored"]:
        return self._store.gather(self._rows[numbers])

    def mean_radiograph(self, size: int) -> Float[np.ndarray, "size size"]:
        """Return the mean of the studies' images at the encoder's input size, grey 0..1."""
        images = input_batches(self._gather, self._batches, size, torch.device("cpu"))
        total = sum((each.double().sum(dim=0) for each in images), torch.zeros(size, size, dtype=torch.float64))
        return (total / len(self.studies)).numpy()


@torch.inference_mode()
def score_candidates(
    index: Path,
    record: Candidates,
    pairs: ValidationPairs,
    labels: ValidationLabels | None,
    device: torch.device,
    precision: Precision = "fp32",
) -> list[ScoredCandidate]:
    """Score every candidate that `index` (candidates.json, read as `record`) lists, in its order."""
    model = build_encoder(record.encoder).eval().to(device)
    scored = []
    for candidate in record.candidates:
        path = Path(index).parent / candidate.path
        verify(path)
        model.load_state_dict(of_model(load_file(path)))
        by_study, temperature = pairs.scores(model, record.validated_mask_ratio, precision)
        labelled = None if labels is None else labels.scores(model, precision)
        scored.append(ScoredCandidate(candidate.step, path, by_study, labelled, temperature))
    return scored
