"""The stage's work: candidates scored, one chosen, the decision recorded, the checkpoint exported."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from ..common.data.image_store import ImageStore
from ..common.data.paired_reports import read_pairs
from ..common.data.prompts import read_prompts
from ..common.device import choose_device
from ..common.digests import seed_from
from ..common.encoders.dual import INTEGRITY_MAP, MEAN_PATCHES, DualEncoder, build_encoder, of_model
from ..common.encoders.report_batches import SpecialTokens
from ..common.encoders.text import load_tokenizer
from ..common.errors import InputError
from ..common.files.arrow_tables import read_table
from ..common.files.schemas import PAIRS
from ..common.inference.encoding import choose_precision, mean_patches
from ..common.journal.tracking import Run, track_job
from ..common.records import read_record, write_record
from ..common.settings import Precision
from ..pretrain.contract import Candidates
from .candidate_scores import (
    ScoredCandidate,
    ValidationLabels,
    ValidationPairs,
    read_validation_labels,
    score_candidates,
)
from .contract import SelectCheckpointJob, SelectCheckpointSettings, Selection
from .decision import Decision, decide
from .export import export_checkpoint, model_card, write_integrity_files
from .mlflow_model import check_model_folder, export_model


def select_checkpoint(job: SelectCheckpointJob) -> None:
    """Choose a candidate, and write selection.json, the checkpoint folder and the MLflow model."""
    _check_label_options(job)
    check_model_folder(job.model)
    with track_job(job) as run:
        _select(job, run)
        run.log_artifact(job.checkpoint / "README.md", publish=True)
        export_model(job.model, job.checkpoint, job.selection, job.images)


def _select(job: SelectCheckpointJob, run: Run) -> None:
    settings, record = job.settings, read_record(job.candidates, Candidates)
    text = record.encoder.model.text
    studies = read_pairs(job.pairs, job.sentences, "validation", text.max_tokens, text.max_sentences)
    store, tokenizer = ImageStore(job.images), load_tokenizer(job.tokenizer)
    pairs = ValidationPairs(studies, store, SpecialTokens.of(tokenizer), settings)
    labels = _labels(job)
    device = choose_device(job.device)
    precision = choose_precision(settings.encoder_precision, device, run)
    scored = score_candidates(job.candidates, record, pairs, labels, device, precision)
    for each in scored:
        run.log_metrics({f"validation/{name}": value for name, value in each.scores().items()}, each.step)
    by_labels = settings.criterion == "zero_shot_auc" and labels is not None
    groups = labels.patients if by_labels and labels else pairs.patients
    decision = decide(scored, groups, settings, record.validated_mask_ratio > 0)
    run.log_metrics({"chosen/step": decision.chosen.step, "validation/studies": len(pairs.studies)})
    card = model_card(job.name, record, decision, scored, len(pairs.studies), store.dataset)
    weights = load_file(decision.chosen.path)
    encoder = build_encoder(record.encoder).eval().to(device)
    encoder.load_state_dict(of_model(weights))
    means = _mean_patches(job, encoder, store, precision)
    export_checkpoint(job.checkpoint, weights | means, record.encoder, job.tokenizer, card)
    if (phi := weights.get(INTEGRITY_MAP)) is not None:
        size, step = record.encoder.model.image.input_size, decision.chosen.step
        mean, images = np.zeros((size, size)), 0
        if settings.publish_samples:
            mean, images = pairs.mean_radiograph(size), len(pairs.studies)
        for path in write_integrity_files(job.checkpoint, phi.numpy(), mean, images, step):
            run.log_artifact(path, publish=True)
    write_record(job.selection, selection_of(decision, scored, settings, len(pairs.studies), labels))
    _draw(run, scored, decision, settings.criterion)


def _draw(run: Run, scored: Sequence[ScoredCandidate], decision: Decision, criterion: str) -> None:
    """Draw the criterion over the candidates, the chosen one filled; MLflow has charts of the other scores."""
    ordered = sorted(scored, key=lambda each: each.step)
    steps = [each.step for each in ordered]
    line = (steps, [each.scores()[criterion] for each in ordered])
    kept = {decision.criterion: steps.index(decision.chosen.step)}
    up = criterion.replace("_", " ")
    run.pictures.curves("decision.svg", {decision.criterion: line}, "step of the candidate", up, kept)


def _mean_patches(
    job: SelectCheckpointJob, encoder: DualEncoder, store: ImageStore, precision: Precision
) -> dict[str, Float[Tensor, "patches embedding"]]:
    """Return the mean of patches over training radiographs, under its name in the checkpoint; {} without any."""
    pairs = pl.DataFrame(read_table(job.pairs, PAIRS)).filter(split="train")
    rows = store.draw_rows(pairs["image_id"], job.settings.mean_over, seed_from("mean of patches", job.settings.seed))
    return {MEAN_PATCHES: mean_patches(encoder, store.gather, rows, precision)} if len(rows) else {}


def selection_of(
    decision: Decision,
    scored: list[ScoredCandidate],
    settings: SelectCheckpointSettings,
    studies: int,
    labels: ValidationLabels | None,
) -> Selection:
    """Build the record of selection.json."""
    return Selection(
        split="validation",
        studies=studies,
        candidates={each.step: float(each.score(settings.criterion)[0]) for each in scored},
        scores={each.step: each.scores() for each in scored},
        temperatures={each.step: each.temperature for each in scored},
        zero_shot_on=settings.zero_shot_on,
        labelled_images=len(labels.targets) if labels else 0,
        criterion=decision.criterion,
        rule=decision.rule,
        best_step=decision.best.step,
        runner_up_step=decision.runner_up.step if decision.runner_up else None,
        lead_of_best=decision.lead,
        resampled_by="patient",
        chosen_step=decision.chosen.step,
        reason=decision.reason,
    )


def _check_label_options(job: SelectCheckpointJob) -> None:
    """Raise an InputError where `zero_shot_on` names a data set and an option of its files is missing."""
    roles = {role: getattr(job, f"zero_shot_{role}") for role in ("images", "labels", "prompts")}
    missing = [f"--zero-shot-{role}" for role, path in roles.items() if path is None]
    if job.settings.zero_shot_on is not None and missing:
        raise InputError(f"zero_shot_on is {job.settings.zero_shot_on}: give {', '.join(missing)}")


def _labels(job: SelectCheckpointJob) -> ValidationLabels | None:
    images, labels, prompt_file = job.zero_shot_images, job.zero_shot_labels, job.zero_shot_prompts
    if job.settings.zero_shot_on is None or images is None or labels is None or prompt_file is None:
        return None
    prompts = read_prompts(prompt_file)
    rows = read_validation_labels(labels, list(prompts))
    tokenizer = load_tokenizer(job.tokenizer)
    return ValidationLabels(rows, ImageStore(images), prompts, tokenizer, job.settings)
