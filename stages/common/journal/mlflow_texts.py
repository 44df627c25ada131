"""Texts in the form that MLflow accepts, and free of secrets for logs."""

import posixpath
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ..digests import digest_of

KEY_LENGTH = 250  # MLflow's limits, in characters
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
METRICS_A_BATCH = 1000  # MLflow's limits per call of log-batch
TEXTS_A_BATCH = 100

# Tags of a run that live logging, sync and the report share.
KEY = "mlip.key"  # one execution of a stage
STAGE = "mlip.stage"
NAME = "mlip.name"
LATEST = "mlip.latest"  # true: what the results hold now, false: what a later run replaced
WORKSPACE = "mlip.workspace"  # whose results a run belongs to
SYNCED = "mlip.synced"  # digest of the record; written last, so a run without it was interrupted half-way


_CONSTANT = re.compile(r"(data|normalisation|overlap|weights)/.*|chosen/step|validation/studies")


def run_name(stage: str, name: str) -> str:
    """Return the name of a run in MLflow: its stage and its place."""
    return f"{stage}/{name}" if name else stage


def mlflow_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return a name that MLflow accepts for each key: letters, digits and `_-. :/`, no leading dot, normalised paths.

    Valid keys stay as they are; two keys that would share a name are told apart by a digest of the key.
    """
    distinct = sorted(set(keys))
    names = {key: key for key in distinct if is_mlflow_key(key)}
    taken = set(names.values())
    for key in distinct:
        if key not in names:
            name = _allowed(key)
            names[key] = f"{name[: KEY_LENGTH - 9]}_{digest_of(key)[:8]}" if name in taken else name
            taken.add(names[key])
    return names


def is_mlflow_key(key: str) -> bool:
    """Return whether MLflow accepts this key unchanged."""
    return _allowed(key) == key


def _allowed(key: str) -> str:
    name = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).lstrip("./")
    if len(name) > KEY_LENGTH:
        name = name[:KEY_LENGTH].rstrip("./")
    return name or "_"


def is_constant(key: str) -> bool:
    """Return whether a number of the journal is a constant of its run, which MLflow shows as a tag and not as a chart.

    Constants are properties of the data and weights that a run reads, and what it chose.
    """
    return _CONSTANT.fullmatch(key) is not None


def shortened(value: str, limit: int) -> str:
    """Shorten a text to a limit of MLflow; the journal has the full text."""
    return value if len(value) <= limit else value[: limit - 1] + "…"


def limited(values: dict[str, str], limit: int) -> dict[str, str]:
    """Return keys and values in a form that MLflow accepts; values have at most `limit` characters."""
    names = mlflow_keys(values)
    return {names[key]: shortened(value, limit) for key, value in sorted(values.items())}


# What to do where a server refuses, by HTTP status.
ACCESS = {
    401: "export a valid MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    403: "ask the owner of the experiment for the permission EDIT, or name another experiment (`project`)",
}
WRITE_ENCODED = "write / ? # and @ of its password as %2F %3F %23 and %40, or export MLFLOW_TRACKING_PASSWORD instead"


def has_broken_password(uri: str) -> bool:
    """Return whether a character of a password ends the host of a URI too early, and the rest would be shown."""
    return "@" in uri.partition("://")[2].partition(urlsplit(uri).netloc)[2]


def without_secrets(text: str) -> str:
    """Remove user, password, token and query from the URIs in a text, so that it may be logged."""
    text = re.sub(r"(://)\S*@", r"\1***@", text)  # up to the last @: a password may hold others, and slashes
    return re.sub(r"(://[^\s?]*)\?[^\s;,)]*", r"\1?***", text)
