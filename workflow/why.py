"""Explain what would run again, and why: `make why`, or `python -m workflow.why --profile PROFILE`.

For every job of the workflow, its present inputs are compared with the journal of its last run: code file by file,
settings key by key, inputs by sha256, the image. So the answer is also right where .snakemake/ is lost; Snakemake
itself then compares times only, and this command says which of the jobs it would leave out.
"""

import shlex
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.command_line import one_line_errors, program_name
from stages.common.errors import InputError
from stages.common.files.atomic_files import recorded_sha256
from stages.common.files.code_digest import code_digests
from stages.common.journal.journals import Journal, read_journal
from stages.common.journal.tracking import flatten
from stages.contracts import job_of
from stages.label_images.contract import LabelImagesSettings
from workflow.dry_run import Job, dry_run
from workflow.site_profile import add_options

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 8  # hex digits of a digest
_DELETED = (
    ", although its last run finished: Snakemake deletes the outputs of a job whose submission failed "
    "(docs/operators/reruns.md), or they were deleted by hand"
)
_FORCED = "Forced execution"  # Snakemake's words


@dataclass(frozen=True)
class Changes:
    """What differs from a job's last run, in lines; none where its outputs are valid."""

    lines: list[str] = field(default_factory=list)
    is_new: bool = False  # it has not run yet
    sources_newer: bool = False  # files that it reads one by one were written since, which Snakemake does not see


def changes(job: Job, root: Path) -> Changes:
    """Return what differs from the job's last run."""
    path = root / job.option("--journal")
    if not path.is_file():
        return Changes(["has not run yet"], is_new=True)
    try:
        journal = read_journal(path).journal
    except InputError:
        return Changes(["its journal cannot be read"])
    if journal.status == "RUNNING":
        return Changes(["it is running, or was killed (its journal says RUNNING)"])
    if journal.status != "FINISHED":
        return Changes([f"its last run did not finish ({journal.error or journal.status})"])
    lines = _code_changes(job, journal) + _settings_changes(job, journal)
    if (image := job.option("--image", "none")) != journal.digests.image:
        lines.append(f"image: {journal.digests.image} -> {image}")
    lines += _input_changes(journal, root)
    newer = _replaced_sources(job, journal, root)
    lines += newer
    missing = [each for each in job.outputs if not (root / each).exists()]
    cause = _DELETED if missing and not lines else ""
    lines += [f"output {each} is missing{cause}" for each in missing]
    return Changes(lines, sources_newer=bool(newer))


@cache  # many jobs run one stage
def _code_of(stage: str) -> tuple[str, dict[str, str]]:
    return code_digests(f"stages.{stage}.__main__")


def _code_changes(job: Job, journal: Journal) -> list[str]:
    digest, files = _code_of(job.stage or "")
    if digest == journal.digests.code:
        return []
    if not journal.code:
        return ["code: changed (its journal is from a version that did not list files)"]
    differing = sorted(path for path in files | journal.code if files.get(path) != journal.code.get(path))
    return [f"code: {path} {_what_happened(path in journal.code, path in files)}" for path in differing]


def _what_happened(before: bool, now: bool) -> str:
    return "changed" if before and now else "added" if now else "removed"


def _settings_changes(job: Job, journal: Journal) -> list[str]:
    model = job_of(job.stage or "", job.subcommand).settings_type()
    settings = model.model_validate_json(job.option("--settings", "{}"))
    if settings.digest() == journal.digests.settings:
        return []
    now = flatten(settings.model_dump(mode="json"))
    return [
        f"settings: {key}: {_shown(journal.params, key)} -> {_shown(now, key)}"
        for key in sorted(now | journal.params)
        if now.get(key) != journal.params.get(key)
    ]


def _shown(params: Mapping[str, str], key: str) -> str:
    return params.get(key, "(absent)")


def _input_changes(journal: Journal, root: Path) -> list[str]:
    lines = []
    for role, name in journal.input_paths.items():
        path, then = root / name, journal.inputs.get(role)
        if then is None:
            lines.append(f"input {role}: its journal lacks the digest")
            continue
        if not path.is_file():
            lines.append(f"input {role}: {name} is missing")
            continue
        try:
            now = recorded_sha256(path)
        except InputError as error:
            lines.append(f"input {role}: {error.what}")
            continue
        if now != then:
            lines.append(f"input {role}: {name} changed ({then[:_SHOWN]} -> {now[:_SHOWN]})")
    return lines


