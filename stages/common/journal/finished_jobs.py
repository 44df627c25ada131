"""Outputs of finished jobs, kept as hard links until their workflow has ended well.

On a cluster, short jobs share one SLURM job (a group of Snakemake's). When one of them fails, Snakemake deletes the
outputs of all and runs all again. So each job links its outputs into the folder that the variable `MLIP_FINISHED_JOBS`
names. The next attempt puts them back if code, settings, data and image are the same and no bit has changed: only the
job that failed computes again (docs/decisions/0051).
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..contract import Job
from ..digests import digest_of
from ..errors import AlreadyDone, InputError
from ..files.atomic_files import read_json, sha256_of, sidecar_of

FOLDER = "MLIP_FINISHED_JOBS"
_WHOLE = ".whole"  # file that is written last; no product can have this name


def put_back(job: Job, digests: Mapping[str, str]) -> None:
    """Put back what an earlier attempt of this job has written, if it ran with the same digests.

    Raises:
        AlreadyDone: all outputs are there.
    """
    kept, record = _place_of(job), _record_of(job)
    same = record.get("status") == "FINISHED" and record.get("digests") == dict(digests)
    if kept is None or not same or not (kept / _WHOLE).is_file():
        return
    links = list(_links(job, kept))
    if _is_damaged(job, links, record):
        shutil.rmtree(kept, ignore_errors=True)
        return
    for source, target in links:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(source, target)
        os.utime(target)  # newer than the inputs, which may have been put back, too
    raise AlreadyDone(f"{job.stage} {job.name}: finished by an earlier attempt with the same code, settings and data")


def keep(job: Job) -> None:
    """Link the outputs of a job that has finished. Where the file system has no links, they are not kept."""
    if (kept := _place_of(job)) is None:
        return
    shutil.rmtree(kept, ignore_errors=True)
    try:
        for target, source in _links(job, kept, written=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
        (kept / _WHOLE).touch()
    except OSError:
        shutil.rmtree(kept, ignore_errors=True)


def remove_finished(folder: Path) -> None:
    """Remove all that jobs have kept, when their workflow has ended well or is to compute everything again."""
    shutil.rmtree(folder, ignore_errors=True)


def _place_of(job: Job) -> Path | None:
    """Return the folder of what this job keeps, if it keeps anything."""
    root = os.environ.get(FOLDER)
    return Path(root, job.stage, digest_of(str(job.journal.absolute()))[:16]) if root and job.is_kept else None


def _record_of(job: Job) -> dict[str, Any]:
    """Return the journal beside the outputs; it survives them."""
    with suppress(InputError):
        record = read_json(job.journal)
        return record if isinstance(record, dict) else {}
    return {}


def _is_damaged(job: Job, links: Sequence[tuple[Path, Path]], record: Mapping[str, Any]) -> bool:
    """Return whether a kept file differs from what the journal lists, or is gone: who removed the set was killed."""
    outputs = [getattr(job, name) for name in job.products()]
    recorded = {
        Path(os.path.normpath(job.journal.parent / each["path"])): each["sha256"] for each in record["artifacts"]
    }
    kept = {Path(os.path.normpath(target)): source for source, target in links}
    wanted = {path for path in recorded if any(path.is_relative_to(os.path.normpath(each)) for each in outputs)}
    if not wanted <= kept.keys() or not all(source.is_file() for source, _ in links):
        return True
    return any(sha256_of(kept[path]) != recorded[path] for path in wanted)


def _links(job: Job, kept: Path, written: bool = False) -> Iterator[tuple[Path, Path]]:
    """Yield (kept file, output) of every product and its side-car: of those that are `written`, or else kept."""
    for name, part in job.products().items():
        output, copy = getattr(job, name), kept / name
        if part.is_folder:
            there = output if written else copy
            inside = [path.relative_to(there) for path in sorted(there.rglob("*")) if path.is_file()]
            yield from ((copy / path, output / path) for path in inside)
        else:
            yield copy, output
            pair = sidecar_of(copy), sidecar_of(output)
            if pair[written].exists():
                yield pair
