"""Import the stages' journals into MLflow: once each, repaired if half there, never twice.

Inputs: every journal below --journals (format: stages/common/journal/tracking.py), and the files that they publish.
Outputs: in --store one MLflow run a journal (a scattered stage: one for all its parts) with its times, params, metrics,
tags, data sets, manifest.json and published files, below one parent run for each call of the workflow.
Settings: none. The store holds nothing that the journals lack: delete it, sync again, and it is back.

A run whose journal says RUNNING is shown so for --grace hours after its last sign of life, then as KILLED, and
corrected if it writes again. At the end of a workflow nothing runs any more: --grace 0.
"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from ..common.errors import InputError


def parser() -> ArgumentParser:
    parser = ArgumentParser("python -m stages.sync", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--journals", type=Path, required=True, help="folder; every journal.json below it is imported")
    parser.add_argument("--store", help="URI [MLFLOW_TRACKING_URI, else sqlite: mlflow.db beside the folder]")
    parser.add_argument("--experiment", help="its name in MLflow [the project that the journals name]")
    parser.add_argument("--artifacts", type=Path, help="folder of a new experiment's files [beside SQLite]")
    parser.add_argument("--grace", type=float, default=24.0, help="hours of silence of a running stage [%(default)s]")
    parser.add_argument(
        "--register-models",
        choices=["true", "false"],
        help="whether chosen models, weights included, are uploaded [MLIP_REGISTER_MODELS, else as the journals say]",
    )
    parser.add_argument("--tolerant", action="store_true", help="warn instead of failing: exit status 0 in any case")
    return parser


def run(arguments: Namespace) -> list[str]:
    """Sync, print the summary and the warnings, and return the problems that ask for a person."""
    from .synchronise import synchronise  # here, because MLflow takes seconds to import: not for --help

    summary = synchronise(
        arguments.journals,
        arguments.store,
        arguments.experiment,
        arguments.artifacts,
        arguments.grace,
        register=None if arguments.register_models is None else arguments.register_models == "true",
    )
    print(summary)
    for line in summary.warnings:
        print(f"warning: {line}", file=sys.stderr)
    return summary.problems


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser().parse_args(argv)
    try:
        problems = run(arguments)
    except Exception as error:
        if not (arguments.tolerant or isinstance(error, InputError)):
            raise
        problems = [str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"]
    for line in problems:
        print(f"{'warning: sync' if arguments.tolerant else 'error'}: {line}", file=sys.stderr)
    if problems and not arguments.tolerant:
        raise SystemExit(2)


if __name__ == "__main__":
    main()