def _replaced_sources(job: Job, journal: Journal, root: Path) -> list[str]:
    """Return a line where files that the job reads one by one were written since, as a repeated download is.

    They are the radiographs of a shard, the reports and the masks. Their times are asked of the file system, not their
    contents: 377,110 files take a few seconds on a local disk.
    """
    kind = _SOURCES.get(job.rule)
    if kind is None:
        return []
    what, paths_of = kind
    try:
        paths = paths_of(job, root)
    except (InputError, OSError):
        return []  # of a table that is missing or older than this version: its job says so
    folders = [root / folder for folder in (job.option("--root"), *job.words("--roots"))]

    def is_newer(path: str) -> bool:
        for folder in folders:
            try:
                status = (folder / path).stat()
            except (OSError, ValueError):
                continue
            return max(status.st_mtime, status.st_ctime) * 1000 > journal.started
        return False

    with ThreadPoolExecutor(_STATS_AT_ONCE) as pool:
        newer = sum(pool.map(is_newer, paths))
    return [f"{newer:,} of its {len(paths):,} {what} were {_WRITTEN}"] if newer else []


def _radiographs(job: Job, root: Path) -> list[str]:
    table = _index_table(job, root, "--files", "FILES")
    return [path for path, shard in zip(table["path"].to_pylist(), table["shard"].to_pylist(), strict=True)
            if path is not None and str(shard) == job.option("--shard")]  # fmt: skip


def _report_files(job: Job, root: Path) -> list[str]:
    table = _index_table(job, root, "--reports", "REPORTS")
    return [path for path in table["path"].unique().to_pylist() if path is not None]


def _index_table(job: Job, root: Path, option: str, schema: str) -> "pa.Table":
    """Return a table of index_inputs that a job reads, with the paths as they are on disk."""
    from stages.common.data.private_sources import reveal  # a table library, which most jobs' reasons do not need
    from stages.common.files import schemas
    from stages.common.files.arrow_tables import read_table

    return reveal(read_table(root / job.option(option), getattr(schemas, schema)), root / job.option("--private"))


def _mask_files(job: Job, root: Path) -> list[str]:
    from stages.common.data.folder_trees import read_rows

    settings = LabelImagesSettings.model_validate_json(job.option("--settings", "{}"))
    if settings.columns is None:
        return []
    named = [column for _, column, kind, _ in settings.outline_columns() if kind == "mask"]
    named += [settings.columns.lung_mask] if settings.columns.lung_mask else []
    if not named:
        return []
    roots = tuple(root / folder for folder in job.words("--roots"))
    table = read_rows(root / job.option("--root"), settings, dict.fromkeys(named, "columns"), roots).table
    return sorted({path for name in named for path in table[name].drop_nulls().to_list()})


_SOURCES: dict[str, tuple[str, Callable[[Job, Path], list[str]]]] = {
    "dicom_to_arrow": ("source files", _radiographs),
    "split_reports": ("report files", _report_files),
    "label_images": ("mask files", _mask_files),
}
_STATS_AT_ONCE = 16  # a shared file system answers each after a millisecond
_WRITTEN = "written or moved since they were read; Snakemake does not look at them"


@dataclass
class Answer:
    """Reasons why one job would run again: its own changes, jobs whose outputs it waits for, Snakemake's reason."""

    job: Job
    own: Changes
    waits_for: list[str]
    planned: str | None  # Snakemake's reason; None: it would not run the job

    @property
    def lines(self) -> list[str]:
        """Return the reasons as lines."""
        lines = list(self.own.lines)
        if self.waits_for and not self.own.is_new:
            shown = self.waits_for[:3] + ([f"{len(self.waits_for) - 3} more"] if len(self.waits_for) > 3 else [])
            lines.append(f"reads what would be rebuilt by {', '.join(shown)}")
        forced = self.planned == _FORCED
        return lines or ["--forcerun or --forceall asks for it" if forced else f"Snakemake: {self.planned}"]


