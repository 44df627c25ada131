"""The command `mlip`: use a trained model, query the pipeline, or run one stage.

Commands of the pipeline belong to a checkout: the one around the current folder, the one that mlip was installed from
with `pip install -e`, or the one that --checkout names. All but audit and images run in its folder, as `make` does.
"""

import os
import sys
from argparse import REMAINDER, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .commands import checkout, embed, new_dataset, predict, rejects, split_report
from .common.command_line import PROGRAM, let_idle_threads_sleep, one_line_errors
from .common.errors import InputError
from .common.settings import did_you_mean

PACKAGE = Path(__file__).resolve().parent
_OWN = {
    "predict": predict,
    "embed": embed,
    "split-report": split_report,
    "new-dataset": new_dataset,
    "rejects": rejects,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; an InputError becomes one line and exit status 2."""
    let_idle_threads_sleep()
    with one_line_errors():
        options = parser().parse_args(argv)
        command, arguments = options.command, options.arguments
        if options.checkout and (command in _OWN or command.replace("-", "_") in stages()):
            raise InputError(f"--checkout: {command} needs none", "leave it out")
        if own := _OWN.get(command):
            own_parser = _parser_of(command, own.__doc__)
            own.add_options(own_parser)
            own.main(own_parser.parse_args(arguments))
        elif command in checkout.SUMMARIES:
            checkout.run(command, arguments, checkout.find_checkout(options.checkout, Path.cwd(), PACKAGE))
        else:
            _run_stage(command, arguments)


def parser() -> ArgumentParser:
    """Return the parser of the command, whose help lists all commands."""
    options = ArgumentParser(
        "mlip", description=__doc__, epilog=_commands(), formatter_class=RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--checkout", type=Path, metavar="FOLDER", help="checkout: the folder that contains workflow/Snakefile"
    )
    options.add_argument("command", help="one of the commands below; see mlip COMMAND --help")
    options.add_argument("arguments", nargs=REMAINDER, help="arguments of the command")
    return options


def stages() -> dict[str, str]:
    """Return the first sentence of each stage's description, by the stage's name."""
    return {path.parent.name: _summary(path.read_text(encoding="utf-8"))
            for path in sorted(PACKAGE.glob("*/__main__.py"))}  # fmt: skip


def _summary(text: str) -> str:
    """Return the first sentence of a description; a second one says where the code is."""
    line = text.removeprefix('"""').partition("\n")[0].removesuffix('"""')
    return f"{line.partition('. ')[0].removesuffix('.')}."


def _commands() -> str:
    own = {name: _summary(module.__doc__ or "") for name, module in _OWN.items()}
    groups = {"a model, a report, a table, a run": own, "the pipeline": checkout.SUMMARIES,
              "its stages": {name.replace("_", "-"): each for name, each in stages().items()}}  # fmt: skip
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:<28}{summary}" for name, summary in group.items())])
        for title, group in groups.items()
    )


def _parser_of(command: str, description: str | None) -> ArgumentParser:
    return ArgumentParser(f"mlip {command}", description=description, formatter_class=RawDescriptionHelpFormatter)


def _run_stage(command: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `python -m <package>.<stage>`.

    Where mlip is installed, nothing in the current folder may hide the package (-P).
    """
    stage = command.replace("-", "_")
    if stage not in stages():
        known = [*_OWN, *checkout.SUMMARIES, *(name.replace("_", "-") for name in stages())]
        raise InputError(f"{command}: no such command{did_you_mean(command, known)}", "mlip --help lists them")
    package = __package__
    safe_path = [] if package == PACKAGE.name else ["-P"]
    sys.stdout.flush()
    environment = os.environ | {PROGRAM: f"mlip {command}"}
    program = [sys.executable, *safe_path, "-m", f"{package}.{stage}", *arguments]
    os.execve(sys.executable, program, environment)  # noqa: S606


if __name__ == "__main__":
    main()
