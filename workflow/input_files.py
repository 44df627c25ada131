"""What settings and small files already say against a run, found when the rules are read and not by a job hours later.

Snakemake and the doctor call `check_files`; it reads the prompt files and no table.
"""

from collections.abc import Iterator
from pathlib import Path

from stages.common.data.patient_split import PatientSplit
from stages.common.data.prompts import FindingPrompts, read_prompts
from stages.common.errors import InputError
from stages.common.settings import did_you_mean
from stages.configuration import FEW_SHOT, Config
from stages.index_inputs.contract import IndexInputsSettings
from stages.label_images.contract import LabelImagesSettings
from stages.phrase_grounding.contract import refuse_set_of_phrases

CHECKOUT = Path(__file__).resolve().parents[1]
PLACE_SLOTS = ("side", "zone")  # those of phrase_grounding, which each image fills with its own place


def check_files(config: Config) -> list[InputError]:
    """Return an error for each thing that would stop an evaluation: prompts, locations, parts of the labels, sizes."""
    found = [each for name in config.evaluate_on for each in _of_labelled(config, name)]
    found += _of_pretraining(config)
    return [*found, *_odd_sizes(config)]


def _of_labelled(config: Config, name: str) -> Iterator[InputError]:
    labels = config.settings(LabelImagesSettings, name)
    for stage in ("zero_shot_classification", "phrase_grounding"):
        named = config.settings(stage, name).prompts
        if name not in config.measured_on(stage) or named is None:  # boxes of phrases need none
            continue
        key = f"datasets.{name}.{stage}.prompts"
        try:
            prompts = _prompts_of(named, stage)
            if stage == "phrase_grounding" and labels.has_phrases:
                refuse_set_of_phrases(prompts)
        except InputError as error:
            yield from (InputError(f"{key}: {each.what}", each.remedy) for each in error.errors)
            continue
        known = labels.by_finding
        for finding in prompts:
            if finding not in known:
                where = "finding" if labels.findings is None else "findings"
                yield InputError(
                    f"{key}: it has prompts of the finding {finding!r}, but datasets.{name}.label_images.{where} is "
                    f"{', '.join(known)}",
                    f"give both the same name, or name another prompt file{did_you_mean(finding, known)}",
                )
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


def _prompts_of(prompts: str, stage: str) -> dict[str, FindingPrompts]:
    """Read a prompt file as its stage will. Raises InputError with every mistake."""
    path = CHECKOUT / prompts
    if not path.is_file():
        raise InputError(f"no file {path}", f"write an absolute path, or one relative to the checkout, {CHECKOUT}")
    read = read_prompts(path, denying=stage == "zero_shot_classification")
    if stage == "phrase_grounding":
        for own in read.values():
            for each in own.sets:
                own.slots_of(each, PLACE_SLOTS)
    return read


def _empty_parts(config: Config, name: str, labels: LabelImagesSettings) -> Iterator[InputError]:
    """Yield an error for each part of the labels that an evaluation needs and that gets no share."""
    if labels.split_lists is not None:
        return
    if labels.has_phrases and config.points_only_with_phrases(name):
        needed = {"test": "is measured"}
    else:
        needed = {"validation": "chooses prompts and thresholds", "test": "is measured"}
    trains = any(name in config.measured_on(stage) for stage in FEW_SHOT)
    needed |= {"train": "is what the few-shot evaluations learn from"} if trains else {}
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


def _has_distributed_split(config: Config, name: str, split: PatientSplit) -> bool:
    """Return whether a data set may come with a split of its own that is followed: MIMIC-CXR-JPG does."""
    return split.use_distributed and config.settings(IndexInputsSettings, name).layout == "mimic_cxr"


def _odd_sizes(config: Config) -> Iterator[InputError]:
    """Yield an error for each input size of few-shot segmentation that an encoder's patches do not divide."""
    patches = {variant: config.settings("pretrain", variant=variant).model.image for variant in config.compare}
    for name in config.measured_on("few_shot_segmentation"):
        for protocol, size in config.settings("few_shot_segmentation", name).input_sizes().items():
            odd = [variant for variant, image in patches.items() if image.patch_size and size % image.patch_size]
            if odd:
                yield InputError(
                    f"few_shot_segmentation.{protocol}.input_size: {size} (data set {name}) is no multiple of the "
                    f"patch size of {odd[0]}, {patches[odd[0]].patch_size} pixels",
                    "set it to a multiple",
                )
