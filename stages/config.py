"""Check the whole of config.yaml at once; each mistake comes with the file and key that it stands in."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .common.errors import InputError, InputErrors
from .common.settings import did_you_mean, place_of, wrong_parts, wrong_value
from .config_layers import KeyPath, Layer, Origins, holds, merged, value_at
from .configuration import FEW_SHOT, Config
from .contracts import BLOCKS, EVALUATIONS
from .pretrain.contract import PretrainSettings
from .pretrain.ready_made import ReadyMadeVariant
from .study import check_study
from .variants import is_written_by_encoder


def check(raw: Mapping[str, Any], layers: Sequence[Layer] = ()) -> Config:
    """Validate the whole configuration.

    `raw` is the merge of the `layers`; without layers all of it counts as config.yaml. Raises InputErrors with every
    wrong key or value, one per line, with the file that sets it.
    """
    layers = layers or [Layer("config.yaml", raw)]
    origins = Origins(layers)
    raw = reduce(merged, (layer.values for layer in layers), {})  # Snakemake's own merge reads 0512 as 330
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise InputErrors(
            wrong_value(item, f"{_origin(origins, item, item['loc'])}: {place_of(item['loc'])}", Config)
            for item in wrong_parts(error)
        ) from None
    wrong = [
        InputError(
            f"{origins.of(key)}: {key}: {name!r} is not a key of `datasets`",
            f"add it there or correct the name{did_you_mean(name, config.datasets)}",
        )
        for key, names in (("pretrain_on", [config.pretrain_on]), ("evaluate_on", config.evaluate_on))
        for name in names
        if name not in config.datasets
    ]
    wrong += [
        InputError(
            f"{origins.of('compare')}: compare: {name!r} is not a key of `variants`",
            f"add it there or correct the name{did_you_mean(name, config.variants)}",
        )
        for name in config.compare
        if name not in config.variants
    ]
    wrong += _wrong_seeds(config, origins)
    labelled = config.select_checkpoint.get("zero_shot_on")
    if labelled is not None and labelled not in config.evaluate_on:
        wrong.append(InputError(f"{origins.of('select_checkpoint', 'zero_shot_on')}: "
                       f"select_checkpoint.zero_shot_on: {labelled!r} is not in `evaluate_on`",
                                "add it there or correct the name"))  # fmt: skip
    if not wrong and not config.with_text:
        wrong = [InputError(f"{origins.of('compare')}: compare: all variants are published image encoders",
                            "add a variant that is pre-trained here, or `random`")]  # fmt: skip
    if wrong:
        raise InputErrors(wrong)
    wrong = _wrong_blocks(config, raw, origins)
    whole = (_impossible_evaluations, _images_of_pretraining, _foreign_tokenizers, _unknown_fractions, _small_images,
             _small_targets, _labels_split_apart, _split_beside_lists, _ids_written_apart, check_study)  # fmt: skip
    wrong = wrong or [each for check_of in whole for each in check_of(config, origins)]
    if wrong:
        raise InputErrors(wrong)
    return config


def _wrong_seeds(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for `seeds` where they have no meaning, and for a variant named as the replicate of another."""
    wrong = []
    for variant, block in config.variants.items():
        where = f"{origins.of('variants', variant, 'seeds')}: variants.{variant}.seeds"
        if block.get("seeds") and "encoder" in block:
            wrong.append(InputError(f"{where}: a published encoder is not trained here", "remove them"))
        elif block.get("seeds") and "seed" in block:
            wrong.append(InputError(f"{where}: stand beside `seed`", "keep one of them"))
        resumed = merged(config.pretrain, block).get("resume_from")
        if resumed is not None and len(config.replicates_of(variant)) > 1:
            what = f"several trainings of {variant}, but resume_from is set: they would all go on from one state"
            wrong.append(InputError(f"{where}: {what}", "keep one seed, or remove resume_from"))
        for other in config.replicates_of(variant):
            if other.seed is not None and other.name in config.variants:
                what = f"variants.{other.name}: is also the name of {variant} with its seed {other.seed}"
                wrong.append(InputError(f"{origins.of('variants', other.name)}: {what}", "rename the variant"))
    return wrong


