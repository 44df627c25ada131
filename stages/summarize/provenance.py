"""Provenance of the results: what ran, when, from which code, settings, data and image, read from the journals."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..common.contract import JOURNAL_FILE
from ..common.errors import InputError
from ..common.files.atomic_files import sha256_of
from ..common.journal.journals import PAGE, FoundJournal, Journal, read_journal
from ..common.settings import dotted_fields
from ..make_phantom.contract import TABLES
from ..pretrain.contract import PretrainSettings
from .results_tree import ResultsTree

DIGESTS = ("code", "settings", "data", "image")
SEVERAL = "several"  # used where the shards of a data set have different digests
MAKER, MADE = "make_phantom", "phantom"  # the one stage whose files lie beside the results


@dataclass(frozen=True)
class StageRun:
    """One execution of a stage, or the shards of a data set together. Times are Unix milliseconds."""

    stage: str
    name: str
    executions: int
    status: str
    started: int
    ended: int | None
    milliseconds: int | None  # summed over executions; None: unfinished
    digests: dict[str, str]
    commit: str | None
    dirty: bool
    params: dict[str, str]
    tags: dict[str, str]
    key: str | None  # its tag mlip.key in MLflow; None: shards, which MLflow shows within the run that gathers them
    page: str | None  # in MLflow, if a server was used while it ran

    def param(self, key: str) -> str:
        """Return a setting of the run. Raises InputError where its journal lacks it."""
        try:
            return self.params[key]
        except KeyError:
            raise InputError(
                f"{self.stage}/{self.name}/{JOURNAL_FILE}: params lacks {key}", remedy=f"run {self.stage} again"
            ) from None

    def without_samples(self) -> str:
        """Return why a run has no sample radiographs."""
        if self.param("publish_samples") != "True":
            return f"radiographs are not published: {self.stage}.publish_samples is false"
        return "no radiograph was drawn: samples is 0"

    def pretrained_with(self, key: str) -> str:
        """Return a setting of a pre-training, which a journal leaves out where it has its default.

        "absent" is a setting that this version does not know.
        """
        return self.params.get(key, str(_DEFAULTS.get(key, "absent")))


_DEFAULTS = dotted_fields(PretrainSettings())


@dataclass(frozen=True)
class Provenance:
    """All runs behind the results."""

    runs: list[StageRun]
    synthetic: list[str]  # data sets that make_phantom drew
    links: list[tuple[str, str]] = field(default_factory=list)  # (stage that wrote, stage that read)

    def run(self, stage: str, name: str) -> StageRun:
        """Return the run of a stage with that name."""
        return next(each for each in self.runs if (each.stage, each.name) == (stage, name))

    @property
    def started(self) -> int:
        """Return when the first run began."""
        return min(each.started for each in self.runs)

    @property
    def ended(self) -> int:
        """Return when the last run ended."""
        return max(each.ended or each.started for each in self.runs)

    @property
    def milliseconds(self) -> int:
        """Return the time that all runs took, summed."""
        return sum(each.milliseconds or 0 for each in self.runs)

    @property
    def commits(self) -> list[tuple[str | None, bool]]:
        """Return (commit, with uncommitted changes) of the stages, in the order of the DAG."""
        return list(dict.fromkeys((each.commit, each.dirty) for each in self.runs))


def read_provenance(tree: ResultsTree) -> Provenance:
    """Read the journals of every run behind the summary. Raises InputError where one is missing."""
    found = {(stage, name): _read(tree, stage, name, paths) for stage, name, paths in tree.journals()}
    indexed = {dataset: found["index_inputs", dataset][0].journal for dataset in tree.datasets}
    synthetic = synthetic_datasets(tree.phantom, indexed)
    if synthetic:
        found = {(MAKER, ""): [read_journal(tree.root / MAKER / JOURNAL_FILE)]} | found
    runs = [_stage_run(*place, journals) for place, journals in found.items()]
    journals = [each.journal for journals in found.values() for each in journals]
    return Provenance(runs, synthetic, lineage(journals, tree.root.name, {run.stage for run in runs}))


def synthetic_datasets(phantom: Path, indexed: dict[str, Journal]) -> list[str]:
    """Return the data sets whose index was written by make_phantom, identified by content, not by name."""
    tables = (phantom / name / table for name, tables in TABLES.items() for table in tables)
    made = {sha256_of(path) for path in tables if path.is_file()}
    return [dataset for dataset, journal in indexed.items() if made & set(journal.inputs.values())]


def _read(tree: ResultsTree, stage: str, name: str, paths: list[Path]) -> list[FoundJournal]:
    if not paths:
        raise InputError(f"{tree.root / stage / name}: no journal", remedy=f"run the stage {stage} again")
    return [read_journal(path) for path in paths]


def _stage_run(stage: str, name: str, found: Sequence[FoundJournal]) -> StageRun:
    journals = [each.journal for each in found]
    statuses = {each.status for each in journals}
    ends = [each.ended for each in journals if each.ended is not None]
    durations = [each.ended - each.started for each in journals if each.ended is not None]
    finished = len(ends) == len(journals)
    first = journals[0]
    digests = {}
    for kind in DIGESTS:
        values = {getattr(each.digests, kind) for each in journals}
        digests[kind] = values.pop() if len(values) == 1 else SEVERAL
    return StageRun(
        stage=stage,
        name=name,
        executions=len(journals),
        status=next(status for status in ("FAILED", "RUNNING", "FINISHED") if status in statuses),
        started=min(each.started for each in journals),
        ended=max(ends) if finished else None,
        milliseconds=sum(durations) if finished else None,
        digests=digests,
        commit=first.tags.get("git_commit"),
        dirty=any(each.tags.get("git_dirty") == "true" for each in journals),
        params=first.params,
        tags=first.tags,
        key=None if found[0].is_part else first.key,
        page=first.tags.get(PAGE),
    )


def lineage(journals: Iterable[Journal], results: str, stages: Collection[str]) -> list[tuple[str, str]]:
    """Return (stage that wrote, stage that read), each pair once; `results` is the name of the results folder.

    Paths decide, not digests: two empty tables have one digest. Journals before version 0.3 have no paths, so they give
    no pairs.
    """
    pairs = [
        (writer, journal.stage)
        for journal in journals
        for path in journal.input_paths.values()
        if (writer := _writer(path, results, stages)) not in (None, journal.stage)
    ]
    return list(dict.fromkeys(pairs))


def _writer(path: str, results: str, stages: Collection[str]) -> str | None:
    """Return the stage below whose folder a file lies, or None for a file from outside."""
    parts = PurePath(path).parts
    for place in range(len(parts) - 2, -1, -1):  # the last one: a workspace may lie in a folder of any name
        if parts[place] == results and parts[place + 1] in stages:
            return parts[place + 1]
    return MAKER if MADE in parts and MAKER in stages else None
