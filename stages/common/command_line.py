"""The command line of every stage, derived from its contract; errors that a person can correct are one line each."""

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .contract import Job, arguments_of
from .errors import NO_SPACE, InputError

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
            type=each.type,
            required=each.required,
            help=_literally(each.help),
            nargs=number,
            default=None if each.required else each.default,
            choices=each.choices or None,
        )
    parser.set_defaults(job=job)


def _literally(help: str) -> str:
    """Escape the percent signs of a help text, which argparse formats."""
    return help.replace("%", "%%")


def read_job(jobs: Sequence[type[Job]], argv: Sequence[str] | None = None) -> Job:
    """Read a job from command-line arguments and check its settings.

    Raises:
        InputError: a setting is wrong.
    """
    arguments: Namespace = stage_parser(jobs).parse_args(argv)
    job: type[Job] = arguments.job
    values = {each.name: getattr(arguments, each.name) for each in fields(job)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return job(**values | {"settings": job.settings_type().from_text(arguments.settings)})


def run_stage(work: Work, argv: Sequence[str] | None = None) -> None:
    """Read the job that the command line asks for and run it; exit with status 2 on an InputError or a full disk."""
    try:
        job = read_job(list(work), argv)
        work[type(job)](job)
    except InputError as error:
        refuse(error)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        _tell(
            f"error: {error.filename or 'a file'}: {error.strerror}; free space and run again; no output is "
            "half written"
        )
        raise SystemExit(2) from None


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
        print(line, flush=True)
