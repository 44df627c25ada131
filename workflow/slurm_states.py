"""States of SLURM's jobs as Snakemake's plugin knows them.

sacct calls a job that somebody cancelled `CANCELLED by 1000`. snakemake-executor-plugin-slurm 2.8.0 knows `CANCELLED`
only: it would take such a job for a running one and wait for it for ever. So the answers of its question lose what
follows the first word. Delete this module when the plugin knows the state: its test fails as soon as the plugin gives
another answer.
"""

import sys
from collections.abc import Mapping
from functools import wraps
from typing import Any

_PLUGIN = "snakemake_executor_plugin_slurm"


def first_words(states: Mapping[str, str]) -> dict[str, str]:
    """Return the state of each job without what sacct adds to it."""
    return {job: (state.split() or [""])[0] for job, state in states.items()}


def know_cancelled_jobs() -> None:
    """Make the plugin of this process see that a cancelled job has ended; without the plugin nothing is done."""
    plugin: Any = sys.modules.get(_PLUGIN)
    if plugin is None:
        return
    ask = plugin.query_job_status

    @wraps(ask)
    async def asked(*arguments: Any) -> tuple[Mapping[str, str] | None, float | None]:
        states, seconds = await ask(*arguments)
        return states if states is None else first_words(states), seconds

    plugin.query_job_status = asked
