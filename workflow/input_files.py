"""What settings and small files already say against a run, found when the rules are read and not by a job hours later.

Snakemake and the doctor call `check_files`; it reads the prompt files and no table. The rules take the files of the
data sets from `archives_of` and `files_with_tables`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from stages.common.data.distributions import not_there
from stages.common.data.patient_split import PatientSplit
from stages.common.data.prompts import FindingPrompts, read_prompts
from stages.common.errors import InputError
from stages.common.files.archives import is_archive, is_dir, is_file, on_disk
from stages.common.settings import did_you_mean
from stages.configuration import FEW_SHOT, Config
from stages.contracts import EVALUATIONS, needs_of
from stages.index_inputs.contract import IndexInputsSettings
from stages.label_images.contract import LabelImagesSettings
from stages.phrase_grounding.contract import PHRASES, PhraseGroundingSettings, readings_of, refuse_set_of_phrases
from stages.zero_shot_classification.contract import ZeroShotSettings

CHECKOUT = Path(__file__).resolve().parents[1]
PLACE_SLOTS = ("side", "zone")  # those of phrase_grounding, which each image fills with its own place


def check_files(config: Config) -> list[InputError]:
    """Return an error for each thing that would stop an evaluation: prompts, locations, parts of the labels, sizes."""
    found = [*_unfit_patterns(config)]
    found += [each for name in config.evaluate_on for each in _of_labelled(config, name)]
    found += [*_of_pretraining(config), *_unknown_classes(config)]
    return [*found, *_odd_sizes(config)]


def _unfit_patterns(config: Config) -> Iterator[InputError]:
    """Yield an error for each data set that has a pattern in `roots` which nothing fits."""
    for name in config.used_datasets:
        try:
            config.roots(name)
        except InputError as error:
            yield error


def archives_of(config: Config, dataset: str) -> list[str]:
    """Return the archives of a data set: as they are few, Snakemake can watch them."""
    return [each for each in (config.root(dataset), *config.roots(dataset)) if is_archive(Path(each))]


def files_with_tables(
    config: Config, dataset: str, names: Callable[[Path | None], Iterable[str]], what: str
) -> list[str]:
    """Return the files on disk that hold the tables of a data set, each once: a table itself, or its archive.

    `names` returns the tables' names, which may depend on what the root contains. Raises InputError for one that is not
    there: no such `what`. A tar is not looked into, because all of it would be read: that is for the doctor and jobs.
    """
    root, where = Path(config.root(dataset)), config.where_to_get(dataset)
    paths = [root / name for name in names(None if _is_tar(root) else root)]
    if not (paths or config.is_phantom(dataset) or _is_tar(root) or is_dir(root)):  # a tree has no table
        raise not_there(root, f"no such {what}", where)
    for path in paths:
        if not (config.is_phantom(dataset) or _is_tar(on_disk(path)) or is_file(path)):
            raise not_there(path, f"no such {what}", where)
    return list(dict.fromkeys(str(on_disk(path)) for path in paths))


def _is_tar(path: Path) -> bool:
    return is_archive(path) and path.suffix.lower() != ".zip"


def _of_labelled(config: Config, name: str) -> Iterator[InputError]:
    labels = config.settings(LabelImagesSettings, name)
    for stage in (each for each in EVALUATIONS if needs_of(each) & {"prompts", "prompts or phrases"}):
        named = config.settings(stage, name).prompts
        if name not in config.measured_on(stage) or named is None:  # boxes of phrases need none
            continue
        key = f"datasets.{name}.{stage}.prompts"
        settings = config.settings(stage, name)
        denying = stage == "zero_shot_classification" or getattr(settings, "score", None) == "difference"
        try:
            prompts = _prompts_of(named, stage, denying)
            if isinstance(settings, PhraseGroundingSettings):
                _check_sets(settings, prompts, labels.has_phrases)
            findings = settings.classes_among(prompts) if stage == "multi_class_classification" else list(prompts)
        except InputError as error:
            yield from (InputError(f"{key}: {each.what}", each.remedy) for each in error.errors)
            continue
        known = labels.by_finding
        for finding in findings:
            if finding not in known:
                where = "finding" if labels.findings is None else "findings"
                yield InputError(
                    f"{key}: it has prompts of the finding {finding!r}, but datasets.{name}.label_images.{where} is "
                    f"{', '.join(known)}",
                    f"give both the same name, or name another prompt file{did_you_mean(finding, known)}",
                )
    grounding = config.settings(PhraseGroundingSettings, name)
    if labels.has_phrases and name in config.measured_on("phrase_grounding"):
        try:
            readings_of(grounding.readings, name, PHRASES, denying=False)
        except InputError as error:
            yield error
    yield from _unknown_findings(config, name, labels)
    yield from _empty_parts(config, name, labels)


def _unknown_findings(config: Config, name: str, labels: LabelImagesSettings) -> Iterator[InputError]:
    """Yield an error for each finding of a few-shot stage that the labels do not have."""
    for stage in FEW_SHOT:
        if name in config.measured_on(stage):
            settings = config.settings(stage, name)
            named = getattr(settings, "findings", None) or [getattr(settings, "finding", None)]
            for finding in named:
                if finding is not None and finding not in labels.by_finding:
                    yield InputError(
                        f"datasets.{name}.{stage}: no finding {finding!r} in the labels, which have "
                        f"{', '.join(labels.by_finding)}",
                        f"correct the name{did_you_mean(finding, labels.by_finding)}",
                    )


def _check_sets(settings: PhraseGroundingSettings, prompts: Mapping[str, FindingPrompts], phrases: bool) -> None:
    """Raise an InputError for a set of prompts that no reading of heatmaps fits, or that phrases give a wrong name."""
    if phrases:
        refuse_set_of_phrases(prompts)
    for finding, each in prompts.items():
        for name, own in each.sets.items():
            readings_of(settings.readings, finding, name, denying=bool(own.negative))


def _prompts_of(prompts: str, stage: str, denying: bool) -> dict[str, FindingPrompts]:
    """Read a prompt file as its stage will. Raises InputError with every mistake."""
    path = Path(prompts) if Path.cwd() == CHECKOUT else CHECKOUT / prompts  # as it was given, in errors
    if not path.is_file():
        raise InputError(f"no file {path}", f"write an absolute path, or one relative to the checkout, {CHECKOUT}")
    read = read_prompts(path, denying=denying)
    if stage == "phrase_grounding":
        for own in read.values():
            for each in own.sets:
                own.slots_of(each, PLACE_SLOTS)
    return read


def _empty_parts(config: Config, name: str, labels: LabelImagesSettings) -> Iterator[InputError]:
    """Yield an error for each part of the labels that an evaluation needs and that gets no share."""
    if labels.split_lists is not None:
        return
    trains = any(name in config.measured_on(stage) for stage in FEW_SHOT)
    needed = {"test": "is measured"}
    if not config.measures_on_test_alone(name):
        needed = {"validation": "chooses prompts and thresholds"} | needed
    needed |= {"train": "is what the few-shot evaluations learn from"} if trains else {}
    zero_shot = config.settings(ZeroShotSettings, name)
    if name in config.measured_on("zero_shot_classification") and (why := zero_shot.needs_training_images):
        needed |= {"train": f"{why} of zero_shot_classification (score: global needs none)"}
    shares, key = labels.split.model_dump(), f"datasets.{name}.label_images.split"
    if labels.patient_split is not None:
        if _has_distributed_split(config, name, labels.patient_split):
            return
        shares, key = labels.patient_split.model_dump(), "patient_split"
        needed = {"test": "is measured"}  # validation: below, since pre-training needs it, too
    for part, why in needed.items():
        if shares[part] == 0:
            yield InputError(f"{key}.{part}: 0, but this part of {name} {why}", "give it a share of the patients")


def _of_pretraining(config: Config) -> Iterator[InputError]:
    """Yield an error where no pair is left to choose the checkpoint with."""
    split = config.settings("pair_images_reports", config.pretrain_on).patient_split
    if split.validation == 0 and not _has_distributed_split(config, config.pretrain_on, split):
        what = f"patient_split.validation: 0, but select_checkpoint chooses on that part of {config.pretrain_on}"
        yield InputError(what, "give it a share of the patients")


def _unknown_classes(config: Config) -> Iterator[InputError]:
    """Yield an error for each class of retrieval that the labels of the pairs do not have."""
    known = config.settings(LabelImagesSettings, config.pretrain_on).by_finding if config.retrieves_by_class else {}
    for name in config.settings("retrieval").classes or ():
        if known and name not in known:
            what = f"retrieval.classes: no finding {name!r} in the labels of {config.pretrain_on}, which have "
            yield InputError(what + ", ".join(known), f"correct the name{did_you_mean(name, known)}")


def _has_distributed_split(config: Config, name: str, split: PatientSplit) -> bool:
    """Return whether a data set may come with a split of its own that is followed: as MIMIC-CXR-JPG, or a column."""
    index = config.settings(IndexInputsSettings, name)
    has_column = index.columns is not None and index.columns.split is not None
    return split.use_distributed and (index.layout == "mimic_cxr" or has_column)


def _odd_sizes(config: Config) -> Iterator[InputError]:
    """Yield an error for each size that an encoder's patches do not fit: inputs of segmentation, shifts of heatmaps."""
    patches = {variant: config.settings("pretrain", variant=variant).model.image for variant in config.compare}
    for name in config.measured_on("phrase_grounding"):
        for reading, own in config.settings(PhraseGroundingSettings, name).readings.items():
            small = [variant for variant, image in patches.items() if own.shifts > (image.patch_size or own.shifts)]
            if small:
                yield InputError(
                    f"phrase_grounding.readings.{reading}.shifts: {own.shifts} (data set {name}) exceeds the patch "
                    f"size of {small[0]}, {patches[small[0]].patch_size} pixels",
                    "set it to at most that number, best to one that divides it",
                )
    for name in config.measured_on("few_shot_segmentation"):
        for protocol, size in config.settings("few_shot_segmentation", name).input_sizes().items():
            odd = [variant for variant, image in patches.items()
                   if image.patch_size and (size % image.patch_size or size == image.patch_size)]  # fmt: skip
            if odd:
                yield InputError(
                    f"few_shot_segmentation.{protocol}.input_size: {size} (data set {name}) is no multiple of the "
                    f"patch size of {odd[0]}, {patches[odd[0]].patch_size} pixels, beyond itself",
                    "set it to a multiple, of two patches or more",
                )
