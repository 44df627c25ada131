"""The configuration that the commands which new-dataset prints lead to."""

from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from stages.config import check
from stages.config_layers import merged
from stages.configuration import Config

ROOT = Path(__file__).resolve().parents[3]
SMALL = "workflow/profiles/sample/settings.yaml"


def as_run(block: dict[str, Any], said: str) -> Config:
    """Check the block over config.yaml and over the file of the small model, if the commands name it."""
    files = ["config.yaml", *([SMALL] if f"--configfile {SMALL} " in said else [])]
    layers = [yaml.safe_load((ROOT / each).read_text(encoding="utf-8")) for each in files]
    return check(reduce(merged, [*layers, block]))
