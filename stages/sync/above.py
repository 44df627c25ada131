"""Runs of a store that stand above others, calls of the workflow and groups: kept, made anew, or removed."""

from ..common.journal.mlflow_texts import WORKSPACE
from .groups import GROUP
from .quiet_mlflow import MlflowClient, Run
from .run_records import RunRecord

_EMPTIED = "mlip.emptied"  # true: a group that a sync deleted


def kept_above(client: MlflowClient, run: Run, record: RunRecord) -> Run | None:
    """Return the run of a call or group, or None where it is to be made anew.

    MLflow changes neither a start, a param nor the past of a metric: a run that says another one is deleted. A group
    that a sync removed, and not a person, is restored.
    """
    if run.info.lifecycle_stage != "active":
        if run.data.tags.get(_EMPTIED) != "true":
            return run
        client.restore_run(run.info.run_id)
        client.set_tag(run.info.run_id, _EMPTIED, "false")
        run = client.get_run(run.info.run_id)
    wanted = record.params | {key: value for key, value, _, _ in record.metrics}
    held = run.data.params | run.data.metrics
    if run.info.start_time == record.started and all(wanted.get(key) == held[key] for key in held):
        return run
    client.delete_run(run.info.run_id)
    return None


def remove_empty_groups(client: MlflowClient, present: dict[str, Run], kept: set[str], workspace: str) -> None:
    """Delete the groups of this workspace whose stages have all moved below a later call."""
    for key, run in present.items():
        tags = run.data.tags
        if key in kept or GROUP not in tags or tags.get(WORKSPACE) != workspace:
            continue
        if run.info.lifecycle_stage == "active":
            client.set_tag(run.info.run_id, _EMPTIED, "true")
            client.delete_run(run.info.run_id)