def explain(jobs: Sequence[Job], plan: Mapping[str, str], root: Path) -> list[Answer]:
    """Return the jobs that would run again, in order. `plan` maps a first output to Snakemake's reason."""
    makers = {output: job for job in jobs for output in job.outputs}
    answers: dict[int, Answer | None] = {}

    def ask(job: Job) -> Answer | None:
        if id(job) not in answers:
            above = [makers[each] for each in job.inputs if each in makers]
            waits = list(dict.fromkeys(each.name for each in above if ask(each)))
            planned = next((plan[each] for each in job.outputs if each in plan), None)
            own = changes(job, root) if job.stage else Changes()
            stale = own.lines or waits or planned
            answers[id(job)] = Answer(job, own, waits, planned) if stale else None
        return answers[id(job)]

    for job in jobs:
        if job.outputs:
            ask(job)
    return [each for each in answers.values() if each]


def printed(answers: Iterable[Answer], total: int, records_lost: bool) -> str:
    """Return the answers as text; jobs with the same changes are grouped, and so are those of one rule that wait."""
    answers = list(answers)
    text = [_LOST] if records_lost else []
    text += [_said_of(group) for group in _together(answers)]
    missed = sorted(
        {
            each.job.outputs[0] if each.own.sources_newer else each.job.rule
            for each in answers
            if each.own.lines and each.planned is None
        }
    )
    if missed:
        text.append(f"WARNING: Snakemake would not rerun these by itself; add --forcerun {shlex.join(missed)}")
    new = sum(each.own.is_new for each in answers)
    parts = [f"{new} for the first time"] * bool(new) + [f"{len(answers) - new} again"] * (new < len(answers))
    counted = f"{len(answers)} of {total} jobs would run: {', '.join(parts)}"
    text.append(counted if answers else f"all {total} jobs are up to date")
    return "\n".join(text)


def _together(answers: Sequence[Answer]) -> Iterable[list[Answer]]:
    """Return groups of jobs: of whatever rules where their own changes are the same, else of one rule and reason."""
    of_changes: dict[tuple[str, ...], set[str]] = {}
    for each in answers:
        of_changes.setdefault(tuple(each.own.lines), set()).add(each.job.rule)
    groups: dict[tuple[str, ...], list[Answer]] = {}
    for each in answers:
        own = tuple(each.own.lines)
        shared = own and len(of_changes[own]) > 1
        groups.setdefault(own if shared else (each.job.rule, *each.lines), []).append(each)
    return groups.values()


def _said_of(group: Sequence[Answer]) -> str:
    """Return what is said of a group: its jobs and why, or where several rules share the reason, why and its jobs."""
    by_rule: dict[str, list[Answer]] = {}
    for each in group:
        by_rule.setdefault(each.job.rule, []).append(each)
    if len(by_rule) == 1:
        more = f" and {len(group) - 1} more of its jobs" if len(group) > 1 else ""
        return "\n  ".join([f"{group[0].job.name}{more}", *group[0].lines])
    jobs = [own[0].job.name + (f" and {len(own) - 1} more" if len(own) > 1 else "") for own in by_rule.values()]
    return "\n".join([*group[0].own.lines, f"  {len(group)} jobs: {', '.join(jobs)}"])


_LOST = (
    "WARNING: .snakemake/metadata is gone, so Snakemake no longer knows code, settings and images, and "
    "compares times only.\nThe list below comes from the journals beside the outputs."
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print what would run again."""
    parser = ArgumentParser(
        program_name("python -m workflow.why"), description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    add_options(parser)
    options, more = parser.parse_known_args(argv)  # the rest is Snakemake's, too
    root = Path.cwd()
    metadata = root / ".snakemake" / "metadata"
    lost = not metadata.is_dir() or not any(metadata.iterdir())  # asked first, because a dry run makes the folder
    arguments = ["--profile", str(options.profile), *more]
    for name, values in (("--configfile", options.configfile), ("--config", options.config)):
        arguments += [name, *map(str, values)] if values else []
    with one_line_errors():
        jobs = dry_run([*arguments, "--forceall"])
        plan = {output: job.reason for job in dry_run(arguments) for output in job.outputs}
        print(printed(explain(jobs, plan, root), sum(bool(job.outputs) for job in jobs), lost))


if __name__ == "__main__":
    main()
