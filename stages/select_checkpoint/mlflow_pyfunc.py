"""The parts of MLflow that write a model, without telemetry and greetings; imported only from here.

MLflow reads these variables when it is imported, so they come first. Values set by the user are kept.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array, Map

__all__ = ["Array", "ColSpec", "DataType", "Map", "Model", "ModelSignature", "Schema", "pyfunc"]
