"""The demo with its own settings and seed: what `make demo` shows, held to floors that five seeds support."""

import json

import pytest


@pytest.mark.long
def test_the_demo_learns(demo_run) -> None:
    """Floors below the worst of five seeds (docs/decisions/0004), and clear of the untrained encoder's interval."""
    for dataset, floor in (("rsna", 0.65), ("siim", 0.60)):
        measured = {}
        for variant in ("mlip", "random"):
            path = (
                demo_run.folder / "runs/demo/results" / "zero_shot_classification" / variant / dataset / "result.json"
            )
            measured[variant] = json.loads(path.read_text())["metrics"]["auc"]
        assert measured["mlip"]["value"] >= floor, (dataset, measured)
        assert measured["mlip"]["value"] > measured["random"]["high"], (dataset, measured)