def _wrong_blocks(config: Config, raw: Mapping[str, Any], origins: Origins) -> list[InputError]:
    """Return an error for each wrong key or value of the stages' blocks, at the one place where it is written."""
    jobs = config.jobs()
    found: dict[tuple[str, KeyPath, str], list[tuple[str | None, str | None, Any]]] = {}
    for stage, dataset, variant in jobs:
        try:
            config.settings(stage, dataset, variant)
        except ValidationError as error:
            for item in wrong_parts(error):
                found.setdefault((stage, item["loc"], item["msg"]), []).append((dataset, variant, item))
    wrong: dict[str, InputError] = {}  # by its line: what stands in one place is said once
    for (stage, location, _), cases in found.items():
        in_all = len(cases) == sum(each == stage for each, _, _ in jobs) > 1
        for dataset, variant, item in cases:
            if variant is not None and is_written_by_encoder(config.variants[variant], location):
                where = f"{origins.of('variants', variant, 'encoder')}: {_place(stage, None, variant)}: encoder"
                one = wrong_value(item, where)
                wrong[str(one)] = one
                continue
            override = ("datasets", dataset, stage) if dataset else ("variants", variant) if variant else (stage,)
            key = max((_written_part(raw, each, location) for each in (override, (stage,))), key=len)
            block = override if _is_set_in(raw, (*override, *key), in_all) else (stage,)
            place = stage if block == (stage,) else _place(stage, dataset, variant)
            beside = (stage, *key) if block != (stage,) else block + key  # what an override is laid over
            origin = _origin(origins, item, beside, block + key)
            where = f"{origin}: {place}: {place_of(_named(raw, block, key, location))}"
            model = ReadyMadeVariant if location[:1] == ("encoder",) else BLOCKS[stage]
            one = wrong_value(item, where, model)
            wrong[str(one)] = one
    return list(wrong.values())


def _origin(origins: Origins, item: Any, *paths: KeyPath) -> str:
    """Return the source of a wrong value at the last path; of keys that contradict each other, all of theirs."""
    return origins.of_error(item["msg"], *paths) if item["type"] == "value_error" else origins.of(*paths[-1])


def _written_part(raw: Mapping[str, Any], block: KeyPath, location: KeyPath) -> KeyPath:
    """Return the longest prefix of an error's location that a block holds, its keys as they are written there.

    The rest of a location is a key that lacks, or no key but pydantic's name of a member of a union.
    """
    if not holds(raw, block):
        return ()
    values = value_at(raw, block)
    written: KeyPath = ()
    for part in location:
        # pydantic writes the key False, which YAML reads from `no`, as 0
        keys = [key for key in values if key == part or str(key) == str(part)] if isinstance(values, Mapping) else []
        key = keys[0] if keys else part
        if not holds(values, (key,)):
            break
        values, written = values[key], (*written, key)
    return written


def _named(raw: Mapping[str, Any], block: KeyPath, key: KeyPath, location: KeyPath) -> KeyPath:
    """Return an error's location without a union's member where it is in a list or a single value, `key` of a block."""
    path = (*block, *key)
    whole = not holds(raw, path) or isinstance(value_at(raw, path), Mapping)
    return (*key, *location[len(key) :]) if whole else key


def _is_set_in(raw: Mapping[str, Any], path: KeyPath, in_all: bool) -> bool:
    """Return whether an override is at fault: it sets the value, or a part of a block that is not wrong in all jobs."""
    return holds(raw, path) and not (in_all and isinstance(value_at(raw, path), Mapping))


_HOW_TO_HAVE = {
    "fewer than two findings": "name two or more label_images.findings",
    "no training and validation images": "give them a part of the split",
    "no boxes or masks": "name label_images.columns.boxes or .mask",
    "no prompt file": "name its `prompts`",
    "no protocol": "name its `protocols`",
}


