"""Set how MLflow's pages show an experiment: which runs, in which order, with which columns.

MLflow's list takes its state from a tag of the experiment that the address names (`viewStateShareKey`), and which kind
of experiment it is from the address (`workflowType`): without it, MLflow 3 opens one of chat models, with no run in
sight. Read in MLflow 3.17.2, whose pages also show the experiment's note.
"""

import json

from ..common.journal.mlflow_texts import LATEST
from .metrics import COLUMNS, meanings
from .quiet_mlflow import MlflowClient

_VIEW = "mlip"
_TAG = f"mlflow.sharedViewState.{_VIEW}"
_NEWEST = f"tags.`{LATEST}` = 'true'"
_METRICS = [f"metrics.`{each}`" for each in COLUMNS]
_WIDTHS = {  # pixels, by the names that the page gives to its columns
    "attributes.`Run Name`": 260,
    "runDateAndNestInfo": 125,
    "duration": 90,
    **{name: 50 + 7 * len(column) for name, column in zip(_METRICS, COLUMNS, strict=True)},
}
_STATE = {
    "searchFilter": _NEWEST,
    "orderByKey": "attributes.start_time",  # the only order in which MLflow nests runs; the DAG's, oldest first
    "orderByAsc": True,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "selectedColumns": ["attributes.`Duration`", *_METRICS],
    "columnOrder": [*_WIDTHS],
    "columnWidths": _WIDTHS,
}


def runs_page(experiment: str, prepared: bool = True) -> str:
    """Return the path of an experiment's list of runs; `prepared`: `prepare_view` was called for it."""
    view = f"&viewStateShareKey={_VIEW}" if prepared else ""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning{view}"


def is_prepared(tags: dict[str, str]) -> bool:
    """Return whether the tags of an experiment hold the view to which `runs_page` leads."""
    return _TAG in tags


def prepare_view(client: MlflowClient, experiment: str) -> None:
    """Write the view and the meaning of its columns into the experiment; a note that a person wrote is kept."""
    held = client.get_experiment(experiment).tags
    note = "\n".join([_NOTE, "", *meanings(COLUMNS)])
    wanted = {_TAG: json.dumps(_STATE), "mlflow.experimentKind": "custom_model_development"}
    if held.get("mlflow.note.content", _NOTE).startswith(_NOTE):
        wanted["mlflow.note.content"] = note
    for key, value in wanted.items():
        if held.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


_NOTE = (
    f"Runs of MLIP. A row is one call of the workflow; below it lie groups (a variant on a data set, or a data set's "
    f"preparation), and below these the stages in the order in which they ran. `{_NEWEST}` shows what the results "
    "hold now; without this filter, earlier calls hold what was replaced. The report is among the files of a call."
)
