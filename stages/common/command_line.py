"""The command line of every stage, derived from its contract; errors that a person can correct are one line each."""

import os
import select
import signal
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .contract import Job, arguments_of, flag_of
from .errors import AlreadyDone, InputError, of_the_system
from .files.atomic_files import check_writable, sidecar_of

PROGRAM = "MLIP_PROGRAM"  # environment variable in which `mlip` passes how the user called it to what it runs
Work = Mapping[Any, Callable[[Any], None]]  # by type of job; Any, since a mapping is invariant in its keys


def program_name(default: str) -> str:
    """Return how usage lines name this program: as the user called it. Programs that it starts do not inherit that."""
    return os.environ.pop(PROGRAM, default)


def stage_parser(jobs: Sequence[type[Job]]) -> ArgumentParser:
    """Build the parser of `python -m stages.<stage>`: of its one job, or with a subcommand for each job."""
    stage = jobs[0].stage
    package = __package__.partition(".")[0]
    parser = ArgumentParser(
        prog=program_name(f"python -m {package}.{stage}"), formatter_class=RawDescriptionHelpFormatter
    )
    if not jobs[0].command:
        parser.description = jobs[0].__doc__
        _add_options(parser, jobs[0])
        return parser
    commands = parser.add_subparsers(required=True, metavar="{" + ",".join(job.command for job in jobs) + "}")
    for job in jobs:
        purpose = (job.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(
            job.command, help=_literally(purpose), description=job.__doc__, formatter_class=RawDescriptionHelpFormatter
        )
        _add_options(command, job)
    return parser


def _add_options(parser: ArgumentParser, job: type[Job]) -> None:
    parser.add_argument(
        "--settings", default="{}", help="settings: YAML or JSON, or a file with it; omitted keys take their defaults"
    )
    parser.add_argument("--journal", type=Path, required=True, help="where to write the run's journal (JSON)")
    # A rule whose run has no place of its own gives the option without a value, since Snakemake quotes "" that way.
    parser.add_argument(
        "--name", nargs="?", const="", default="", help="name of the run under the stage, e.g. mlip/rsna"
    )
    parser.add_argument("--image", default="none", help="digest of the container image or environment, for the journal")
    for each in arguments_of(job):
        number = None
        if each.many:
            number = "+" if each.required else "*"
        elif not each.required and each.type is Path:
            number = "?"  # a rule whose input is empty gives the option without a value
        parser.add_argument(
            each.flag,
            type=each.parse,
            required=each.required,
            help=_literally(each.help + each.bound),
            nargs=number,
            default=None if each.required else each.default,
            choices=each.choices or None,
        )
    parser.set_defaults(job=job)


def _literally(help: str) -> str:
    """Escape the percent signs of a help text, which argparse formats."""
    return help.replace("%", "%%")


def read_job(jobs: Sequence[type[Job]], argv: Sequence[str] | None = None) -> Job:
    """Read a job from command-line arguments and check its settings and paths.

    Raises:
        InputError: a setting or a number is wrong, a word of an option is repeated, or an output is also another file.
    """
    arguments: Namespace = stage_parser(jobs).parse_args(argv)
    job: type[Job] = arguments.job
    values = {each.name: getattr(arguments, each.name) for each in fields(job)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    read = job(**values | {"settings": job.settings_type().from_text(arguments.settings)})
    _refuse_repeated_words(read)
    _refuse_shared_paths(read)
    return read


def _refuse_repeated_words(job: Job) -> None:
    for name in (each.name for each in arguments_of(type(job)) if each.many):
        seen: set[str] = set()
        for word in getattr(job, name):
            key = os.path.realpath(word) if isinstance(word, Path) else word
            if key in seen:
                raise InputError(f"{flag_of(name)}: {word} stands there twice", remedy="remove one")
            seen.add(key)


def _refuse_shared_paths(job: Job) -> None:
    """Refuse an output that is also another output or an input, or lies in a folder whose files the run replaces."""
    owners: dict[str, str] = {}  # path, or path of a side-car -> option
    for name in job.sources():
        given = getattr(job, name)
        for path in given if isinstance(given, tuple) else [given] if given else []:
            owners |= dict.fromkeys(_places_of(path), flag_of(name))
    outputs = job.outputs()
    for name, (path, _) in outputs.items():
        for place in _places_of(path):
            if place in owners:
                raise InputError(f"{flag_of(name)} {path}: is also that of {owners[place]}", "name two paths")
        owners |= dict.fromkeys(_places_of(path), flag_of(name))
    for folder in job.products().keys() & {name for name, (_, is_folder) in outputs.items() if is_folder}:
        root = os.path.realpath(outputs[folder][0]) + os.sep
        for place, name in owners.items():
            if place.startswith(root):
                raise InputError(f"{name} {place}: lies in {flag_of(folder)}", "name a path outside of it")


def _places_of(path: Path) -> tuple[str, str]:
    """Return the real path of a file or folder, and that of its side-car."""
    real = Path(os.path.realpath(path))
    return str(real), str(sidecar_of(real) if real.name else real)


def _refuse_unwritable(job: Job) -> None:
    """Check before any work starts that every output of the job can be written."""
    for name, (path, is_folder) in job.outputs().items():
        try:
            check_writable(path, is_folder)
        except InputError as error:
            raise InputError(f"{flag_of(name)} {error.what}", error.remedy) from None


def run_stage(work: Work, argv: Sequence[str] | None = None) -> None:
    """Read the job that the command line asks for, check that its outputs can be written, and run it."""
    let_idle_threads_sleep()
    with one_line_errors():
        job = read_job(list(work), argv)
        _refuse_unwritable(job)
        try:
            work[type(job)](job)
        except AlreadyDone as done:
            print(done, file=sys.stderr)


def let_idle_threads_sleep() -> None:
    """Make OpenMP's threads sleep while they wait, unless the environment says otherwise.

    Where jobs share cores, spinning threads made a training step of two threads 25 times slower
    (docs/benchmarks/training.md). OpenMP reads the variable when a library loads it, so this comes before torch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an InputError, or an error of the system that names a path, as one line, and exit with status 2.

    Standard output is flushed, since else a full disk would only be seen when the interpreter ends. If its reader has
    gone, as in `| head -1`, the process ends quietly with the status that a shell shows for SIGPIPE.
    """
    try:
        try:
            yield
        except SystemExit:  # of --help
            _flush_output()
            raise
        _flush_output()
    except InputError as error:
        _drop_unwritable_output()
        refuse(error)
    except OSError as error:
        reader_is_gone = isinstance(error, BrokenPipeError) and _reader_is_gone()
        _drop_unwritable_output()
        if reader_is_gone:
            raise SystemExit(128 + signal.SIGPIPE) from None
        if (line := of_the_system(error)) is None:
            raise
        refuse(line)


def _flush_output() -> None:
    if sys.stdout is not None:  # closed by the caller
        sys.stdout.flush()


def _drop_unwritable_output() -> None:
    """Drop what standard output holds but cannot write: the interpreter would fail on it again when it ends."""
    try:
        _flush_output()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _reader_is_gone() -> bool:
    """Return whether nobody reads standard output or standard error any more; other pipes break for other reasons."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def refuse(error: InputError) -> NoReturn:
    """Print one line per wrong input, without a traceback, and exit with status 2."""
    for line in (line for each in error.errors for line in str(each).splitlines()):
        _tell(f"error: {line}")
    raise SystemExit(2) from None


def _tell(line: str) -> None:
    """Print on standard error, else on standard output: a rule's log may lie on the very disk that is full."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        with suppress(OSError):
            print(line, flush=True)
