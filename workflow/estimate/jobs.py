"""Jobs of a run with the work of each: units of costs.yaml, operations of encoders, bytes.

The numbers of images and reports come from journals, from the data sets' indexes, or from publications.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.data.distributions import IMAGE_SUFFIXES
from stages.common.encoders.settings import IMAGES_FOR_MEANS, READINGS
from stages.common.errors import InputError
from stages.common.files.archives import MemberError, archive_at, is_dir, keep_indexes_in
from stages.common.journal.journals import Journal
from stages.configuration import Config
from stages.index_inputs.contract import IndexInputsSettings
from stages.label_images.contract import LabelImagesSettings, SplitShares
from stages.phrase_grounding.contract import PhraseGroundingSettings
from stages.pretrain.contract import PretrainSettings
from stages.zero_shot_classification.contract import ZeroShotSettings
from workflow.estimate import operations
from workflow.estimate.costs import costs

if TYPE_CHECKING:
    from stages.common.data.index_tables import Index

IndexOf = Callable[[str], "Index"]  # from the name of a data set

_FILE_BYTES = 1e6  # of an image, where neither a file nor the data set's owners say


@dataclass(frozen=True)
class Amount:
    """Counts of one data set. `source` says where they are from."""

    images: int
    reports: int
    file_bytes: float  # mean size of an image file
    source: str


def amounts_of(config: Config, journals: list[Journal], index_of: IndexOf | None = None) -> dict[str, Amount]:
    """Return the counts of each data set that the configuration uses."""
    return {name: amount_of(config, name, journals, index_of) for name in config.used_datasets}


def amount_of(config: Config, name: str, journals: list[Journal], index_of: IndexOf | None = None) -> Amount:
    """Return the counts of index_inputs' journal, else of the index, else the published ones.

    Raises InputError where there are none.
    """
    settings = config.settings(IndexInputsSettings, name)
    root = Path(config.root(name))
    roots, known = tuple(map(Path, config.roots(name))), config.datasets[name].distributed
    keep_indexes_in(Path(config.workspace, "private"))
    size = _file_bytes((root, *roots)) or (known.published.file_bytes if known else _FILE_BYTES)
    for journal in journals:
        if (journal.stage, journal.name, journal.status) == ("index_inputs", name, "FINISHED"):
            counts = {metric.key: metric.value for metric in journal.metrics}
            return Amount(int(counts["images"]), int(counts["reports"]), size, "journal of index_inputs")
    if config.is_phantom(name):
        return _phantom_amount(config, settings.layout, root.name)
    if is_dir(root):
        index = index_of(name) if index_of else _index_of(root, settings, roots)
        return Amount(len(index.files), len(index.reports), size, f"rows of {root / index.source}")
    if known is not None:
        return Amount(known.published.images, known.published.reports, size, f"published; {root} does not exist")
    raise InputError(
        f"datasets.{name}: {root} does not exist, so its images cannot be counted", remedy="correct its root"
    )


def _index_of(root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...]) -> "Index":
    import tempfile

    from stages.index_inputs.index import build_index  # here, because a table library is imported

    with tempfile.TemporaryDirectory() as private:
        return build_index(root, settings, "estimate", Path(private), roots)


def _phantom_amount(config: Config, layout: str, folder: str) -> Amount:
    settings = config.settings("make_phantom")
    if layout == "mimic_cxr":
        patients = settings.mimic_patients
        return Amount(round(1.15 * patients), round(1.08 * patients), 3e5, "settings of make_phantom")
    images = {"rsna": settings.rsna_images, "siim": settings.siim_images}.get(layout, settings.public.get(folder, 0))
    return Amount(images, 0, 3e5, "settings of make_phantom")


def _file_bytes(roots: Iterable[Path]) -> float | None:
    """Return the mean size of the first files that are found; None where there are none."""
    sizes = list(islice((size for root in roots for size in _image_sizes(root)), 50))
    return sum(sizes) / len(sizes) if sizes else None


def _image_sizes(root: Path) -> Iterator[int]:
    """Yield the sizes of the images below a folder or in an archive."""
    archive = archive_at(root)
    for path in map(Path, archive.files()) if archive else root.rglob("*"):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            with suppress(OSError, MemberError):  # e.g. a link that leads to itself; dicom_to_arrow accounts for it
                yield archive.find(str(path)).size if archive else path.stat().st_size


_ROW = 400  # bytes of a table's row besides pixels and vectors, generous
_FLOAT = 4


@dataclass(frozen=True)
class Job:
    """One job. `units` are those of `cost` in costs.yaml; `operations` run on a GPU where there is one."""

    stage: str
    name: str
    cost: str
    units: float = 0.0
    operations: float = 0.0
    fp32: bool = False
    read: float = 0.0  # bytes
    written: float = 0.0  # bytes
    gpus: int = 0
    more_files: float = 0.0  # beyond those that costs.yaml counts for each job of its kind

    @property
    def files(self) -> float:
        """Return the files and folders that the job leaves in the workspace."""
        return costs().files(self.cost) + self.more_files


def jobs_of(config: Config, amounts: Mapping[str, Amount]) -> list[Job]:
    """Return every job of a whole run, in the order of the DAG."""
    return [
        *_phantom_job(config, amounts), *_preparation(config, amounts), *_pretraining(config, amounts),
        *_evaluations(config, amounts), Job("summarize", "", "summarize", 1, written=2e7),
    ]  # fmt: skip


def preparation_job(stage: str, name: str, config: Config, amount: Amount, shards: int = 1) -> Job:
    """Return a job of one data set before training; for dicom_to_arrow, of one shard."""
    images = amount.images / shards
    if stage == "dicom_to_arrow":
        size = config.settings(stage, name.split("/")[0]).size
        layout = config.settings("index_inputs", name.split("/")[0]).layout
        return Job(stage, name, f"{stage}/{layout}", images, read=images * amount.file_bytes,
                   written=images * (size**2 + _ROW))  # fmt: skip
    if stage == "split_reports":
        return Job(stage, name, stage, amount.reports, written=amount.reports * 6 * _ROW)
    return Job(stage, name, stage, images, written=images * _ROW)


def pretraining_job(variant: str, settings: PretrainSettings, studies: float, gpus: int = 1) -> Job:
    """Return the training of one variant on `studies` studies."""
    steps = settings.optimisation
    candidates = min(steps.candidates, max(1, steps.epochs))
    kept = candidates + 3  # weights and AdamW's two moments in state/
    work = studies * steps.epochs * operations.training_pair(settings)
    written = kept * operations.parameters(settings) * _FLOAT
    return Job("pretrain", variant, "pretrain", 1, work, steps.precision == "fp32", written=written, gpus=gpus,
               more_files=4 * candidates)  # with side-cars, in results/ and in state/  # fmt: skip


def training_studies(config: Config, amounts: Mapping[str, Amount]) -> float:
    """Return the number of studies used for training: one image each, in no held-out part."""
    amount = amounts[config.pretrain_on]
    split = config.patient_split
    return min(amount.images, amount.reports) * (1 - split.validation - split.test)


def _phantom_job(config: Config, amounts: Mapping[str, Amount]) -> Iterator[Job]:
    made = [name for name in amounts if config.is_phantom(name)]
    if made:
        images = sum(amounts[name].images for name in made)
        yield Job("make_phantom", "", "make_phantom", images, written=images * 3e5, more_files=3 * images)


def _preparation(config: Config, amounts: Mapping[str, Amount]) -> Iterator[Job]:
    for name, amount in amounts.items():
        yield preparation_job("index_inputs", name, config, amount)
        shards = config.settings("index_inputs", name).shards
        for shard in range(shards):
            yield preparation_job("dicom_to_arrow", f"{name}/{shard}", config, amount, shards)
        yield Job("dicom_to_arrow", name, "dicom_to_arrow/gather", amount.images, written=amount.images * _ROW / 4)
    images = sum(amount.images for amount in amounts.values())
    yield Job("dicom_to_arrow", "duplicates", "dicom_to_arrow/gather", images, written=images * _ROW / 4)
    for stage in ("split_reports", "pair_images_reports"):
        yield preparation_job(stage, config.pretrain_on, config, amounts[config.pretrain_on])
    for name in config.evaluate_on:
        yield preparation_job("label_images", name, config, amounts[name])
        yield preparation_job("audit_splits", name, config, amounts[name])


def _settings_of(config: Config, variant: str) -> PretrainSettings:
    return operations.with_text_shape(config.settings(PretrainSettings, variant=variant), Path(config.workspace))


def _pretraining(config: Config, amounts: Mapping[str, Amount]) -> Iterator[Job]:
    studies = training_studies(config, amounts)
    amount, split = amounts[config.pretrain_on], config.patient_split
    held_out = min(amount.images, amount.reports)
    for variant in (each.name for each in config.compared):
        settings = _settings_of(config, variant)
        yield pretraining_job(variant, settings, studies * settings.data_share)
        pair = operations.image_forward(settings) + operations.text_forward(settings)
        ranked = min(held_out * split.validation, config.settings("select_checkpoint").max_pairs)
        candidates = min(settings.optimisation.candidates, max(1, settings.optimisation.epochs))
        size = operations.parameters(settings) * _FLOAT
        yield Job("select_checkpoint", variant, "select_checkpoint", 1, ranked * candidates * pair, True,
                  read=candidates * size, written=size, gpus=1)  # fmt: skip
        queries = held_out * split.test
        yield Job("retrieval", variant, "retrieval", queries, queries * pair, True, read=size, gpus=1)


def _evaluations(config: Config, amounts: Mapping[str, Amount]) -> Iterator[Job]:
    for replicate in config.compared:
        variant, with_text = replicate.name, replicate.variant in config.with_text
        settings = _settings_of(config, variant)
        size = operations.parameters(settings) * _FLOAT
        forward = operations.image_forward(settings)
        width = operations.image_shape(settings.model.image)[0] + settings.model.embedding_width
        for dataset in config.evaluate_on:
            images, place = amounts[dataset].images, f"{variant}/{dataset}"
            yield Job("extract_features", place, "extract_features", images, images * forward, True, read=size,
                      written=images * (width * _FLOAT + _ROW), gpus=1)  # fmt: skip
            left_out = config.not_measured(dataset)
            if "zero_shot_classification" not in left_out and with_text:
                yield _zero_shot(config, place, dataset, images, forward)
            if "multi_class_classification" not in left_out and with_text:
                draws = config.settings("multi_class_classification", dataset).draws
                yield Job("multi_class_classification", place, "multi_class_classification", draws,
                          written=images * _ROW)  # fmt: skip
            if "phrase_grounding" not in left_out and with_text:
                yield _grounding(config, place, dataset, images, forward)
            if "few_shot_classification" not in left_out:
                yield from _few_shot(config, place, dataset, images, forward)
            if "few_shot_segmentation" not in left_out:
                yield from _segmentation(config, place, dataset, images, settings)


def _zero_shot(config: Config, place: str, dataset: str, images: float, forward: float) -> Job:
    """Return the job of zero-shot classification, which encodes images where it scores their patches."""
    settings, passes = config.settings(ZeroShotSettings, dataset), 0.0
    if settings.reads_images:
        reading = READINGS[settings.reading]
        means = min(images * _split_of(config, dataset).train, IMAGES_FOR_MEANS) if reading.mean == "dataset" else 0
        passes = (images + means) * reading.shifts**2
    return Job("zero_shot_classification", place, "zero_shot_classification", settings.draws, passes * forward,
               settings.reads_images, written=images * _ROW, gpus=int(settings.reads_images))  # fmt: skip


def _grounding(config: Config, place: str, dataset: str, images: float, forward: float) -> Job:
    """Return the job of phrase grounding: at most all images of validation and test are positives.

    Every grid that some reading has takes passes of its own, and so does its mean over training images.
    """
    settings, split = config.settings(PhraseGroundingSettings, dataset), _split_of(config, dataset)
    measured, encoders = images * (split.validation + split.test), 1 + settings.random_encoders
    means = min(images * split.train, IMAGES_FOR_MEANS)
    readings = settings.readings.values()
    own, random = (_passes(each.shifts for each in readings if each.mean in kinds)
                   for kinds in (("dataset",), ("dataset", "pretraining")))  # fmt: skip
    passes = measured * encoders * _passes(each.shifts for each in readings)
    passes += means * (own + settings.random_encoders * random)
    return Job("phrase_grounding", place, "phrase_grounding", measured, passes * forward, True,
               written=images * _ROW, gpus=1)  # fmt: skip


def _passes(shifts: Iterable[int]) -> int:
    """Return the passes over an image that is read on each of some grids."""
    return sum(each**2 for each in set(shifts))


def _split_of(config: Config, dataset: str) -> SplitShares:
    """Return the shares of the parts of the labelled images; the default ones where lists or patients decide."""
    settings = config.settings(LabelImagesSettings, dataset)
    return settings.split if settings.split_lists is None and settings.patient_split is None else SplitShares()


def _few_shot(config: Config, place: str, dataset: str, images: int, forward: float) -> Iterator[Job]:
    settings, split = config.settings("few_shot_classification", dataset), _split_of(config, dataset)
    for protocol in settings.protocols:
        for fraction in settings.fractions:
            job = settings.job(protocol, fraction)
            name = f"{place}/{protocol}/{fraction}"
            if protocol == "linear":
                epochs = images * (split.train * fraction / 100 + split.test) * job.epochs * job.seeds
                yield Job("few_shot_classification", name, "few_shot_classification/linear", epochs,
                          written=images * _ROW)  # fmt: skip
            else:
                trained = job.updates(round(images * split.train * fraction / 100)) * job.batch_size * 3
                # at most: every look finds a better AUC, and scores test, too
                looked_at = images * (split.validation + split.test) * job.validations
                yield Job("few_shot_classification", name, "few_shot_classification/finetune", 0,
                          job.seeds * (trained + looked_at) * forward, job.precision == "fp32",
                          written=images * _ROW, gpus=1)  # fmt: skip


def _segmentation(config: Config, place: str, dataset: str, images: int, encoder: PretrainSettings) -> Iterator[Job]:
    settings, split = config.settings("few_shot_segmentation", dataset), _split_of(config, dataset)
    for protocol in settings.protocols:
        for fraction in settings.fractions:
            job = settings.job(protocol, fraction)
            forward = operations.image_forward(encoder, input_size=job.input_size)
            if protocol == "linear":  # the encoder is frozen: no backward pass through it
                work = images * (split.train * fraction / 100 + split.validation) * job.epochs * 2 * forward
            else:
                decoder = operations.upernet(job.decoder_width, job.input_size)
                trained = decoder if protocol == "benchx" else decoder + forward  # of a frozen encoder: the decoder
                work = job.steps * job.batch_size * (forward + decoder + 2 * trained)
                work += images * split.validation * (job.validations + 1) * (forward + decoder)  # again for a threshold
                work += images * split.test * (forward + decoder)
            yield Job("few_shot_segmentation", f"{place}/{protocol}/{fraction}", "few_shot_segmentation", 1,
                      job.seeds * work, job.precision == "fp32", written=images * _ROW, gpus=1)  # fmt: skip
