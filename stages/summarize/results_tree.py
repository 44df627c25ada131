"""Where the files of a run lie below its results folder: which runs there are of each job of the contracts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..common.contract import Job
from ..common.errors import InputError
from ..common.replicates import Replicate
from ..contracts import EVALUATIONS, JOBS


@dataclass(frozen=True)
class FewShotJob:
    """Name a few-shot job of every replicate: a protocol of a data set, a share of its training images in percent."""

    dataset: str
    protocol: str
    fraction: int

    @classmethod
    def parse(cls, text: str, flag: str = "--few-shot") -> "FewShotJob":
        """Parse DATASET/PROTOCOL/FRACTION. Raises InputError for another form."""
        match text.split("/"):
            case [dataset, protocol, fraction] if dataset and protocol and re.fullmatch("[1-9][0-9]*", fraction):
                return cls(dataset, protocol, int(fraction))
        raise InputError(f"{flag} {text}: name DATASET/PROTOCOL/FRACTION, e.g. rsna/linear/10")

    def of(self, replicate: str) -> str:
        """Return the name of its run for a replicate, which is its folder below that of the stage."""
        return f"{replicate}/{self.dataset}/{self.protocol}/{self.fraction}"

    def run(self, replicate: str) -> dict[str, str]:
        """Return the values of the wildcards of its run for a replicate."""
        own = {"dataset": self.dataset, "protocol": self.protocol, "fraction": str(self.fraction)}
        return {"variant": replicate} | own


def parse_not_measured(words: Iterable[str]) -> dict[tuple[str, str], str]:
    """Parse DATASET/STAGE=REASON. Raises InputError for another form or a stage that is no evaluation."""
    found = {}
    for text in words:
        place, _, reason = text.partition("=")
        dataset, _, stage = place.partition("/")
        if not (dataset and reason and stage in EVALUATIONS):
            raise InputError(
                f"--not-measured {text}: name DATASET/STAGE=REASON, e.g. own/phrase_grounding=no boxes or masks"
            )
        found[dataset, stage] = reason
    return found


def parse_variants(words: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Parse VARIANT or VARIANT=SEED,SEED into the seeds of each variant. Raises InputError for another form."""
    found: dict[str, tuple[int, ...]] = {}
    for text in words:
        variant, is_list, listed = text.partition("=")
        seeds = listed.split(",") if is_list else []
        if not variant or not all(re.fullmatch("0|[1-9][0-9]*", each) for each in seeds):
            raise InputError(f"--variants {text}: name VARIANT or VARIANT=SEED,SEED, e.g. mlip=0,1,2")
        if variant in found or len(set(seeds)) < len(seeds):
            raise InputError(f"--variants {text}: a variant or a seed stands there twice", remedy="remove one")
        found[variant] = tuple(map(int, seeds))
    return found


