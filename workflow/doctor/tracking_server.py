"""Check of the MLflow server, where one is named: it answers, accepts our name for it, and lets us in."""

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from workflow.doctor.findings import Finding

_SECONDS = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_tracking(workspace: Path, on_slurm: bool, environ: Mapping[str, str] = os.environ) -> Finding:
    """Check the server by one request that changes nothing: a search for one experiment."""
    uri = environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return Finding(
            "ok", "tracking", f"no MLFLOW_TRACKING_URI: journals are imported into {workspace / 'mlflow.db'}"
        )
    parts = urlsplit(uri)
    place, host = parts.netloc.rpartition("@")[2], parts.hostname or ""
    shown = parts._replace(netloc=place).geturl()  # an address may hold a password
    if not uri.startswith(("http://", "https://")):
        return Finding("ok", "tracking", f"{shown} is not a server: nothing to check")
    status, text = _search(shown, parts.username, parts.password, environ)
    if status == 403 and "host" in text.lower():
        remedy = f"start the server with `mlflow server --allowed-hosts {place}`"
        return Finding("error", "tracking", f"{shown} refuses the host name {host}", remedy)
    if status in (401, 403):
        remedy = "export MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or _TOKEN) before snakemake"
        return Finding("error", "tracking", f"{shown} denies access (HTTP {status})", remedy)
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


def _search(uri: str, name: str | None, password: str | None, environ: Mapping[str, str]) -> tuple[int, str]:
    """Return HTTP status and text; status 0 with the reason where there is no answer."""
    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
    headers = {"Content-Type": "application/json"}
    name = name or environ.get("MLFLOW_TRACKING_USERNAME")
    password = password or environ.get("MLFLOW_TRACKING_PASSWORD")
    if token := environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif name:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{name}:{password or ''}".encode()).decode()
    body = json.dumps({"max_results": 1}).encode()
    request = urllib.request.Request(address, body, headers)  # noqa: S310 (http or https: looked at by the caller)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read(2000).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(2000).decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(getattr(error, "reason", None) or error)
