"""What a run measures on each labelled data set and what it leaves out, in the words of snakemake and the doctor."""

from collections.abc import Iterator

from stages.configuration import Config
from stages.contracts import EVALUATIONS


def measured(config: Config, dataset: str) -> str:
    """Return the evaluations of a data set."""
    return ", ".join(stage for stage in EVALUATIONS if dataset in config.measured_on(stage))


def left_out(config: Config, dataset: str) -> str:
    """Return what is left out of a data set, by reason; empty where nothing is."""
    by_reason: dict[str, list[str]] = {}
    for stage, why in config.not_measured(dataset).items():
        by_reason.setdefault(why, []).append(stage)
    return "; ".join(f"{', '.join(stages)} ({why})" for why, stages in by_reason.items())


def all_left_out(config: Config) -> Iterator[str]:
    """Yield a line for each data set of which something is left out, and where no data set is evaluated."""
    if not config.evaluate_on:
        yield "evaluate_on is empty: no figure on labels; retrieval is measured on the test part of `pretrain_on`"
    for dataset in config.evaluate_on:
        if words := left_out(config, dataset):
            yield f"not measured on {dataset}: {words}"
