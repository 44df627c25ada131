"""The whole of config.yaml: checked at once, and handed out stage by stage. Only the workflow imports this.

A stage's settings are its block, overridden by the data set's block of that stage or by the variant. No stage sees more
than its own settings, so editing one block changes the digests of only those stages that read it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, create_model, field_validator

from .common.contract import Device
from .common.data.patient_split import PatientSplit
from .common.errors import InputError, InputErrors
from .common.settings import (
    FolderPath,
    Model,
    Name,
    Settings,
    UniqueList,
    did_you_mean,
    place_of,
    wrong_value,
)
from .common.templates import filled, slots_in
from .config_layers import KeyPath, Layer, Origins, holds, value_at
from .contracts import BLOCKS, JOBS
from .fetch_weights.contract import hub_id
from .pretrain.contract import ReadyMadeVariant

_STAGE_OF: dict[type[BaseModel], str] = {model: stage for stage, model in BLOCKS.items()}

FEW_SHOT = ("few_shot_classification", "few_shot_segmentation")

Block = dict[str, Any]


def _with_blocks(name: str, stages: Iterable[str]) -> type[Settings]:
    """Create a model that has a block, empty by default, for each stage."""
    blocks: dict[str, Any] = {stage: (Block, Field(default_factory=dict)) for stage in stages}
    return create_model(name, __base__=Settings, **blocks)


_PER_DATASET = dict.fromkeys(job.stage for job in JOBS if "{dataset}" in job.place)
_StageBlocks = _with_blocks("_StageBlocks", BLOCKS)
_DatasetBlocks = _with_blocks("_DatasetBlocks", _PER_DATASET)


class Dataset(_DatasetBlocks):  # type: ignore[valid-type, misc]  # its fields follow from the contracts
    """A data set: its folder, and overrides of stages' settings for it."""

    root: str = Field(min_length=1, description="folder of the data set; {workspace} and {sample_root} are filled in")
    index_inputs: Block

    @field_validator("root")
    @classmethod
    def _knows_its_slots(cls, root: str) -> str:
        slots_in(root, ("workspace", "sample_root"))
        return root


