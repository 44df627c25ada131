"""Where the files of a run lie below its results folder, stage by stage: the only module that knows their paths."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import InputError


@dataclass(frozen=True)
class FewShotJob:
    """What is run for every variant: a protocol of a data set, with a share of its training images in percent."""

    dataset: str
    protocol: str
    fraction: int

    @classmethod
    def parse(cls, text: str) -> "FewShotJob":
        """From DATASET/PROTOCOL/FRACTION."""
        match text.split("/"):
            case [dataset, protocol, fraction] if dataset and protocol and fraction.isdecimal():
                return cls(dataset, protocol, int(fraction))
        raise InputError(f"--few-shot {text}: name DATASET/PROTOCOL/FRACTION, e.g. rsna/linear/10")

    def of(self, variant: str) -> str:
        """The name of its run, and its folder below that of the stage."""
        return f"{variant}/{self.dataset}/{self.protocol}/{self.fraction}"


@dataclass(frozen=True)
class ResultsTree:
    """The results of some variants, pre-trained on one data set and evaluated on others."""

    root: Path
    pretrain_on: str
    evaluate_on: tuple[str, ...]
    variants: tuple[str, ...]
    few_shot_jobs: tuple[FewShotJob, ...] = ()
    segmentation_jobs: tuple[FewShotJob, ...] = ()
    image_only: tuple[str, ...] = ()  # variants that are image encoders without text

    @property
    def datasets(self) -> tuple[str, ...]:
        """All of them, the one for pre-training first."""
        return tuple(dict.fromkeys((self.pretrain_on, *self.evaluate_on)))

    @property
    def with_text(self) -> tuple[str, ...]:
        """Variants that can be asked by prompts and reports."""
        return tuple(variant for variant in self.variants if variant not in self.image_only)

    @property
    def evaluations(self) -> list[tuple[str, str]]:
        """(data set, variant), data set by data set, of what needs text."""
        return [(dataset, variant) for dataset in self.evaluate_on for variant in self.with_text]

    @property
    def few_shot_evaluations(self) -> list[tuple[FewShotJob, str]]:
        """(job, variant), job by job."""
        return [(job, variant) for job in self.few_shot_jobs for variant in self.variants]

    @property
    def segmentation_evaluations(self) -> list[tuple[FewShotJob, str]]:
        """(job, variant), job by job."""
        return [(job, variant) for job in self.segmentation_jobs for variant in self.variants]

    @property
    def phantom(self) -> Path:
        """Where make_phantom writes, if it ran in this workspace."""
        return self.root.parent / "phantom"

    def folder(self, stage: str, place: str = "") -> Path:
        """Where one run of a stage has its files."""
        return self.root / stage / place

    def journals(self) -> Iterator[tuple[str, str, list[Path]]]:
        """(stage, name, journals) in the order of the DAG; shards of a data set come together."""
        for each in STAGES:
            for place in each.places(self) if each.journals else ():
                yield each.stage, place, sorted(self.folder(each.stage, place).glob(each.journals))

    def files(self) -> dict[str, Path]:
        """Place below the results -> every data file that the summary reads; one that is missing is an InputError.

        Journals are not among them: they hold times, and a run that is repeated with equal results changes nothing.
        """
        found = {}
        for each in STAGES:
            for place in each.places(self):
                folder = self.folder(each.stage, place)
                paths = [folder / name for name in each.names]
                if missing := [path for path in paths if not path.is_file()]:
                    raise InputError(f"{missing[0]}: no such file", remedy=f"run the stage {each.stage} first")
                paths += [path for name in each.optional for path in sorted(folder.glob(name))]
                found |= {path.relative_to(self.root).as_posix(): path for path in paths}
        return found


@dataclass(frozen=True)
class StageFiles:
    """What a stage leaves for the summary, in each of its places: folders below its own, one a run.

    `optional` are patterns of files that there may be, or that results of earlier versions lack; `journals` is a
    pattern, empty where the journals are those of another line.
    """

    stage: str
    places: Callable[[ResultsTree], list[str]]
    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    journals: str = "journal.json"


def _each_dataset(tree: ResultsTree) -> list[str]:
    return list(tree.datasets)


def _evaluated_datasets(tree: ResultsTree) -> list[str]:
    return list(tree.evaluate_on)


def _paired_dataset(tree: ResultsTree) -> list[str]:
    return [tree.pretrain_on]


def _each_variant(tree: ResultsTree) -> list[str]:
    return list(tree.variants)


def _each_evaluation(tree: ResultsTree) -> list[str]:
    return [f"{variant}/{dataset}" for dataset, variant in tree.evaluations]


def _each_variant_with_text(tree: ResultsTree) -> list[str]:
    return list(tree.with_text)


def _each_few_shot_job(tree: ResultsTree) -> list[str]:
    return [job.of(variant) for job, variant in tree.few_shot_evaluations]


def _each_segmentation_job(tree: ResultsTree) -> list[str]:
    return [job.of(variant) for job, variant in tree.segmentation_evaluations]


def _whole_stage(_: ResultsTree) -> list[str]:
    return [""]


def _shards(tree: ResultsTree) -> list[str]:
    return [f"{dataset}/shards" for dataset in tree.datasets]


# In the order of the DAG.
STAGES = (
    StageFiles("index_inputs", _each_dataset),
    StageFiles("index_inputs", _paired_dataset, ("reports.arrow",), journals=""),
    StageFiles("dicom_to_arrow", _shards, journals="journal_*.json"),
    StageFiles("dicom_to_arrow", _each_dataset, ("manifest.json", "rejects.arrow")),
    StageFiles("dicom_to_arrow", _whole_stage, optional=("duplicates.arrow",), journals=""),
    StageFiles("split_reports", _paired_dataset, ("sentences.arrow", "rejects.arrow"), ("quality.json",)),
    StageFiles("pair_images_reports", _paired_dataset, ("audit.json", "fingerprint.json", "rejects.arrow")),
    StageFiles("label_images", _evaluated_datasets, ("card.json",)),
    StageFiles("audit_splits", _evaluated_datasets),
    StageFiles("pretrain", _each_variant, ("learning_curve.csv",)),
    StageFiles(
        "select_checkpoint",
        _each_variant,
        ("selection.json",),
        ("checkpoint/config.json", "checkpoint/integrity_map.json", "checkpoint/mean_radiograph.png"),
    ),
    StageFiles("extract_features", _each_evaluation),
    StageFiles("zero_shot_classification", _each_evaluation, ("result.json", "scores.arrow")),
    StageFiles("few_shot_classification", _each_few_shot_job, ("result.json",), ("scores/*.arrow",)),
    StageFiles(
        "few_shot_segmentation", _each_segmentation_job, ("result.json", "samples.arrow"), ("overlaps/*.arrow",)
    ),
    StageFiles("phrase_grounding", _each_evaluation, ("result.json", "values.arrow", "samples.arrow")),
    StageFiles("retrieval", _each_variant_with_text, ("result.json", "ranks.arrow")),
)
