"""Evaluation of multi-class classification: the class whose prompts are nearest, and the images nearest to a class.

As published for CheXpert 5x200, with three differences. A class is the normalised mean of its prompts' embeddings, the
ensemble of MedCLIP; GLoRIA takes the largest similarity of any prompt. Similarities are cosines of whole images; GLoRIA
adds those of regions. GLoRIA's code also standardises each class over the images of the evaluation; here the class of
an image does not depend on which other images are classified.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from ..audit_splits.contract import read_overlap
from ..common.data.label_matrix import read_label_matrix, resampled
from ..common.data.prompts import FindingPrompts, PromptSet, prompt_file, read_prompts
from ..common.device import choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.encoders.prompt_scores import embeddings_of, prompt_scores
from ..common.errors import InputError
from ..common.files.arrow_tables import write_frame
from ..common.files.schemas import CLASS_SCORES
from ..common.journal.tracking import track_job
from ..common.metrics.classes import Classified
from ..common.metrics.findings import estimates
from ..common.metrics.ranking import draw_weights, estimate
from ..common.records import AgainstChance, Estimate, Overlap, write_record
from .contract import ClassResult, MultiClassJob, MultiClassResult, MultiClassSettings
from .drawn_images import DrawnImages, draw_images


def classify(job: MultiClassJob) -> None:
    """Draw the images, classify them by prompts, and write scores and result."""
    settings = job.settings
    prompt_path = prompt_file(settings.prompts, job.stage)
    prompts = read_prompts(prompt_path, denying=settings.score == "difference")
    classes = first_sets(prompts, settings, prompt_path)
    with track_job(job, {"prompts": prompt_path}) as run:
        drawn = draw_images(read_label_matrix(job.labels, list(classes)), list(classes), settings, job.labels)
        overlap = read_overlap(job.audit, job.labels)
        checkpoint = load_checkpoint(job.checkpoint, choose_device(job.device))
        embeddings = embeddings_of(drawn.images, job.features, checkpoint.model)
        by_class = prompt_scores(checkpoint, {name: each for name, (_, each) in classes.items()}, embeddings)
        scores = np.stack([by_class[name] for name in classes], axis=1).astype(np.float32)
        result = evaluate(drawn, scores, {name: chosen for name, (chosen, _) in classes.items()}, settings, overlap)
        write_frame(job.scores, CLASS_SCORES, score_rows(drawn, scores))
        write_record(job.result, result)
        run.log_figures(result.figures)
        run.log_metrics({f"images/not_qualifying/{reason}": count for reason, count in result.not_qualifying.items()})
        run.log_metrics({f"images/{name}": each.images for name, each in result.classes.items()})


def first_sets(
    prompts: Mapping[str, FindingPrompts], settings: MultiClassSettings, path: Path
) -> dict[str, tuple[str, PromptSet]]:
    """Return name and sentences of the first prompt set of each class.

    Raises InputError, which names `path`, where two classes have the same sentences or a class has no prompts.
    """
    try:
        names = settings.classes_among(prompts)
    except InputError as error:
        raise InputError(f"{path}: {error.what}", error.remedy) from None
    found: dict[str, tuple[str, PromptSet]] = {}
    for name in names:
        chosen, own = next(iter(prompts[name].expanded().items()))
        for other, (_, each) in found.items():
            if set(each.positive) == set(own.positive):
                raise InputError(f"{path}: {other} and {name} have the same prompts", "write different ones")
        found[name] = chosen, own if settings.score == "difference" else PromptSet(positive=own.positive)
    return found


def evaluate(
    drawn: DrawnImages,
    scores: Float[np.ndarray, "images classes"],
    prompt_sets: Mapping[str, str],
    settings: MultiClassSettings,
    overlap: Overlap,
) -> MultiClassResult:
    """Measure the classification of the drawn images; intervals resample their patients."""
    unit, groups = resampled(drawn.images)
    weights = draw_weights(groups, settings.draws, settings.seed)
    found = Classified(drawn.truth, scores.astype(np.float64))
    ks = [k for k in settings.precision_at if k <= len(drawn.truth)]
    sizes = np.bincount(drawn.truth, minlength=len(drawn.classes))
    metrics = {name: found.of_class(number, ks) for number, name in enumerate(drawn.classes)}
    precision = {name: own.pop("precision") for name, own in metrics.items()}
    by_class, means = estimates(metrics, weights)

    def at(figures: Mapping[str, Estimate], chance: float) -> dict[int, AgainstChance]:
        return {k: AgainstChance.of(figures[f"precision_at_{k}"], chance) for k in ks}

    classes = {
        name: ClassResult(
            prompt_set=prompt_sets[name],
            qualifying=drawn.qualifying[name],
            images=int(sizes[number]),
            recall=by_class[name]["recall"],
            precision=estimate(precision[name], weights) if (found.predicted == number).any() else None,
            f1=by_class[name]["f1"],
            precision_at=at(by_class[name], float(sizes[number] / len(drawn.truth))),
        )
        for number, name in enumerate(drawn.classes)
    }
    chance = 1 / len(drawn.classes)  # of guessing a class, and the mean over classes of their shares
    return MultiClassResult(
        score=settings.score,
        part=settings.part,
        exclusive_among=settings.exclusive_among,
        classes=classes,
        not_qualifying=drawn.not_qualifying,
        accuracy=AgainstChance.of(estimate(found.accuracy, weights), chance),
        macro_f1=means["f1"],
        precision_at=at(means, chance),
        confusion=found.confusion().tolist(),
        resampled_by=unit,
        overlap=overlap,
    )


def score_rows(drawn: DrawnImages, scores: Float[np.ndarray, "images classes"]) -> pl.DataFrame:
    """Return rows of CLASS_SCORES, which paired tests between variants need."""
    names = np.array(drawn.classes)
    return drawn.images.select(
        "image_id", "patient_id", true_class=pl.Series(names[drawn.truth]),
        predicted_class=pl.Series(names[scores.argmax(axis=1)]), scores=pl.Series(scores.tolist()),
    )  # fmt: skip