class Config(_StageBlocks):  # type: ignore[valid-type, misc]  # its blocks follow from the contracts
    """Contents of config.yaml. Stage blocks are checked by `check`, after the overrides are merged in."""

    project: str = Field(min_length=1, description="name of the MLflow experiment (renaming it: docs/decisions/0016)")
    register_models: bool = Field(
        True, description="upload chosen models to MLflow's registry; false: no weights go to MLflow. Reruns nothing"
    )
    workspace: FolderPath = Field(pattern=r"^[^.]", description="root folder of all outputs")
    sample_root: str | None = Field(None, description="data folder of the profile `sample`")
    device: Device = Field("auto", description="where torch computes; auto: a GPU if present")
    pretrain_retries: int = Field(
        6,
        ge=0,
        description="retries of a failed or interrupted training on a cluster; each attempt resumes from "
        "the last state",
    )
    pretrain_on: str = Field(description="the data set with reports; a key of `datasets`")
    evaluate_on: UniqueList[str] = Field(min_length=1, description="the data sets with labels; keys of `datasets`")
    patient_split: PatientSplit = PatientSplit()
    datasets: dict[Name, Dataset] = Field(description="the data sets, under names of your choice")
    variants: dict[Name, Block] = Field(
        min_length=1, description="named overrides of `pretrain`, or `encoder`: a published encoder"
    )
    compare: UniqueList[str] = Field(min_length=1, description="the variants to run")

    _built: dict[tuple[str, str | None, str | None], Settings] = PrivateAttr(default_factory=dict)

    def __copy__(self) -> "Config":
        copy = super().__copy__()
        copy._built = {}  # a copy may be updated
        return copy

    @overload
    def settings(self, stage: type[Model], dataset: str | None = None, variant: str | None = None) -> Model: ...
    @overload
    def settings(self, stage: str, dataset: str | None = None, variant: str | None = None) -> Any: ...
    def settings(self, stage: str | type[BaseModel], dataset: str | None = None, variant: str | None = None) -> Any:
        """Return the settings of one job, each validated once; raises pydantic's ValidationError.

        `stage` is its name, or for type checkers the class of its settings.
        """
        name = stage if isinstance(stage, str) else _STAGE_OF[stage]
        job = (name, dataset, variant)
        if job not in self._built:
            self._built[job] = self._validated(*job)
        return self._built[job]

    def _validated(self, stage: str, dataset: str | None, variant: str | None) -> Settings:
        block = getattr(self, stage)
        if dataset is not None:
            block = merged(block, getattr(self.datasets[dataset], stage, {}))
        if variant is not None and stage == "pretrain":
            block = merged(block, self._overrides(variant))
        if "patient_split" in BLOCKS[stage].model_fields:
            block = merged({"patient_split": self.patient_split.model_dump()}, block)
        return BLOCKS[stage].model_validate(block)

    def _overrides(self, variant: str) -> Block:
        """Return a variant's overrides of `pretrain`.

        A ready-made encoder is expanded; other keys of the variant override it.
        """
        block = self.variants[variant]
        if "encoder" not in block:
            return block
        ready = ReadyMadeVariant.model_validate({"encoder": block["encoder"]}).encoder.pretrain_block()
        return merged(ready, {key: value for key, value in block.items() if key != "encoder"})

    def is_written_by_encoder(self, variant: str, location: KeyPath) -> bool:
        """Return whether a key of `pretrain` gets its value from a variant's `encoder`, not from the variant itself."""
        if "encoder" not in self.variants[variant] or location[:1] == ("encoder",):
            return False
        return holds(self._overrides(variant), location) and not holds(self.variants[variant], location)

    @property
    def used_datasets(self) -> list[str]:
        """Return the data sets that a run reads: `pretrain_on` first, then `evaluate_on`, each once."""
        return list(dict.fromkeys([self.pretrain_on, *self.evaluate_on]))

    @property
    def phantom(self) -> Path:
        """Return the folder in which make_phantom writes its data sets."""
        return Path(self.workspace) / "phantom"

    def is_phantom(self, dataset: str) -> bool:
        """Return whether make_phantom writes the data set."""
        return Path(self.root(dataset)).is_relative_to(self.phantom)

    @property
    def with_text(self) -> list[str]:
        """Return the variants of `compare` that have a text encoder of their own: no ready-made image encoders."""
        return [variant for variant in self.compare if "encoder" not in self.variants[variant]]

    def root(self, dataset: str) -> str:
        """Return the folder of a data set. Raises InputError where it needs a `sample_root` that is not set."""
        root = self.datasets[dataset].root
        if "{sample_root}" in root and not self.sample_root:
            raise InputError(
                f"datasets.{dataset}.root: {root} needs `sample_root`",
                remedy="add --config sample_root=FOLDER to the command",
            )
        return filled(root, {"workspace": self.workspace, "sample_root": self.sample_root or ""})

    def folders(self) -> dict[str, Path]:
        """Return the folders that jobs read and write, by the key that names them.

        A container must be given access to them.
        """
        roots = {f"datasets.{dataset}.root": Path(self.root(dataset)) for dataset in self.used_datasets}
        named = {self.settings("split_reports", self.pretrain_on).tokenizer.weights}
        for variant in self.compare:
            pretrain = self.settings("pretrain", variant=variant)
            named |= {pretrain.model.image.weights, pretrain.model.text.weights, pretrain.resume_from}
        local = {f"weights {name}": Path(name) for name in sorted(filter(None, named)) if hub_id(name) is None}
        weights = {key: path if path.is_dir() else path.parent for key, path in local.items()}
        return {"workspace": Path(self.workspace)} | roots | weights

    def few_shot_jobs(self, stage: str) -> list[str]:
        """Return the jobs of a few-shot stage, run for every variant, as DATASET/PROTOCOL/FRACTION."""
        settings = {dataset: self.settings(stage, dataset) for dataset in self.evaluate_on}
        return [f"{dataset}/{protocol}/{fraction}" for dataset, each in settings.items()
                for protocol in each.protocols for fraction in each.fractions]  # fmt: skip

    def jobs(self) -> list[tuple[str, str | None, str | None]]:
        """Return (stage, data set, variant) of everything that the configuration asks for."""
        stages = ["make_phantom", "select_checkpoint", "extract_features", "retrieval", "summarize"]
        jobs: list[tuple[str, str | None, str | None]] = [(stage, None, None) for stage in stages]
        jobs += [
            (stage, dataset, None) for dataset in self.used_datasets for stage in ("index_inputs", "dicom_to_arrow")
        ]
        jobs += [(stage, self.pretrain_on, None) for stage in ("split_reports", "pair_images_reports")]
        evaluations = ("zero_shot_classification", *FEW_SHOT, "phrase_grounding")
        labelled = ("label_images", "audit_splits", *evaluations)
        jobs += [(stage, dataset, None) for dataset in self.evaluate_on for stage in labelled]
        return jobs + [("pretrain", None, variant) for variant in self.compare]


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `override` merged over it, recursively."""
    result = dict(base)
    for key, value in override.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def check(raw: Mapping[str, Any], layers: Sequence[Layer] = ()) -> Config:
    """Validate the whole configuration.

    `raw` is the merge of the `layers`; without layers all of it counts as config.yaml. Raises InputErrors with every
    wrong key or value, one per line, with the file that sets it.
    """
    origins = Origins(layers or [Layer("config.yaml", raw)])
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise InputErrors(
            wrong_value(item, f"{origins.of(*item['loc'])}: {place_of(item['loc'])}", Config) for item in error.errors()
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
    whole = (_foreign_tokenizers, _unknown_fractions, _small_images)
    wrong = wrong or [each for check_of in whole for each in check_of(config, origins)]
    if wrong:
        raise InputErrors(wrong)
    return config


def _wrong_blocks(config: Config, raw: Mapping[str, Any], origins: Origins) -> list[InputError]:
    """Return an error for each wrong key or value of the stages' blocks, at the one place where it is written."""
    jobs = config.jobs()
    found: dict[tuple[str, KeyPath, str], list[tuple[str | None, str | None, Any]]] = {}
    for stage, dataset, variant in jobs:
        try:
            config.settings(stage, dataset, variant)
        except ValidationError as error:
            for item in error.errors():
                found.setdefault((stage, item["loc"], item["msg"]), []).append((dataset, variant, item))
    wrong: dict[str, InputError] = {}  # by its line: what stands in one place is said once
    for (stage, location, _), cases in found.items():
        in_all = len(cases) == sum(each == stage for each, _, _ in jobs) > 1
        for dataset, variant, item in cases:
            if variant is not None and config.is_written_by_encoder(variant, location):
                where = f"{origins.of('variants', variant, 'encoder')}: {_place(stage, None, variant)}: encoder"
                one = wrong_value(item, where)
                wrong[str(one)] = one
                continue
            key = location[:-1] if item["type"] == "missing" else location
            override = ("datasets", dataset, stage) if dataset else ("variants", variant) if variant else (stage,)
            block = override if _is_set_in(raw, (*override, *key), in_all) else (stage,)
            place = stage if block == (stage,) else _place(stage, dataset, variant)
            where = f"{origins.of(*block, *location)}: {place}: {place_of(location)}"
            model = ReadyMadeVariant if location[:1] == ("encoder",) else BLOCKS[stage]
            one = wrong_value(item, where, model)
            wrong[str(one)] = one
    return list(wrong.values())


def _is_set_in(raw: Mapping[str, Any], path: KeyPath, in_all: bool) -> bool:
    """Return whether an override is at fault: it sets the value, or a part of a block that is not wrong in all jobs."""
    return holds(raw, path) and not (in_all and isinstance(value_at(raw, path), Mapping))


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
    for dataset in config.evaluate_on:
        subsets = config.settings("label_images", dataset).subsets
        wrong += [
            InputError(
                f"{origins.of('datasets', dataset, stage, 'fractions')}: "
                f"{_place(stage, dataset, None)}: fractions: {fraction} is not among the data set's "
                f"label_images.subsets {subsets}",
                "add it there or correct it",
            )
            for stage in FEW_SHOT
            for fraction in config.settings(stage, dataset).fractions
            if fraction not in subsets
        ]
    return wrong


def _small_images(config: Config, origins: Origins) -> list[InputError]:
    """Return an error for each protocol of few-shot segmentation whose input is larger than the stored images."""
    wrong = []
    for dataset in config.evaluate_on:
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


def _place(stage: str, dataset: str | None, variant: str | None) -> str:
    if dataset is not None:
        return f"datasets.{dataset}.{stage}"
    return f"variants.{variant} (over {stage})" if variant is not None else stage