def _impossible_evaluations(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each evaluation that is asked for by name and lacks something, and where none is left."""
    wrong = []
    for name in config.evaluate_on:
        key, chosen = f"datasets.{name}.evaluations", config.datasets[name].evaluations
        where = f"{origins.of('datasets', name, 'evaluations')}: {key}"
        lacking = {stage: config.lacks(stage, name) for stage in ([] if chosen == "auto" else chosen)}
        for stage, why in lacking.items():
            if why is not None:
                ways = [_HOW_TO_HAVE[each] for each in why.split(", ")]
                wrong.append(InputError(f"{where}: {stage} cannot be measured on {name}: {why}",
                                        f"{' and '.join(ways)}, or take it out of the list"))  # fmt: skip
        if len(config.not_measured(name)) == len(EVALUATIONS):
            what = f"{where}: nothing is measured on {name}"
            wrong.append(InputError(what, "take it out of `evaluate_on`, or name prompts or protocols"))
    labelled = config.settings("select_checkpoint").zero_shot_on
    if labelled is not None and (why := config.lacks("zero_shot_classification", labelled)):
        where = f"{origins.of('select_checkpoint', 'zero_shot_on')}: select_checkpoint.zero_shot_on"
        remedy = f"name datasets.{labelled}.zero_shot_classification.prompts"
        if why != "no prompt file":
            remedy = "name a data set with all it needs"
        wrong.append(InputError(f"{where}: {labelled} has {why}", remedy))
    return wrong


def _images_of_pretraining(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each data set of which images that pre-training may have read would be classified."""
    stage, wrong = "multi_class_classification", []
    for dataset in config.measured_on(stage):
        if config.settings(stage, dataset).part != "all":
            continue
        same_images = len({Path(config.datasets[each].root).resolve() for each in (dataset, config.pretrain_on)}) == 1
        same_patients = config.settings("audit_splits", dataset).same_patients
        if same_images or same_patients or config.settings("label_images", dataset).patient_split is not None:
            key = ("datasets", dataset, stage, "part")
            what = f"{place_of(key)}: all, but pre-training reads patients of {dataset} outside of its test part"
            wrong.append(InputError(f"{origins.of(*key)}: {what}", "set it to test"))
    return wrong


def _foreign_tokenizers(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each variant whose text encoder starts from other weights than the tokenizer's."""
    tokenizer = config.settings("split_reports", config.pretrain_on).tokenizer.weights
    encoders = {name: config.settings("pretrain", variant=name).model.text.weights for name in config.compare}
    return [
        InputError(
            f"{origins.of('variants', variant, 'model', 'text', 'weights')}: "
            f"{_place('pretrain', None, variant)}: model.text.weights is {weights}, but "
            f"split_reports.tokenizer.weights is {tokenizer}",
            "an encoder reads its own word pieces only: set both to the same value",
        )
        for variant, weights in encoders.items()
        if weights is not None and weights != tokenizer
    ]


def _unknown_fractions(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each fraction of a few-shot stage that label_images makes no subset of."""
    wrong = []
    for stage, dataset in [(each, dataset) for each in FEW_SHOT for dataset in config.measured_on(each)]:
        subsets = config.settings("label_images", dataset).subsets
        wrong += [
            InputError(
                f"{origins.of('datasets', dataset, stage, 'fractions')}: "
                f"{_place(stage, dataset, None)}: fractions: {fraction} is not among the data set's "
                f"label_images.subsets {subsets}",
                "add it there or correct it",
            )
            for fraction in config.settings(stage, dataset).fractions
            if fraction not in subsets
        ]
    return wrong


def _small_images(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each protocol of few-shot segmentation whose input is larger than the stored images."""
    wrong = []
    for dataset in config.measured_on("few_shot_segmentation"):
        stored = config.settings("dicom_to_arrow", dataset).size
        settings = config.settings("few_shot_segmentation", dataset)
        wrong += [
            InputError(
                f"{origins.of('datasets', dataset, 'few_shot_segmentation')}: "
                f"{_place('few_shot_segmentation', dataset, None)}: {protocol}.input_size is {size}, but its "
                f"images are stored at {stored}",
                f"set datasets.{dataset}.dicom_to_arrow.size to {size} or more, leave the protocol out, or set "
                "allow_upsampling: true",
            )
            for protocol, size in settings.input_sizes().items()
            if size > stored and not settings.allow_upsampling
        ]
    return wrong


def _small_targets(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each variant that predicts images larger than those which are stored."""
    stored = config.settings("dicom_to_arrow", config.pretrain_on).size
    wrong = []
    for variant in config.compare:
        settings = config.settings(PretrainSettings, variant=variant)
        trains = settings.optimisation.epochs > 0
        if trains and settings.drawn_size > max(stored, settings.model.image.input_size):
            where = origins.of("variants", variant, "reconstruction", "target_size")
            wrong.append(
                InputError(
                    f"{where}: {_place('pretrain', None, variant)}: reconstruction.target_size is "
                    f"{settings.drawn_size}, but the images of {config.pretrain_on} are stored at {stored}",
                    f"set datasets.{config.pretrain_on}.dicom_to_arrow.size to at least {settings.drawn_size}, or a "
                    "smaller target_size",
                )
            )
    return wrong


def _split_beside_lists(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each data set whose `split` has no effect, because lists split it."""
    raw, wrong = config.model_dump(), []
    for dataset in config.evaluate_on:
        key = ("datasets", dataset, "label_images", "split")
        if config.settings("label_images", dataset).split_lists is not None and holds(raw, key):
            what = f"{origins.of(*key)}: {place_of(key)}: has no effect beside `split_lists`"
            wrong.append(InputError(what, f"remove it, or set {place_of(key[:-1])}.split_lists: null"))
    return wrong


def _ids_written_apart(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each data set whose labels write ids in another way than its index: none would fit."""
    wrong = []
    for dataset in config.evaluate_on:
        index, labels = (config.settings(stage, dataset).identifier_kind for stage in ("index_inputs", "label_images"))
        if index != labels:
            key = ("datasets", dataset, "label_images")
            what = f"{origins.of(*key)}: {place_of(key)}: ids are {labels}, but those of index_inputs are {index}"
            wrong.append(InputError(what, f"set `identifiers: {index}` in both blocks, or `identifiers: {labels}`"))
    return wrong


def _labels_split_apart(config: Config, origins: Origins) -> list[InputError]:
    """Return an error where labels of `pretrain_on` have a split of their own: audit_splits would refuse it later."""
    dataset = config.pretrain_on
    if dataset not in config.evaluate_on:
        return []
    labels, pairs = config.settings("label_images", dataset), config.settings("pair_images_reports", dataset)
    own, raw = ("datasets", dataset, "label_images"), config.model_dump()
    blocks = [own] if config.evaluate_on != [dataset] else [own, own[2:]]  # the latter may be for other data sets
    wrong = [
        InputError(
            f"{origins.of(*block, 'split')}: {place_of(block)}.split: has no effect: pre-training reads {dataset}, "
            "too, and its labels follow the patient split of pre-training",
            "remove it, and set the shares at the top level: `patient_split: {validation: 0.1, test: 0.2}`",
        )
        for block in blocks
        if labels.patient_split is not None and holds(raw, (*block, "split"))
    ]
    same = labels.split_lists is not None or labels.patient_split == pairs.patient_split  # lists: audit_splits compares
    if not same and not config.settings("audit_splits", dataset).allow_overlap:
        key = (*own, "patient_split")
        what = (
            f"{place_of(key)}: differs from the split of the pairs, so pre-training would read test images of {dataset}"
        )
        remedy = (
            f"remove it, or set datasets.{dataset}.audit_splits.allow_overlap: true (results then record the overlap)"
        )
        wrong.append(InputError(f"{origins.of(*key)}: {what}", remedy))
    return wrong


def _place(stage: str, dataset: str | None, variant: str | None) -> str:
    if dataset is not None:
        return f"datasets.{dataset}.{stage}"
    return f"variants.{variant} (over {stage})" if variant is not None else stage
