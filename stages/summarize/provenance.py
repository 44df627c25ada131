"""What ran, when, from which code, settings, data and image: read from the journals beside the outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.common.atomic_files import sha256_of
from stages.common.errors import InputError
from stages.common.journals import Journal, read_journal
from stages.summarize.results_tree import ResultsTree

DIGESTS = ("code", "settings", "data", "image")
SEVERAL = "several"  # shards of a data set have one digest each where they differ


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

    def param(self, key: str) -> str:
        try:
            return self.params[key]
        except KeyError:
            raise InputError(
                f"{self.stage}/{self.name}/journal.json: params lacks {key}; run {self.stage} again"
            ) from None


@dataclass(frozen=True)
class Provenance:
    runs: list[StageRun]
    synthetic: list[str]  # data sets that make_phantom drew

    def run(self, stage: str, name: str) -> StageRun:
        return next(each for each in self.runs if (each.stage, each.name) == (stage, name))

    @property
    def started(self) -> int:
        return min(each.started for each in self.runs)

    @property
    def ended(self) -> int:
        return max(each.ended or each.started for each in self.runs)

    @property
    def milliseconds(self) -> int:
        return sum(each.milliseconds or 0 for each in self.runs)

    @property
    def commits(self) -> list[tuple[str | None, bool]]:
        """(commit, with uncommitted changes) of the stages, in the order of the DAG."""
        return list(dict.fromkeys((each.commit, each.dirty) for each in self.runs))


def read_provenance(tree: ResultsTree) -> Provenance:
    """Journals of every run that led to the summary; one that is missing is an InputError."""
    found = {(stage, name): _read(tree, stage, name, paths) for stage, name, paths in tree.journals()}
    indexed = {dataset: found["index_inputs", dataset][0] for dataset in tree.datasets}
    synthetic = synthetic_datasets(tree.phantom, indexed)
    runs = [_stage_run(*place, journals) for place, journals in found.items()]
    if synthetic:
        journal = read_journal(tree.root / "make_phantom" / "journal.json").journal
        runs.insert(0, _stage_run("make_phantom", "", [journal]))
    return Provenance(runs, synthetic)


def synthetic_datasets(phantom: Path, indexed: dict[str, Journal]) -> list[str]:
    """Data sets whose index was written by make_phantom: told by content, not by name."""
    made = {sha256_of(path) for path in sorted(phantom.glob("*/*.csv*"))}
    return [dataset for dataset, journal in indexed.items() if made & set(journal.inputs.values())]


def _read(tree: ResultsTree, stage: str, name: str, paths: list[Path]) -> list[Journal]:
    if not paths:
        raise InputError(f"{tree.root / stage / name}: no journal; run the stage {stage} again")
    return [read_journal(path).journal for path in paths]


def _stage_run(stage: str, name: str, journals: Sequence[Journal]) -> StageRun:
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
    )
