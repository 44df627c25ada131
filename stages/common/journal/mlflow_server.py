"""The few calls of MLflow's REST API that live logging needs, with the standard library.

MLflow's own client takes 3 s of CPU to import, in every job, and its retries serve other purposes; these calls cost
some milliseconds. Each may take 10 s and is tried twice. What still fails is an OSError or ValueError, or a
DeletedRunError where a person has deleted the run.

Reference: MLflow REST API 2.0.
"""

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from .mlflow_texts import ACCESS, KEY, WRITE_ENCODED, has_broken_password, without_secrets

_SECONDS_A_CALL = 10.0
_SECONDS_BEFORE_RETRY = 1.0
_PROBE_BYTES = 1_000_000


class RefusedError(OSError):
    """Refusal by the server: the HTTP `status`, and MLflow's code if it gave one."""

    def __init__(self, status: int, code: str, message: str) -> None:
        remedy = f": {ACCESS[status]}" if status in ACCESS else ""
        super().__init__(f"HTTP {status} {code or message}".strip() + remedy)
        self.status, self.code = status, code


class DeletedRunError(Exception):
    """All runs that carry the key were deleted: by a person, since sync always leaves one of them."""


class MlflowServer:
    """One MLflow server. Raises ValueError for an address whose password is cut off.

    `environ` holds the user's variables by MLflow's names (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN, ...).
    """

    def __init__(self, uri: str, environ: Mapping[str, str]) -> None:
        parts = urlsplit(uri)
        if has_broken_password(uri):
            raise ValueError(f"the address has an @ behind its host; {WRITE_ENCODED}")
        self._base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
        self._headers = {"Content-Type": "application/json"} | _authorization(uri, environ)
        self._context = _tls(environ) if parts.scheme == "https" else None

    def __str__(self) -> str:
        return without_secrets(self._base)

    def probe(self, experiment: str, timeout: float) -> tuple[int, str]:
        """Return HTTP status and text of a question that changes nothing; status 0 and the reason: no answer.

        The status is 200 where the experiment does not exist, and 403 where we may read but not write it.
        """
        status, text = self._asked(f"experiments/get-by-name?experiment_name={quote(experiment)}", None, timeout)
        if status == 404 and "RESOURCE_DOES_NOT_EXIST" in text:
            return 200, text
        with suppress(ValueError, KeyError, TypeError):
            # A tag without a key is never set: the permission is looked at first.
            found = {"experiment_id": json.loads(text)["experiment"]["experiment_id"]}
            refusal = self._asked("experiments/set-experiment-tag", found, timeout)
            return refusal if refusal[0] == 403 else (status, text)
        return status, text

    def _asked(self, path: str, body: dict[str, Any] | None, timeout: float) -> tuple[int, str]:
        request = self._request(path, body)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self._context) as answer:  # noqa: S310
                return answer.status, answer.read(_PROBE_BYTES).decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(_PROBE_BYTES).decode(errors="replace")
        except (OSError, ValueError, HTTPException) as error:
            return 0, str(getattr(error, "reason", None) or error)

    def experiment(self, name: str) -> str:
        """Return the id of the experiment; create it if absent."""
        for _ in range(2):
            try:
                found = self._call(f"experiments/get-by-name?experiment_name={quote(name)}")
                return found["experiment"]["experiment_id"]
            except RefusedError as error:
                if error.code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            try:
                return self._call("experiments/create", {"name": name})["experiment_id"]
            except RefusedError as error:
                if error.code != "RESOURCE_ALREADY_EXISTS":  # another job was faster: look again
                    raise
        raise ValueError(f"experiment {name!r} does not exist and cannot be created")

    def run(self, experiment: str, key: str, start: int, name: str, tags: Mapping[str, str]) -> str:
        """Return the id of the active run that carries the key; create it if absent.

        Raises DeletedRunError where only deleted runs carry the key.
        """
        search = {"experiment_ids": [experiment], "filter": f"tags.`{KEY}` = '{key}'", "run_view_type": "ALL"}
        found = [run["info"] for run in self._call("runs/search", search).get("runs", ())]
        for info in found:
            if info["lifecycle_stage"] == "active":
                return info["run_id"]
        if found:
            raise DeletedRunError(key)
        pairs = [{"key": each, "value": value} for each, value in {**tags, KEY: key}.items()]
        body = {"experiment_id": experiment, "start_time": start, "run_name": name, "tags": pairs}
        # Not tried again here, because a call that timed out may have succeeded; the next attempt searches first.
        return self._call("runs/create", body, tries=1)["run"]["info"]["run_id"]

    def log_batch(self, run: str, **parts: list[dict[str, Any]]) -> None:
        """Log `metrics` (at most 1,000), `params` and `tags` (at most 100); existing ones are left as they are."""
        self._call("runs/log-batch", {"run_id": run, **parts})

    def end(self, run: str, status: str, end: int) -> None:
        """Set the final status and the end time (Unix milliseconds) of a run."""
        self._call("runs/update", {"run_id": run, "status": status, "end_time": end})

    def _call(self, path: str, body: dict[str, Any] | None = None, tries: int = 2) -> dict[str, Any]:
        request = self._request(path, body)
        for attempt in range(tries):
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS_A_CALL, context=self._context) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    failure: Exception = (refused := _refused(error))
                # BAD_REQUEST: the database refused; somebody else was faster in making the same thing
                if error.code < 500 and error.code != 429 and refused.code != "BAD_REQUEST":
                    raise failure from None
            except OSError as error:
                failure = error
            except HTTPException as error:
                failure = OSError(f"no whole HTTP answer: {error!r}")
            if attempt + 1 < tries:
                time.sleep(_SECONDS_BEFORE_RETRY)
        raise failure

    def _request(self, path: str, body: dict[str, Any] | None) -> urllib.request.Request:
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.Request(f"{self._base.rstrip('/')}/api/2.0/mlflow/{path}", data, self._headers)  # noqa: S310, http(s) alone comes here


def _refused(error: urllib.error.HTTPError) -> RefusedError:
    try:
        code = str(json.load(error)["error_code"])
    except (OSError, ValueError, KeyError, TypeError):  # not MLflow's answer: a proxy, or the check of host names
        code = ""
    return RefusedError(error.code, code, str(error.reason))


def _authorization(uri: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the header in MLflow's own order: the address, then user and password, then the token."""
    parts = urlsplit(uri)
    in_address = unquote(parts.username or ""), unquote(parts.password or "")
    in_variables = environ.get("MLFLOW_TRACKING_USERNAME", ""), environ.get("MLFLOW_TRACKING_PASSWORD", "")
    for user, password in (in_address, in_variables):
        if user and password:
            return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
