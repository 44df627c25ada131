"""Check of the MLflow server, where one is named: it answers, accepts our name for it, and lets us in."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from stages.common.errors import InputError
from stages.common.journal.mlflow_server import MlflowServer
from stages.common.journal.mlflow_texts import ACCESS, without_secrets
from stages.sync.options import absolute_uri
from workflow.doctor.findings import Finding

_SECONDS = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_tracking(workspace: Path, project: str, on_slurm: bool, environ: Mapping[str, str] = os.environ) -> Finding:
    """Check the server by requests that change nothing, signed in as jobs are; `project` names the experiment."""
    uri = environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return Finding(
            "ok", "tracking", f"no MLFLOW_TRACKING_URI: journals are imported into {workspace / 'mlflow.db'}"
        )
    if not uri.startswith(("http://", "https://")):
        return _without_server(uri)
    try:
        parts, server = urlsplit(uri), MlflowServer(uri, environ)
    except (OSError, ValueError) as error:  # a certificate that is not there, an address that is none
        what = f"MLFLOW_TRACKING_URI or _SERVER_CERT_PATH cannot be used: {without_secrets(str(error))}"
        return Finding("error", "tracking", what, "correct it, or unset it: results do not depend on it")
    place, host, shown = parts.netloc.rpartition("@")[2], parts.hostname or "", str(server)
    status, text = server.probe(project, _SECONDS)
    if status == 403 and "host" in text.lower():
        remedy = f"start the server with `mlflow server --allowed-hosts {place}`"
        return Finding("error", "tracking", f"{shown} refuses the host name {host}", remedy)
    if status in ACCESS:
        what = f"{shown} denies access{f' to experiment {project!r}' if status == 403 else ''} (HTTP {status})"
        return Finding("error", "tracking", what, ACCESS[status])
    if status != 200:
        remedy = "start the server, correct MLFLOW_TRACKING_URI, or unset it: results do not depend on it"
        return Finding("error", "tracking", f"{shown}: {f'HTTP {status}' if status else text}", remedy)
    if on_slurm and host in _LOOPBACK:
        remedy = f"use the name by which compute nodes reach this machine instead of {host}"
        return Finding(
            "warning",
            "tracking",
            f"{shown} answers here, but {host} is a different machine on each compute node",
            remedy,
        )
    return Finding("ok", "tracking", f"{shown} answers and accepts the name {host}")


def _without_server(uri: str) -> Finding:
    try:
        absolute_uri(uri, "MLFLOW_TRACKING_URI")
    except InputError as error:
        return Finding("error", "tracking", without_secrets(error.what), error.remedy)
    return Finding("ok", "tracking", f"{without_secrets(uri)} is not a server: nothing to check")