@dataclass(frozen=True)
class ResultsTree:
    """The results of some variants, pre-trained on one data set and evaluated on others.

    A variant with `seeds` has a replicate for each, with folders of its own (stages/common/replicates.py).
    """

    root: Path
    pretrain_on: str
    evaluate_on: tuple[str, ...]
    variants: tuple[str, ...]
    few_shot_jobs: tuple[FewShotJob, ...] = ()
    segmentation_jobs: tuple[FewShotJob, ...] = ()
    image_only: tuple[str, ...] = ()  # variants that are image encoders without text
    not_measured: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (data set, stage) -> why
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of the variants that list some

    @property
    def datasets(self) -> tuple[str, ...]:
        """Return all data sets, the one for pre-training first."""
        return tuple(dict.fromkeys((self.pretrain_on, *self.evaluate_on)))

    @property
    def with_text(self) -> tuple[str, ...]:
        """Return the variants that can process prompts and reports."""
        return tuple(variant for variant in self.variants if variant not in self.image_only)

    @property
    def words(self) -> list[str]:
        """Return the variants with their seeds as words of the command line (`parse_variants`)."""
        seeds = {variant: self.seeds.get(variant) for variant in self.variants}
        return [f"{variant}={','.join(map(str, own))}" if own else variant for variant, own in seeds.items()]

    def replicates_of(self, *variants: str) -> list[Replicate]:
        """Return the replicates of some variants, by ascending seed."""
        found = {variant: [Replicate(variant, seed) for seed in sorted(self.seeds.get(variant, ()))]
                 for variant in variants}  # fmt: skip
        return [each for variant, own in found.items() for each in own or [Replicate(variant)]]

    @property
    def replicates(self) -> list[Replicate]:
        """Return the replicates of all variants."""
        return self.replicates_of(*self.variants)

    def measured_on(self, stage: str) -> list[str]:
        """Return the data sets on which an evaluation is measured."""
        return [dataset for dataset in self.evaluate_on if (dataset, stage) not in self.not_measured]

    def evaluations(self, stage: str) -> list[tuple[str, Replicate]]:
        """Return (data set, replicate) of an evaluation that needs text, data set by data set."""
        return [(dataset, each) for dataset in self.measured_on(stage) for each in self.replicates_of(*self.with_text)]

    @property
    def few_shot_evaluations(self) -> list[tuple[FewShotJob, Replicate]]:
        """Return (job, replicate) of few-shot classification, job by job."""
        return [(job, replicate) for job in self.few_shot_jobs for replicate in self.replicates]

    @property
    def segmentation_evaluations(self) -> list[tuple[FewShotJob, Replicate]]:
        """Return (job, replicate) of few-shot segmentation, job by job."""
        return [(job, replicate) for job in self.segmentation_jobs for replicate in self.replicates]

    @property
    def phantom(self) -> Path:
        """Return the folder of make_phantom, if it ran in this workspace."""
        return self.root.parent / "phantom"

    def folder(self, stage: str, place: str = "") -> Path:
        """Return the folder of one run of a stage."""
        return self.root / stage / place

    def path(self, job: type[Job], product: str, **run: str) -> Path:
        """Return an output of one run of a job: `product` is its field in the contract, `run` fills `job.place`."""
        return self.folder(job.stage, job.place.format(**run)) / job.products()[product].file

    def runs(self, job: type[Job]) -> list[dict[str, str]]:
        """Return the values of the wildcards of `job.place`, one mapping per run."""
        few_shot = (
            self.few_shot_evaluations if job.stage == "few_shot_classification" else self.segmentation_evaluations
        )
        match job.over:
            case "workspace":
                return [{}]
            case "dataset":
                return [{"dataset": dataset} for dataset in self.datasets]
            case "pretraining dataset":
                return [{"dataset": self.pretrain_on}]
            case "evaluated dataset":
                return [{"dataset": dataset} for dataset in self.evaluate_on]
            case "variant":
                return [{"variant": each.name} for each in self.replicates]
            case "variant with text":
                return [{"variant": each.name} for each in self.replicates_of(*self.with_text)]
            case "evaluation":
                return [{"variant": each.name, "dataset": dataset} for dataset, each in self.evaluations(job.stage)]
            case "few-shot job":
                return [one.run(each.name) for one, each in few_shot if one.protocol == job.command]
        return []  # weights are fetched before, and lie elsewhere

    def places(self, job: type[Job]) -> list[str]:
        """Return the folder of each run of a job, below that of its stage."""
        return [job.place.format(**run) for run in self.runs(job)]

    def summary_paths(self, job: type[Job]) -> list[Path]:
        """Return the outputs of a job that the summary reads, run by run; folders are not expanded."""
        read = [each.file for each in job.products().values() if each.summary]
        return [self.folder(job.stage, place) / file for place in self.places(job) for file in read]

    def journals(self) -> Iterator[tuple[str, str, list[Path]]]:
        """Yield (stage, name, journals) in the order of the DAG; shards of a data set come together.

        Features were extracted only where an evaluation needed them, so nothing is missing where they lack a journal.
        """
        for job in reported_jobs():
            if job.command != "duplicates":
                pattern = job.journal_file.replace("{shard}", "*")
                for place in self.places(job):
                    paths = sorted(self.folder(job.stage, place).glob(pattern))
                    if paths or job.over != "evaluation" or any(each.summary for each in job.products().values()):
                        yield job.stage, place, paths

    def files(self) -> dict[str, Path]:
        """Return every data file that the summary reads, by its path below the results.

        Journals are not included: they hold times, and a run that is repeated with equal results changes nothing.

        Raises:
            InputError: one is missing.
        """
        found: dict[str, Path] = {}
        for job in JOBS:
            patterns = {each.file: each.summary for each in job.products().values() if isinstance(each.summary, tuple)}
            for path in self.summary_paths(job):
                if path.name in patterns:
                    paths = [file for pattern in patterns[path.name] for file in sorted(path.glob(pattern))]
                elif path.is_file():
                    paths = [path]
                else:
                    raise InputError(f"{path}: no such file", f"run the stage {job.stage} first")
                found |= {file.relative_to(self.root).as_posix(): file for file in paths}
        return found


def reported_jobs() -> list[type[Job]]:
    """Return the jobs whose outputs the summary reads, and those whose outputs these read, in the order of the DAG."""
    found: list[type[Job]] = []
    needed: set[tuple[str, str]] = set()
    for job in reversed(JOBS):
        products = job.products().values()
        if any(each.summary or (job.stage, each.file) in needed for each in products):
            found.append(job)
            needed |= {(each.stage, each.file) for each in job.sources().values()}
    return found[::-1]
