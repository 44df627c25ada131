"""MLflow without telemetry, its greeting in the log, and minutes of retries; imported only from here.

MLflow reads these variables when it is imported, so they come first. Values set by the user are kept.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from threading import BoundedSemaphore, RLock
from typing import ParamSpec, TypeVar

from .calls import CALLS_AT_ONCE

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # an error becomes one line of ours, no stack trace
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # default: an absent server blocks for 246 s
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # slow is not gone: nothing waits for a sync
os.environ.setdefault("MLFLOW_HTTP_POOL_MAXSIZE", str(CALLS_AT_ONCE))  # else made anew for each call
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # of every run, at a server

import mlflow
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
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
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
    "ModelVersion",
    "PagedList",
    "Param",
    "RegisteredModel",
    "Run",
    "RunTag",
    "ViewType",
    "forget_artifact_places",
]

# Each worker of a server has 15 connections to its database, and takes two for one of these calls, one after the other:
# where as many wait for their second one, nothing goes on for 30 s. Two syncs at once do not get that far.
_TAKES_TWO = ("create_run", "log_batch", "log_inputs")
_TWO_AT_ONCE = BoundedSemaphore(7)
_OTHERS = (
    "delete_run",
    "get_metric_history",
    "get_run",
    "log_artifact",
    "log_artifacts",
    "search_runs",
    "set_experiment_tag",
    "set_model_version_tag",
    "set_registered_model_alias",
    "set_registered_model_tag",
    "set_tag",
    "set_terminated",
    "update_run",
)
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # s before another try; of those that collide one succeeds each time
_ONE_BY_ONE = RLock()

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class MlflowClient(mlflow.MlflowClient):
    """MLflow's client, for a store into which others write at the same time."""


def _asked_again(
    call: Callable[Arguments, Answer], at_once: AbstractContextManager[object] | None = None
) -> Callable[Arguments, Answer]:
    """Return a call that is repeated where the server's database refused it, and left everything as it was.

    MLflow looks whether a thing is there and then makes it. Where another writer was faster in between, the database
    refuses the second. Whatever it refuses, and where all connections to it are taken, MLflow answers BAD_REQUEST.
    """

    @wraps(call)
    def repeated(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        try:
            with at_once or nullcontext():
                return call(*arguments, **named)
        except MlflowException as error:
            _raise_unless_refused(error)
        with _ONE_BY_ONE:  # together they would be refused again
            for pause in _PAUSES:
                time.sleep(pause)
                try:
                    return call(*arguments, **named)
                except MlflowException as error:
                    _raise_unless_refused(error)
            return call(*arguments, **named)

    return repeated


def _raise_unless_refused(error: MlflowException) -> None:
    if error.error_code != "BAD_REQUEST":
        raise error


for _name in _TAKES_TWO:
    setattr(MlflowClient, _name, _asked_again(getattr(MlflowClient, _name), _TWO_AT_ONCE))
for _name in _OTHERS:
    setattr(MlflowClient, _name, _asked_again(getattr(MlflowClient, _name)))


def forget_artifact_places() -> None:
    """Clear MLflow's memory of where each run keeps its files.

    It is by the run's id and for the whole process, so that a copy of a store would write into the original's folder.
    """
    _service._artifact_repos_cache.clear()
