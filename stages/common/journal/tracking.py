"""The journal of a stage: what went in, what came out, what was measured.

    with track("zero_shot_classification", "mlip/rsna", journal=path, settings=settings, inputs=inputs) as run:
        run.log_metric("auc", 0.91)
        run.log_artifact(output)

The journal is one JSON file beside the outputs. It is written when the stage starts (status RUNNING), periodically by a
thread that also samples the machine (system_metrics.py), and when the stage ends (FINISHED or FAILED). SIGTERM is
turned into an exception, so that the journal says why the run ended. The previous run's journal is kept in
`earlier_journals/`. Pictures that the stage draws of its work lie beside the journal (docs/decisions/0044).

Journals are the truth and MLflow shows them. `python -m stages.sync` imports them all; where MLFLOW_TRACKING_URI names
a server, MLflow also shows the run while it runs (live_logging.py).
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, TypeVar

from ..contract import JOURNAL_FILE, PICTURES, Job
from ..digests import data_digest, digest_of
from ..errors import InputError
from ..files.atomic_files import read_json, recorded_sha256, settle, write_text
from ..files.code_digest import PACKAGE, code_digests
from ..records import Estimate
from ..settings import Settings, dotted
from .environment import environment_tags
from .finished_jobs import keep, put_back
from .journals import EARLIER, INTERVAL, JOURNAL_VERSION, run_key
from .live_logging import LiveRun, live_run
from .system_metrics import SystemSampler

if TYPE_CHECKING:
    from .pictures import Pictures


class Terminated(SystemExit):
    """SIGTERM from a time limit, a preemption or a person. The exit status is that of a killed process."""

    def __str__(self) -> str:
        return "SIGTERM, from the scheduler or a user"


@contextmanager
def sigterm_as_exception() -> Iterator[Callable[[], None]]:
    """Turn the first SIGTERM into a `Terminated` exception, so that the journal records it; later ones change nothing.

    Yields what makes all SIGTERM from then on change nothing: how a run ended can then be written whole, though
    schedulers and launchers like to send the signal again. A handler that somebody else has set is kept, before and
    afterwards.
    """
    process = os.getpid()

    def ignore(_: int, __: FrameType | None) -> None:
        pass

    def raise_terminated(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a forked child keeps no journal
            os._exit(128 + number)
        signal.signal(signal.SIGTERM, ignore)
        raise Terminated(128 + number)

    def is_ours() -> bool:
        on_main_thread = threading.current_thread() is threading.main_thread()
        return on_main_thread and signal.getsignal(signal.SIGTERM) in (raise_terminated, ignore)

    def ignore_from_now() -> None:
        if is_ours():
            signal.signal(signal.SIGTERM, ignore)

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield ignore_from_now
    finally:
        if is_ours():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


Name = TypeVar("Name", bound=str)

_SECONDS_BETWEEN_WRITES = 30.0
_WRITES_SHARE = 0.005  # share of the time that may go into writing: a long journal is written less often
_SECONDS_BETWEEN_SAMPLES = 15.0
_SAMPLES_SHARE = 0.002  # share of the run's time between two samples: a day gives about 1,700 of them


@dataclass
class Run:
    """One execution of a stage.

    Times are Unix milliseconds, as in MLflow. Methods may be called from several threads.
    """

    path: Path
    record: dict[str, Any]
    live: LiveRun | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def digest(self) -> str:
        """Return one digest of code, settings, data and image, which identifies what this run would produce."""
        return digest_of(self.record["digests"])

    @property
    def key(self) -> str:
        """Return the key by which live logging and sync find this run."""
        return run_key(*(self.record[part] for part in ("stage", "name", "digests", "started")))

    def log_metric(self, key: str, value: SupportsFloat, step: SupportsIndex = 0) -> None:
        """Record one number at a step."""
        self.log_metrics({key: value}, step)

    def log_metrics(self, values: Mapping[str, SupportsFloat], step: SupportsIndex = 0) -> None:
        """Record numbers at a step. A number that is not finite is kept as text, because JSON has no NaN."""
        now = _now()
        entries = []
        for key, value in values.items():
            value = float(value)
            finite = value == value and abs(value) != float("inf")
            entries.append({"key": key, "value": value if finite else str(value), "step": int(step), "timestamp": now})
        self.record["metrics"] += entries
        if self.live:
            self.live.log(entries)

    def log_figures(self, figures: Mapping[Name, Estimate], prefix: str = "test/", suffix: str = "") -> None:
        """Record figures by name, and the interval of each as the tag `interval.<key>`."""
        for name, each in figures.items():
            key = f"{prefix}{name}{suffix}"
            self.log_metric(key, each.value)
            self.log_tag(f"{INTERVAL}{key}", f"{each.low:.4g} to {each.high:.4g}")

    def log_tag(self, key: str, value: str) -> None:
        """Record a tag, replacing an earlier value."""
        self.record["tags"][key] = str(value)

    def log_artifact(self, path: Path, publish: bool = False) -> None:
        """Record an output file by path (relative to the journal) and sha256. `publish` lets MLflow copy the file."""
        relative = os.path.relpath(path, self.path.parent)
        digest = recorded_sha256(path)
        self.record["artifacts"].append(
            {"path": relative, "sha256": digest, "bytes": Path(path).stat().st_size, "publish": publish}
        )

    @cached_property
    def pictures(self) -> "Pictures":
        """Return what draws pictures of the run, into `pictures/` beside the journal; MLflow shows them."""
        from .pictures import Pictures  # matplotlib

        return Pictures(self.path.parent / PICTURES, self.log_artifact)

    def end(self, status: str, error: str | None = None) -> None:
        """Close the journal as FINISHED or FAILED, and then the run in MLflow."""
        self.record.update(status=status, error=error, ended=_now())
        self.write()
        if self.live:
            self.live.end(status, self.record["ended"])

    def write(self) -> None:
        """Write the journal as it stands now."""
        with self._writing:
            write_text(self.path, _text(self.record), output=False)  # its thread must not take errors that others await


@contextmanager
def track(
    stage: str,
    name: str,
    *,
    journal: Path,
    settings: Settings,
    inputs: Mapping[str, Path],
    image: str = "none",
    tags: Mapping[str, str] = MappingProxyType({}),
    begin: Callable[[Mapping[str, str]], None] | None = None,
) -> Iterator[Run]:
    """Keep the journal of one run of `stage`; `name` is its place under the stage's folder, e.g. "mlip/rsna".

    `inputs` maps a role to a file; the files' digests (from the side-car, else computed) make the data digest. An
    exception, SIGTERM included, is recorded as FAILED with its message and raised again. `tags` stand beside those of
    the environment. `begin` is given the run's digests before anything is written.
    """
    for role, path in inputs.items():
        if not Path(path).is_file():
            raise InputError(
                f"{path}: no such file (the {role} of {stage})", remedy="run the stage that writes it first"
            )
    hashes = {role: recorded_sha256(path) for role, path in sorted(inputs.items())}
    code, code_files = code_digests(f"{PACKAGE.name}.{stage}.__main__")
    digests = {"code": code, "settings": settings.digest(), "data": data_digest(hashes), "image": image}
    if begin is not None:
        begin(digests)
    record: dict[str, Any] = {
        "version": JOURNAL_VERSION,
        "stage": stage,
        "name": name,
        "status": "RUNNING",
        "started": _now(),
        "ended": None,
        "error": None,
        "digests": digests,
        "code": code_files,
        "inputs": hashes,
        "input_paths": {role: str(inputs[role]) for role in hashes},
        "params": flatten(settings.model_dump(mode="json")),
        "metrics": [],
        "artifacts": [],
        "tags": environment_tags() | dict(tags),
    }
    run = Run(Path(journal), record)
    _keep_earlier(run)
    run.write()
    if run.path.name == JOURNAL_FILE:  # the parts of a scattered stage are one run, which sync puts together
        run.live = live_run(record, run.key)
    ended = threading.Event()
    threading.Thread(target=_beat, args=(run, ended), name="journal", daemon=True).start()
    with sigterm_as_exception() as ignore_sigterm:
        try:
            try:
                yield run
                settle()  # a stage whose inputs are damaged has not finished, whatever it wrote last
            finally:
                ignore_sigterm()  # inside, so that one that comes just before is an error of the run, too
        except BaseException as error:
            ended.set()
            text = " ".join(str(error).split())
            run.end("FAILED", f"{type(error).__name__}: {text}")
            raise
        ended.set()
        run.end("FINISHED")


@contextmanager
def track_job(job: Job, more: Mapping[str, Path] | None = None) -> Iterator[Run]:
    """Keep the journal of a job: its inputs and `more` that its settings name, and at its end all that it wrote.

    Raises AlreadyDone where an earlier attempt has finished this job (finished_jobs.py).
    """
    inputs = job.inputs() | dict(more or {})
    with track(job.stage, job.name, journal=job.journal, settings=job.settings, inputs=inputs, image=job.image,
               tags=job.tags(), begin=partial(put_back, job)) as run:  # fmt: skip
        yield run
        for path, publish in job.artifacts():
            run.log_artifact(path, publish=publish)
    keep(job)


def _beat(run: Run, ended: threading.Event) -> None:
    """Sample the machine and write the journal until the run ends, at intervals that cost next to nothing."""
    sampler, number = SystemSampler(), 0
    began = written = time.monotonic()
    pause = _SECONDS_BETWEEN_WRITES
    while not ended.wait(max(_SECONDS_BETWEEN_SAMPLES, _SAMPLES_SHARE * (time.monotonic() - began))):
        if values := sampler.sample():
            run.log_metrics(values, number)
            number += 1
        started = time.monotonic()
        if started - written >= pause and not ended.is_set():
            with suppress(OSError):  # a disk that is full now may have room at the end, where it is an error
                run.write()
            written = time.monotonic()
            pause = max(_SECONDS_BETWEEN_WRITES, (written - started) / _WRITES_SHARE)


def _keep_earlier(run: Run) -> None:
    """Move the previous run's journal aside: its outputs are replaced, but its measurements are not lost.

    A file that is no journal (another file, or a damaged one) is moved aside, too, under a name that is not read as a
    journal. Raises InputError where it cannot be moved.
    """
    path = run.path
    if not path.is_file():
        return
    record = _record_of(path)
    folder, started = path.parent / EARLIER, _start_of(record)
    kept = folder / (f"{path.name}.damaged_{_now()}" if started is None else f"{path.stem}_{started}.json")
    try:
        folder.mkdir(exist_ok=True)
        _remove_pictures(path.parent, record)
        path.replace(kept)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be moved to {kept} ({error.strerror})", remedy="move it, or name another journal"
        ) from None
    if started is None:
        print(f"warning: {path}: was not a journal, or a damaged one; it is now {kept}", file=sys.stderr)


def _record_of(path: Path) -> dict[str, Any]:
    """Return the content of a journal of any version; nothing for a file that is no journal."""
    try:
        record = read_json(path)
    except InputError:
        return {}
    return record if isinstance(record, dict) and "stage" in record else {}


def _start_of(record: Mapping[str, Any]) -> int | None:
    """Return when the run of a journal of any version began; None for what is no journal."""
    started = record.get("started")
    return started if isinstance(started, int) else None


def _remove_pictures(folder: Path, record: Mapping[str, Any]) -> None:
    """Remove the pictures of an earlier run: of radiographs there may be none this time, since none may be shown."""
    for artifact in record.get("artifacts", []):
        if Path(artifact["path"]).parent == Path(PICTURES):
            (folder / artifact["path"]).unlink(missing_ok=True)


def _text(record: Mapping[str, Any]) -> str:
    """Return JSON with one line per list entry: readable, and 20 times as fast as json's own indentation."""
    parts = []
    for key, value in list(record.items()):
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(each, allow_nan=False, ensure_ascii=False) for each in list(value))
            text = f"[\n{lines}\n ]" if lines else "[]"
        else:
            value = dict(value) if isinstance(value, dict) else value  # a copy: the stage may add keys meanwhile
            text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).replace("\n", "\n ")
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def flatten(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as MLflow params: dotted keys, text values."""
    return {key: str(value) for key, value in dotted(values).items()}


def _now() -> int:
    return time.time_ns() // 1_000_000
