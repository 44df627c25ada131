"""Parts of a rule that follow from its job's contract: paths of inputs and outputs, log, name, and shell command."""

from collections.abc import Callable, Mapping
from typing import Any

from snakemake.io import directory

from stages.common.contract import Job, arguments_of
from stages.contracts import job_of, writer_of

RESULTS = "<workspace>/results"


def place_of(job: type[Job], **known: str) -> str:
    """Return the folder of a run below its stage's; unknown wildcards stay."""
    return _filled(job.place, known)


def path_of(stage: str, file: str, **known: str) -> str:
    """Return the path of a stage's output, given its name in the contract."""
    return "/".join(
        part for part in (RESULTS, stage, place_of(writer_of(stage, file), **known), _filled(file, known)) if part
    )


def inputs_of(stage: str, command: str = "", leave: tuple[str, ...] = (), **known: str) -> dict[str, str]:
    """Return the inputs that other stages write, by option, except those that the rule sets itself (`leave`)."""
    sources = job_of(stage, command).sources()
    return {name: path_of(each.stage, each.file, **known) for name, each in sources.items()
            if each.stage and name not in leave}  # fmt: skip


def outputs_of(
    stage: str, command: str = "", marks: Mapping[str, Callable[[Any], Any]] | None = None, **known: str
) -> dict[str, Any]:
    """Return the outputs by option; `marks` are Snakemake's flags, such as report(), put on some of them."""
    found = {}
    for name, each in job_of(stage, command).products().items():
        path = path_of(stage, each.file, **known)
        found[name] = directory(path) if each.is_folder else path
        if marks and name in marks:
            found[name] = marks[name](found[name])
    return found


def log_of(stage: str, command: str = "", **known: str) -> str:
    """Return the log of a run: logs/<stage>/<place>.log."""
    place = place_of(job_of(stage, command), **known)
    return f"<workspace>/logs/{stage}{'/' if place else ''}{place}.log"


def command_of(
    stage: str,
    command: str = "",
    leave: tuple[str, ...] = (),
    word: str = "",
    more: str = "",
    log: str = '2> "$(new_log {log:q})"',
    **given: str,
) -> str:
    """Return the shell command of a rule: every input and output of the contract, then what the rule sets by name.

    Args:
        stage: the stage, and with `command` its job.
        command: the subcommand of a stage that has several.
        leave: options that the rule does not set.
        word: replaces the subcommand where a wildcard chooses it.
        more: options as text, where a function of the rule makes them.
        log: where standard error goes.
        given: values of options, in Snakemake's format.

    Raises:
        TypeError: an option has no value, or the contract does not have it; seen as soon as the rules are read.
    """
    job = job_of(stage, command)
    arguments = {each.name: each for each in arguments_of(job)}
    values = {name: f"{{input.{name}:q}}" for name, each in job.sources().items() if each.stage}
    values |= {name: f"{{output.{name}:q}}" for name in job.products()}
    values |= {"device": "{CONFIG.device}"} if "device" in arguments else {}
    values = {name: value for name, value in (values | given).items() if name not in leave}
    if lacking := [name for name, each in arguments.items() if each.required and name not in values]:
        raise TypeError(f"{stage}: the rule gives no value for {', '.join(lacking)}")
    if unknown := set(values) - set(arguments):
        raise TypeError(f"{stage}: its contract has no option {', '.join(sorted(unknown))}")
    options = [f"{arguments[name].flag} {value}" for name, value in values.items()]
    common = "--settings {params.settings:q} --image {params.image} --name {params.name:q} --journal {params.journal:q}"
    program = f"OMP_NUM_THREADS={{threads}} python -m stages.{stage}"
    text = " ".join([program, word or command, *options, more, common, log])
    return " ".join(text.split())  # Snakemake compares the text: blanks in it rerun nothing


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Fill in the wildcards that are known."""
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text
