"""Figures of operating points, subgroups and net benefit as rows for machines, of every replicate of every variant."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...common.records import Estimate
from ...zero_shot_classification.contract import FindingResult
from ..inputs import Inputs

CsvRow = dict[str, Any]  # column -> figure with all its digits


def estimate_columns(name: str, estimate: Estimate | None) -> CsvRow:
    """Return the three CSV columns of a figure: value, low, high; empty where there is none."""
    return {
        name: estimate and estimate.value,
        f"{name}_low": estimate and estimate.low,
        f"{name}_high": estimate and estimate.high,
    }


def judgement_rows(inputs: Inputs) -> Mapping[str, tuple[list[CsvRow], list[str]]]:
    """Return the rows of each file, with the columns of one that has no rows."""
    return {
        "operating_points.csv": (_points(inputs), ["dataset", "finding", "variant", "point"]),
        "subgroups.csv": (_subgroups(inputs), ["dataset", "finding", "variant", "attribute", "value"]),
        "net_benefit.csv": (_net_benefits(inputs), ["dataset", "finding", "variant", "threshold_probability"]),
    }


def _findings(inputs: Inputs) -> Iterator[tuple[CsvRow, FindingResult]]:
    for each in inputs.zero_shot:
        for finding, own in each.result.findings.items():
            yield {"dataset": each.dataset, "finding": finding, **each.replicate.columns}, own


def _points(inputs: Inputs) -> list[CsvRow]:
    rows = []
    for head, own in _findings(inputs):
        for name, point in own.operating_points.items():
            row = head | {"point": name} | point.model_dump(exclude={"rates"})
            row |= {"test_images": own.test_images, "test_positives": own.test_positives}
            for rate, figure in point.rates.items():
                row |= estimate_columns(rate, figure)
            rows.append(row)
    return rows


def _subgroups(inputs: Inputs) -> list[CsvRow]:
    return [
        head
        | each.model_dump(include={"attribute", "value", "positives", "negatives"})
        | {key: value for name in ("auc", "sensitivity", "specificity")
           for key, value in estimate_columns(name, getattr(each, name)).items()}
        | {"not_measured": each.not_measured}
        for head, own in _findings(inputs)
        for each in own.subgroups
    ]  # fmt: skip


def _net_benefits(inputs: Inputs) -> list[CsvRow]:
    return [
        head
        | {"threshold_probability": threshold}
        | {column: value for name in ("model", "treat_all", "gain")
           for column, value in estimate_columns(name, getattr(found, name)[place]).items()}
        for head, own in _findings(inputs)
        if (found := own.net_benefit) is not None
        for place, threshold in enumerate(found.thresholds)
    ]  # fmt: skip
