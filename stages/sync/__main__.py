"""Import the stages' journals into MLflow: one line of summary, one line per problem. Options: options.py."""

import sys
from collections.abc import Sequence

from ..common.errors import InputError
from .options import SyncOptions, read_options


def main(argv: Sequence[str] | None = None) -> None:
    options = read_options(argv)
    try:
        problems = _sync(options)
    except Exception as error:
        if not (options.tolerant or isinstance(error, InputError)):
            raise
        problems = [str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"]
    for line in problems:
        print(f"{'warning: sync' if options.tolerant else 'error'}: {line}", file=sys.stderr)
    if problems and not options.tolerant:
        raise SystemExit(2)


def _sync(options: SyncOptions) -> list[str]:
    """Print the summary and the warnings, and return the problems that need a person."""
    from .synchronise import synchronise  # MLflow, which --help does not need

    summary = synchronise(options.journals, options.store, options.experiment, options.artifacts, options.grace,
                          register=options.register_models)  # fmt: skip
    print(summary)
    for line in summary.warnings:
        print(f"warning: {line}", file=sys.stderr)
    return summary.problems


if __name__ == "__main__":
    main()
