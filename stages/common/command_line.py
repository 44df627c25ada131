"""What the command line of every stage shares: settings, image digest, journal, errors in one line."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .errors import NO_SPACE, InputError
from .settings import Settings


def stage_parser(stage: str, description: str | None, settings: type[Settings]) -> ArgumentParser:
    """Parser of `python -m stages.<stage>` with the options that all stages have."""
    parser = ArgumentParser(
        prog=f"python -m stages.{stage}", description=description, formatter_class=RawDescriptionHelpFormatter
    )
    add_common_options(parser, settings)
    return parser


def add_common_options(parser: ArgumentParser, settings: type[Settings]) -> None:
    """Add the options that all stages have (to a parser, or to each of its subcommands)."""
    parser.add_argument(
        "--settings", default="{}", help="YAML or JSON mapping, or a file with one; keys left out take their default"
    )
    parser.add_argument("--journal", type=Path, required=True, help="where to write the run's journal (JSON)")
    parser.add_argument("--name", default="", help="name of the run under the stage, e.g. mlip/rsna")
    parser.add_argument("--image", default="none", help="digest of the container image or environment, for the journal")
    parser.set_defaults(settings_model=settings)


def run_stage(main: Callable[[Namespace], None], parser: ArgumentParser, argv: Sequence[str] | None = None) -> None:
    """Parse, read the settings, run; an InputError or a full disk becomes one line and exit status 2."""
    arguments = parser.parse_args(argv)
    try:
        arguments.settings = arguments.settings_model.from_text(arguments.settings)
        main(arguments)
    except InputError as error:
        refuse(error)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        _tell(
            f"error: {error.filename or 'a file'}: {error.strerror}; make room and run again, no output is half written"
        )
        raise SystemExit(2) from None


def refuse(error: InputError) -> NoReturn:
    """Print a line for each wrong input, without a traceback, and leave with exit status 2."""
    for each in error.errors:
        _tell(f"error: {each}")
    raise SystemExit(2) from None


def _tell(line: str) -> None:
    """On standard error, which a rule sends to its log; that may lie on the very disk that is full."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        print(line, flush=True)
