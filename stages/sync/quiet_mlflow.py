"""MLflow without telemetry, its greeting in the log, and minutes of retries; imported only from here.

MLflow reads these variables when it is imported, so they come first. Values set by the user are kept.
"""

import os

from .calls import CALLS_AT_ONCE

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # an error becomes one line of ours, no stack trace
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # default: an absent server blocks for 246 s
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # slow is not gone: nothing waits for a sync
os.environ.setdefault("MLFLOW_HTTP_POOL_MAXSIZE", str(CALLS_AT_ONCE))  # else made anew for each call
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # of every run, at a server

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.tracking._tracking_service import utils as _service

__all__ = [
    "Dataset",
    "DatasetInput",
    "InputTag",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "PagedList",
    "Param",
    "RegisteredModel",
    "Run",
    "RunTag",
    "ViewType",
    "forget_artifact_places",
]


def forget_artifact_places() -> None:
    """Clear MLflow's memory of where each run keeps its files.

    It is by the run's id and for the whole process, so that a copy of a store would write into the original's folder.
    """
    _service._artifact_repos_cache.clear()
