"""Where the files of a run lie below its results folder: the only module that knows their paths."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import InputError

REPORT_STAGES = ("split_reports", "pair_images_reports")  # they run on the data set with reports


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

    @property
    def datasets(self) -> tuple[str, ...]:
        """All of them, the one for pre-training first."""
        return tuple(dict.fromkeys((self.pretrain_on, *self.evaluate_on)))

    @property
    def evaluations(self) -> list[tuple[str, str]]:
        """(data set, variant), data set by data set."""
        return [(dataset, variant) for dataset in self.evaluate_on for variant in self.variants]

    @property
    def few_shot_evaluations(self) -> list[tuple[FewShotJob, str]]:
        """(job, variant), job by job."""
        return [(job, variant) for job in self.few_shot_jobs for variant in self.variants]

    @property
    def phantom(self) -> Path:
        """Where make_phantom writes, if it ran in this workspace."""
        return self.root.parent / "phantom"

    def zero_shot(self, dataset: str, variant: str, name: str) -> Path:
        return self.root / "zero_shot_classification" / variant / dataset / name

    def few_shot(self, job: FewShotJob, variant: str) -> Path:
        return self.root / "few_shot_classification" / job.of(variant) / "result.json"

    def retrieval(self, variant: str) -> Path:
        return self.root / "retrieval" / variant / "result.json"

    def grounding(self, dataset: str, variant: str, name: str) -> Path:
        return self.root / "phrase_grounding" / variant / dataset / name

    def curve(self, variant: str) -> Path:
        return self.root / "pretrain" / variant / "learning_curve.csv"

    def selection(self, variant: str) -> Path:
        return self.root / "select_checkpoint" / variant / "selection.json"

    def card(self, dataset: str) -> Path:
        return self.root / "label_images" / dataset / "card.json"

    def manifest(self, dataset: str) -> Path:
        return self.root / "dicom_to_arrow" / dataset / "manifest.json"

    def rejects(self, stage: str, dataset: str) -> Path:
        return self.root / stage / dataset / "rejects.arrow"

    @property
    def reports(self) -> Path:
        return self.root / "index_inputs" / self.pretrain_on / "reports.arrow"

    @property
    def sentences(self) -> Path:
        return self.root / "split_reports" / self.pretrain_on / "sentences.arrow"

    @property
    def audit(self) -> Path:
        return self.root / "pair_images_reports" / self.pretrain_on / "audit.json"

    @property
    def fingerprint(self) -> Path:
        return self.root / "pair_images_reports" / self.pretrain_on / "fingerprint.json"

    @property
    def quality(self) -> Path:
        """Optional: results of versions before it lack it."""
        return self.root / "split_reports" / self.pretrain_on / "quality.json"

    @property
    def duplicates(self) -> Path:
        """Optional, as `quality` is."""
        return self.root / "dicom_to_arrow" / "duplicates.arrow"

    def journals(self) -> Iterator[tuple[str, str, list[Path]]]:
        """(stage, name, journals) in the order of the DAG; shards of a data set come together."""
        for dataset in self.datasets:
            yield "index_inputs", dataset, [self._journal("index_inputs", dataset)]
            shards = self.root / "dicom_to_arrow" / dataset / "shards"
            yield "dicom_to_arrow", f"{dataset}/shards", sorted(shards.glob("journal_*.json"))
            yield "dicom_to_arrow", dataset, [self._journal("dicom_to_arrow", dataset)]
        for stage in REPORT_STAGES:
            yield stage, self.pretrain_on, [self._journal(stage, self.pretrain_on)]
        for dataset in self.evaluate_on:
            yield "label_images", dataset, [self._journal("label_images", dataset)]
            yield "audit_splits", dataset, [self._journal("audit_splits", dataset)]
        for stage in ("pretrain", "select_checkpoint"):
            for variant in self.variants:
                yield stage, variant, [self._journal(stage, variant)]
        for stage in ("extract_features", "zero_shot_classification", "phrase_grounding"):
            for dataset, variant in self.evaluations:
                yield stage, f"{variant}/{dataset}", [self._journal(stage, variant, dataset)]
        for job, variant in self.few_shot_evaluations:
            yield (
                "few_shot_classification",
                job.of(variant),
                [self._journal("few_shot_classification", job.of(variant))],
            )
        for variant in self.variants:
            yield "retrieval", variant, [self._journal("retrieval", variant)]

    def files(self) -> dict[str, Path]:
        """Role -> every data file that the summary reads; the first that is missing is an InputError.

        Journals are not among them: they hold times, and a run that is repeated with equal results changes nothing.
        """
        found = {
            "audit": self.audit,
            "fingerprint": self.fingerprint,
            "reports": self.reports,
            "sentences": self.sentences,
        }
        optional = {"quality": self.quality, "duplicates": self.duplicates}
        found |= {role: path for role, path in optional.items() if path.is_file()}
        for dataset, variant in self.evaluations:
            place = f"{variant}/{dataset}"
            found |= {f"zero_shot/{place}": self.zero_shot(dataset, variant, "result.json"),
                      f"scores/{place}": self.zero_shot(dataset, variant, "scores.arrow"),
                      f"grounding/{place}": self.grounding(dataset, variant, "result.json"),
                      f"samples/{place}": self.grounding(dataset, variant, "samples.arrow")}  # fmt: skip
        for variant in self.variants:
            found |= {f"curve/{variant}": self.curve(variant), f"selection/{variant}": self.selection(variant),
                      f"retrieval/{variant}": self.retrieval(variant)}  # fmt: skip
        for job, variant in self.few_shot_evaluations:
            found |= {f"few_shot/{job.of(variant)}": self.few_shot(job, variant)}
        for dataset in self.datasets:
            found |= {f"manifest/{dataset}": self.manifest(dataset),
                      f"rejects/dicom_to_arrow/{dataset}": self.rejects("dicom_to_arrow", dataset)}  # fmt: skip
        found |= {f"card/{dataset}": self.card(dataset) for dataset in self.evaluate_on}
        found |= {f"rejects/{stage}": self.rejects(stage, self.pretrain_on) for stage in REPORT_STAGES}
        for path in found.values():
            if not path.is_file():
                raise InputError(f"{path}: no such file; run the stage {_stage(path, self.root)} first")
        return found

    def _journal(self, *place: str) -> Path:
        return self.root.joinpath(*place, "journal.json")


def _stage(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0]
