"""Digests of values: the same settings or the same data give the same name everywhere."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no blanks: one text per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the hex sha256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def data_digest(inputs: Mapping[str, str]) -> str:
    """Return the digest of named inputs (role -> sha256); paths do not count, content does."""
    return digest_of(dict(inputs))


def seed_from(*parts: int | str) -> int:
    """Return a 63-bit seed that is a pure function of its parts, e.g. ("mask", seed, step)."""
    return int.from_bytes(hashlib.sha256(canonical_json(list(parts)).encode()).digest()[:8], "big") >> 1
