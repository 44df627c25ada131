"""The command line of every stage, made from its contract; an error that a person can correct is one line."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .contract import Job, arguments_of
from .errors import NO_SPACE, InputError

Work = Mapping[Any, Callable[[Any], None]]  # by type of job; Any, since a mapping is invariant in its keys


def stage_parser(jobs: Sequence[type[Job]]) -> ArgumentParser:
    """Make the parser of `python -m stages.<stage>`: of its one job, or with a subcommand for each."""
    stage = jobs[0].stage
    package = __package__.partition(".")[0]
    parser = ArgumentParser(prog=f"python -m {package}.{stage}", formatter_class=RawDescriptionHelpFormatter)
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
    # A rule whose run has no place of its own gives the option without a value: so does Snakemake quote "".
    parser.add_argument(
        "--name", nargs="?", const="", default="", help="name of the run under the stage, e.g. mlip/rsna"
    )
    parser.add_argument("--image", default="none", help="digest of the container image or environment, for the journal")
    for each in arguments_of(job):
        shape = {"nargs": "+" if each.required else "*"} if each.many else {}
        if not each.required and not each.many and each.type is Path:
            shape = {"nargs": "?"}  # a rule whose input is empty gives the option without a value
        default = {} if each.required else {"default": each.default}
        choices = {"choices": each.choices} if each.choices else {}
        text = _literally(each.help)
        parser.add_argument(each.flag, type=each.type, required=each.required, help=text, **shape, **default, **choices)
    parser.set_defaults(job=job)


def _literally(help: str) -> str:
    """Escape the percent signs of a help text, which argparse formats."""
    return help.replace("%", "%%")


def read_job(jobs: Sequence[type[Job]], argv: Sequence[str] | None = None) -> Job:
    """Read a job from command-line arguments, its settings checked.

    Raises:
        InputError: a setting is wrong.
    """
    arguments: Namespace = stage_parser(jobs).parse_args(argv)
    job: type[Job] = arguments.job
    values = {each.name: getattr(arguments, each.name) for each in fields(job)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return job(**values | {"settings": job.settings_type().from_text(arguments.settings)})


def run_stage(work: Work, argv: Sequence[str] | None = None) -> None:
    """Read the job that the command line asks for and do its work; an InputError or a full disk exits with status 2."""
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
    """Print a line for each wrong input, without a traceback, and leave with exit status 2."""
    for line in (line for each in error.errors for line in str(each).splitlines()):
        _tell(f"error: {line}")
    raise SystemExit(2) from None


def _tell(line: str) -> None:
    """Print on standard error, which a rule sends to its log; that may lie on the very disk that is full."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        print(line, flush=True)
