"""The configuration as a model: the shape of config.yaml, from the contracts, and the settings of each job.

A stage's settings are its block, overridden by the data set's block of that stage or by the variant. No stage sees more
than its own settings, so editing one block changes the digests of only those stages that read it.
"""

from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, Any, Literal, overload

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, create_model, field_validator, model_validator

from .common.data.distributions import WHERE_TO_GET
from .common.data.patient_split import PatientSplit
from .common.encoders.settings import EncoderPrecision
from .common.errors import InputError
from .common.files.archives import is_archive
from .common.replicates import Replicate
from .common.settings import Device, Model, Name, Settings, UniqueList, WorkspacePath, did_you_mean
from .common.templates import filled, slots_in
from .config_layers import merged
from .contracts import BLOCKS, EVALUATIONS, JOBS, needs_of
from .distribution import Distribution, laid_over, read_distribution
from .fetch_weights.contract import hub_id
from .label_images.contract import LabelImagesSettings
from .variants import Seeds, Variant, overrides_of, seeds_of

_STAGE_OF: dict[type[BaseModel], str] = {model: stage for stage, model in BLOCKS.items()}

FEW_SHOT = ("few_shot_classification", "few_shot_segmentation")
_SHARED = {"patient_split", "encoder_precision"}  # top-level keys that every block with such a key takes over

Block = dict[str, Any]


def _with_blocks(name: str, stages: Iterable[str]) -> type[Settings]:
    """Create a model that has a block, empty by default, for each stage."""
    blocks: dict[str, Any] = {stage: (Block, Field(default_factory=dict)) for stage in stages}
    return create_model(name, __base__=Settings, **blocks)


_PER_DATASET = dict.fromkeys(job.stage for job in JOBS if "{dataset}" in job.place)
StageBlocks = _with_blocks("StageBlocks", BLOCKS)
_DatasetBlocks = _with_blocks("_DatasetBlocks", _PER_DATASET)


class Dataset(_DatasetBlocks):  # type: ignore[valid-type, misc]  # its fields follow from the contracts
    """A data set: its folder, and overrides of stages' settings for it."""

    distribution: str | None = Field(
        None,
        description="name of a public data set, whose blocks (stages/distributions) are laid below those that follow; "
        "null: a data set of your own",
    )
    root: str = Field(
        min_length=1,
        description="folder of the data set, or its archive (.zip, .tar, .tar.gz, .tgz), which is read in place; "
        "absolute or relative to the folder where snakemake is called; {workspace} and {sample_root} are filled in. "
        "Tables are relative to it, `prompts` to the checkout",
    )
    roots: UniqueList[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="further folders or archives of the data set, or patterns of their paths (data/images_*.tar.gz): "
        "links below `root` may lead into them, and images, reports and masks that are not below `root` are looked for "
        "there, under the same relative path; the same slots",
    )
    evaluations: Literal["auto"] | UniqueList[str] = Field(
        "auto",
        description="what is measured on its labels: a list of evaluations, or auto, all that its labels allow: "
        "zero-shot classification needs a prompt file, segmentation boxes or masks, grounding both "
        "(boxes of phrases need no prompt file), multi-class classification a prompt file and two findings",
    )
    index_inputs: Block

    @model_validator(mode="before")
    @classmethod
    def _lies_on_its_distribution(cls, value: Any) -> Any:
        name = value.get("distribution") if isinstance(value, dict) else None
        if not isinstance(name, str):
            return value
        return laid_over(name, read_distribution(name), value)

    @property
    def distributed(self) -> Distribution | None:
        """Return what is known of a public data set."""
        return None if self.distribution is None else read_distribution(self.distribution)

    @field_validator("evaluations")
    @classmethod
    def _knows_its_evaluations(cls, value: str | list[str]) -> str | list[str]:
        for name in [] if value == "auto" else value:
            if name not in EVALUATIONS:
                hint = did_you_mean(name, EVALUATIONS)
                raise ValueError(f"{name!r} is no evaluation{hint}: name any of {', '.join(EVALUATIONS)}")
        return value

    @field_validator("root", "roots")
    @classmethod
    def _knows_its_slots(cls, value: str | list[str]) -> str | list[str]:
        for root in [value] if isinstance(value, str) else value:
            slots_in(root, ("workspace", "sample_root"))
        return value


