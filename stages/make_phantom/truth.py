"""What was drawn, as records of truth/<dataset>.json."""

import json
from typing import Any

from stages.common import run_lengths
from stages.make_phantom.canvas import bounding_box
from stages.make_phantom.devices import Device
from stages.make_phantom.findings import Pneumothorax
from stages.make_phantom.patients import Study
from stages.make_phantom.render import Radiograph


def image_truth(image_id: str, study_id: str, patient_id: str, study: Study, radiograph: Radiograph) -> dict[str, Any]:
    """One frontal image. Masks are run lengths of stages/common/run_lengths.py, written as text."""
    rows, columns = radiograph.display.shape
    found = []
    for item, mask in zip(study.findings, radiograph.masks, strict=True):
        entry: dict[str, Any] = {"finding": item.finding, "side": item.side, "zone": item.zone, "size": item.size}
        entry["box"] = bounding_box(mask)  # null where all of it lies outside the field of view
        if isinstance(item, Device):
            entry["kind"] = item.kind
        if isinstance(item, Pneumothorax):
            entry["mask"] = _text(run_lengths.encode(mask))
        found.append(entry)
    return {
        "image_id": image_id,
        "study_id": study_id,
        "patient_id": patient_id,
        "view": study.view,
        "rows": rows,
        "columns": columns,
        "findings": found,
        "lung_mask": _text(run_lengths.encode(radiograph.lungs)),
    }


def lateral_truth(image_id: str, study_id: str, patient_id: str, rows: int, columns: int) -> dict[str, Any]:
    """A lateral image: no finding is drawn on it."""
    truth = {"image_id": image_id, "study_id": study_id, "patient_id": patient_id, "view": "LATERAL"}
    return truth | {"rows": rows, "columns": columns, "findings": [], "lung_mask": ""}


def truth_bytes(dataset: str, images: list[dict[str, Any]], bad: list[dict[str, str]]) -> bytes:
    """A JSON file with one image a line."""
    lines = ",\n".join(json.dumps(image) for image in images)
    return f'{{"dataset": "{dataset}", "bad_inputs": {json.dumps(bad)}, "images": [\n{lines}\n]}}\n'.encode()


def _text(runs: list[int]) -> str:
    return " ".join(map(str, runs))
