"""Checks of the batch sizes of trainings: against the number of training studies, and the GPUs that share a batch."""

from collections.abc import Iterator

import polars as pl

from stages.common.data.patient_split import split_of
from stages.common.errors import InputError
from stages.configuration import Config
from stages.pair_images_reports.contract import PairImagesReportsSettings
from stages.pretrain.contract import PretrainSettings
from workflow.doctor.findings import Finding, Status
from workflow.doctor.indexes import Indexes

_MOST_LEFT = 0.1  # of the training studies, that an epoch of whole batches may leave out


def check_training_studies(config: Config, indexes: Indexes, gpus: int = 1) -> Iterator[Finding]:
    """Yield findings on the batch sizes of the variants: against the training studies, and the GPUs that share one."""
    subject = "batch size"
    variants = {name: config.settings(PretrainSettings, variant=name) for name in config.compare}
    steps = {name: each.optimisation for name, each in variants.items()}
    sizes = {name: each.batch_size * each.accumulate for name, each in steps.items() if each.epochs}
    for name in sizes:
        if (size := steps[name].batch_size) % gpus:
            what = (
                f"pretrain.optimisation.batch_size {size} of {name} is not divisible by the {gpus} GPUs of a training"
            )
            yield Finding("error", subject, what, f"set it to a multiple of {gpus}, or change the number of GPUs")
    if not sizes or config.is_phantom(config.pretrain_on):
        return
    try:
        studies, is_counted = _training_studies(config, indexes)
    except InputError:
        return  # reported with the data set
    largest = max(sizes, key=lambda name: sizes[name] / variants[name].data_share)
    share = variants[largest].data_share
    studies = round(studies * share)
    most = "about " if share < 1 else "" if is_counted else "at most "  # a share is of patients, drawn by chance
    about = f"{most}{studies:,} training studies of {config.pretrain_on}"
    about += f" (data_share {share:g})" if share < 1 else ""
    if sizes[largest] > studies:
        times = f" x accumulate {steps[largest].accumulate}" if steps[largest].accumulate > 1 else ""
        what = f"pretrain.optimisation.batch_size {steps[largest].batch_size}{times} of {largest} exceeds {about}"
        status: Status = "error" if share == 1 else "warning"
        yield Finding(status, subject, what, "set its pretrain.optimisation.batch_size to at most that number")
    elif (left := studies % sizes[largest]) > _MOST_LEFT * studies:
        what = f"{sizes[largest]}, of {about}: each epoch has {studies // sizes[largest]} steps and leaves out {left}"
        yield Finding("warning", subject, what, _fewer_left(studies, sizes[largest], steps[largest].accumulate, gpus))
    else:
        yield Finding("ok", subject, f"{sizes[largest]}, of {about}")


def _fewer_left(studies: int, most: int, accumulate: int, gpus: int) -> str:
    """Return the remedy: the batch size up to the present one, but not below half of it, that leaves out fewest."""
    part = accumulate * gpus
    best = min(range(most - most % part, most // 2, -part), key=lambda size: (studies % size, -size), default=most)
    if best == most or studies % best >= studies % most:
        return "use a smaller pretrain.optimisation.batch_size, if that many studies matter"
    return f"pretrain.optimisation.batch_size {best // accumulate} would leave out {studies % best}"


def _training_studies(config: Config, indexes: Indexes) -> tuple[int, bool]:
    """Return the number of training studies, and whether a run has counted them; else it is the most there can be."""
    name = config.pretrain_on
    if (counted := indexes.training_studies(name)) is not None:
        return counted, True
    split, index = config.settings(PairImagesReportsSettings, name).patient_split, indexes.of(name)
    images = index.files.filter(~pl.col("image_id").is_in(list(indexes.unusable(name)[0])))
    reports = index.reports.join(images, on="study_id", how="semi").select("patient_id", "distributed_split")
    unit_of = indexes.unit_of(name)
    return [split_of(unit_of(patient), split, given) for patient, given in reports.iter_rows()].count("train"), False