class Config(StageBlocks):  # type: ignore[valid-type, misc]  # its blocks follow from the contracts
    """Contents of config.yaml. Stage blocks are checked by `check`, after the overrides are merged in."""

    project: str = Field(min_length=1, description="name of the MLflow experiment (renaming it: docs/decisions/0016)")
    register_models: bool = Field(
        True, description="upload chosen models to MLflow's registry; false: no weights go to MLflow. Reruns nothing"
    )
    workspace: WorkspacePath = Field(min_length=1, description="root folder of all outputs, as `root` below")
    sample_root: str | None = Field(None, description="data folder of the profile `sample`")
    device: Device = Field("auto", description="where torch computes; auto: a GPU if present")
    encoder_precision: EncoderPrecision = Field(
        "auto",
        description="arithmetic in which evaluations encode images and reports; projections, cosines and prompts are "
        "always fp32. bf16: autocast. tf32: fp32 whose matrix products round their factors to 10 bits, on a GPU. auto: "
        "bf16 on a GPU of compute capability 8 or more, else fp32. The few-shot protocols have their own `precision`",
    )
    node_scratch: str | None = Field(
        None,
        description="folder on the disk of each node, e.g. /local/$USER: stages that read images many times copy them "
        "there, once per node; without room they read the workspace, after a warning. Reruns nothing",
    )
    pretrain_retries: int = Field(
        6,
        ge=0,
        description="retries of a failed or interrupted training on a cluster; each attempt resumes from "
        "the last state",
    )
    pretrain_on: str = Field(description="the data set with reports; a key of `datasets`")
    evaluate_on: UniqueList[str] = Field(
        description="the data sets with labels; keys of `datasets`. Empty: retrieval on `pretrain_on` alone is measured"
    )
    patient_split: PatientSplit = PatientSplit()
    datasets: dict[Name, Dataset] = Field(description="the data sets, under names of your choice")
    variants: dict[Name, Variant] = Field(
        min_length=1,
        description="named overrides of `pretrain`, or `encoder`: a published encoder. `seeds: [0, 1, 2]` trains one "
        "once per seed",
    )
    seeds: Seeds | None = Field(
        None,
        description="seeds of every variant without `seeds` or `seed` of its own; null: one training, with "
        "`pretrain.seed`. Published encoders are not trained and have none",
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

        `stage` is its name, or for type checkers the class of its settings. `variant` is that of the wildcard, a
        replicate; the settings of a variant itself are those of `pretrain.seed`, whatever its seeds.
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
            replicate = self.replicates.get(variant, Replicate(variant))
            block = merged(block, overrides_of(self.variants[replicate.variant], replicate.seed))
        if stage == "label_images":
            block = self._with_split_of_pretraining(dataset, block)
        else:
            shared = _SHARED & BLOCKS[stage].model_fields.keys()
            block = merged(self.model_dump(include=shared), block)
        return BLOCKS[stage].model_validate(block)

    def _with_split_of_pretraining(self, dataset: str | None, block: Block) -> Block:
        """Return a block of `label_images` with the patient split of pre-training, for labels that follow it.

        Labels of `pretrain_on` do, unless lists split them: two independent splits of the same patients would put
        images of pre-training into the test part. Other data sets do where they have a block `patient_split`.
        """
        if block.get("split_lists") is not None:
            return block
        if dataset != self.pretrain_on and block.get("patient_split") is None:
            return block
        try:
            pairs = self.settings("pair_images_reports", self.pretrain_on)
        except ValidationError:  # reported where it is written
            return block
        return merged({"patient_split": pairs.patient_split.model_dump()}, block)

    def seeds_of(self, variant: str) -> list[int] | None:
        """Return the seeds that a variant is trained with; None: one training, with the seed of its settings."""
        return seeds_of(self.variants[variant], self.seeds)

    def replicates_of(self, variant: str) -> list[Replicate]:
        """Return the replicates of a variant, one per seed."""
        seeds = self.seeds_of(variant)
        return [Replicate(variant)] if seeds is None else [Replicate(variant, seed) for seed in seeds]

    @property
    def replicates(self) -> dict[str, Replicate]:
        """Return every replicate of every variant by its name, which is the wildcard {variant} of the DAG."""
        return {each.name: each for variant in self.variants for each in self.replicates_of(variant)}

    @property
    def compared(self) -> list[Replicate]:
        """Return the replicates of the variants of `compare`: what is trained and measured."""
        return [each for variant in self.compare for each in self.replicates_of(variant)]

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
        return self._filled(f"datasets.{dataset}.root", self.datasets[dataset].root)

    def roots(self, dataset: str) -> list[str]:
        """Return the further folders and archives of a data set, those that fit a pattern in the order of their names.

        Raises InputError for a pattern that nothing fits.
        """
        key, found = f"datasets.{dataset}.roots", []
        for root in self.datasets[dataset].roots:
            path = self._filled(key, root)
            is_pattern = has_magic(path) and not Path(path).exists()
            fitting = sorted(glob(path)) if is_pattern else [path]  # noqa: PTH207 - as the user wrote it, no `./` lost
            if not fitting:
                raise InputError(f"{key}: no file or folder fits {path}", "correct the pattern, or download the files")
            found += fitting
        return list(dict.fromkeys(found))

    def where_to_get(self, dataset: str) -> str:
        """Return where the files of a data set come from, for messages that miss one."""
        if (known := self.datasets[dataset].distributed) is not None:
            return f"get {known.title} from {known.access}"
        return WHERE_TO_GET[self.settings("index_inputs", dataset).layout]

    def _filled(self, key: str, root: str) -> str:
        if "{sample_root}" in root and not self.sample_root:
            raise InputError(
                f"{key}: {root} needs `sample_root`",
                remedy="add --config sample_root=FOLDER to the command",
            )
        return filled(root, {"workspace": self.workspace, "sample_root": self.sample_root or ""})

    def folders(self) -> dict[str, Path]:
        """Return the folders that jobs read and write, by the key that names them.

        A container must be given access to them.
        """
        used = self.used_datasets
        roots = {f"datasets.{dataset}.root": Path(self.root(dataset)) for dataset in used}
        roots |= {f"datasets.{dataset}.roots[{place}]": Path(root) for dataset in used
                  for place, root in enumerate(self.roots(dataset))}  # fmt: skip
        packed = [key for key, path in roots.items() if is_archive(path)]
        roots |= {f"{key} (behind the link)": roots[key].resolve().parent for key in packed if roots[key].is_symlink()}
        roots |= {key: roots[key].parent for key in packed}
        named = {self.settings("split_reports", self.pretrain_on).tokenizer.weights}
        for variant in self.compare:
            pretrain = self.settings("pretrain", variant=variant)
            named |= {pretrain.model.image.weights, pretrain.model.text.weights, pretrain.resume_from}
        local = {f"weights {name}": Path(name) for name in sorted(filter(None, named)) if hub_id(name) is None}
        weights = {key: path if path.is_dir() else path.parent for key, path in local.items()}
        return {"workspace": Path(self.workspace)} | roots | weights

    def lacks(self, stage: str, dataset: str) -> str | None:
        """Return what a data set lacks for an evaluation, in words; None where it lacks nothing."""
        settings, labels = self.settings(stage, dataset), self.settings(LabelImagesSettings, dataset)
        needs = needs_of(stage)
        with_phrases = "prompts or phrases" in needs
        lacking = {
            "fewer than two findings": "several findings" in needs and len(labels.by_finding) < 2,
            "no training and validation images": "parts" in needs and labels.test_alone,
            "no boxes or masks": "outlines" in needs and not labels.outlined,
            "no prompt file": ("prompts" in needs or (with_phrases and not labels.has_phrases))
            and not settings.prompts,
            "no protocol": getattr(settings, "protocols", None) == [],
            "no fraction": getattr(settings, "fractions", None) == [],
        }
        return ", ".join(words for words, is_so in lacking.items() if is_so) or None

    def measures_on_test_alone(self, dataset: str) -> bool:
        """Return whether nothing that is measured on a data set chooses or learns on other parts than test."""
        measured = [stage for stage in EVALUATIONS if stage not in self.not_measured(dataset)]
        return not any("parts" in needs_of(stage) for stage in measured)

    def not_measured(self, dataset: str) -> dict[str, str]:
        """Return why an evaluation is left out of a data set, by stage."""
        chosen = self.datasets[dataset].evaluations
        found = {stage: self.lacks(stage, dataset) for stage in EVALUATIONS}
        if chosen != "auto":
            found |= {stage: "left out by `evaluations`" for stage in EVALUATIONS if stage not in chosen}
        return {stage: why for stage, why in found.items() if why is not None}

    def measured_on(self, stage: str) -> list[str]:
        """Return the data sets on which an evaluation is measured."""
        return [dataset for dataset in self.evaluate_on if stage not in self.not_measured(dataset)]

    @property
    def retrieves_by_class(self) -> bool:
        """Return whether the pairs of pre-training have labels of several findings, by which retrieval is measured."""
        labelled = self.pretrain_on in self.evaluate_on
        return labelled and len(self.settings(LabelImagesSettings, self.pretrain_on).by_finding) > 1

    def few_shot_jobs(self, stage: str) -> list[str]:
        """Return the jobs of a few-shot stage, run for every variant, as DATASET/PROTOCOL/FRACTION."""
        settings = {dataset: self.settings(stage, dataset) for dataset in self.measured_on(stage)}
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
        labelled = ("label_images", "audit_splits", *EVALUATIONS)
        jobs += [(stage, dataset, None) for dataset in self.evaluate_on for stage in labelled]
        return jobs + [("pretrain", None, variant) for variant in self.compare]
