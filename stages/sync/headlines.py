"""Headline figures of runs that stand above others.

A stage logs its figure under the name of its column (`COLUMNS` in metrics.py), so that the rows of MLflow's list can
be compared. A group has the figures of its stages: those of a few-shot job under the name of its job,
`test/auc/linear_10`. A call of the workflow has those of all its runs, with variant and data set: `test/auc/mlip/rsna`.
Nothing is computed anew but the mean of a column, where one variant was trained: over its data sets and seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from ..common.replicates import Replicate
from .metrics import COLUMNS, column_of
from .run_records import RunRecord

Figures = dict[str, float]

_DIGITS = 4  # of a figure in a narrow column; the stage's own run has them all
# A group shows the figure of its job with the most labels.
_SEGMENTATION = "test/dice_of_positives"


def last_values(record: RunRecord) -> Figures:
    """Return the last value of each metric of a run."""
    ordered = sorted(record.metrics, key=lambda metric: (metric[3], metric[2]))  # by step, then by time
    return {key: value for key, value, _, _ in ordered}


def own_figures(record: RunRecord) -> Figures:
    """Return a run's figures of the columns; those of a few-shot job carry its protocol and share of labels."""
    job = "_".join(record.name.split("/")[2:])
    found: Figures = {}
    for key, value in last_values(record).items():
        if column := column_of(key):
            found["/".join(filter(None, [column, job, key[len(column) + 1 :]]))] = round(value, _DIGITS)
    return found


def group_figures(records: Sequence[RunRecord]) -> Figures:
    """Return the figures of the stages of one variant on one data set."""
    found = {key: value for record in records for key, value in own_figures(record).items()}
    jobs = [each for each in records if _SEGMENTATION in last_values(each)]
    if jobs and _SEGMENTATION not in found:
        most = max(jobs, key=lambda record: int(record.params.get("fraction", 0)))
        found[_SEGMENTATION] = round(last_values(most)[_SEGMENTATION], _DIGITS)
    return found


def call_figures(groups: Mapping[str, Sequence[RunRecord]]) -> Figures:
    """Return the figures of a call of the workflow; `groups` holds its runs by variant and data set ("mlip/rsna")."""
    trained = {
        Replicate.parse(place.partition("/")[0]).variant
        for place, records in groups.items()
        if any(each.stage == "pretrain" and "loss/total" in last_values(each) for each in records)
    }
    found: Figures = {}
    means: dict[str, list[float]] = {}
    for place, records in groups.items():
        for key, value in group_figures(records).items():
            column = column_of(key) or key
            found["/".join(filter(None, [column, place, key[len(column) + 1 :]]))] = value
            if key == column and trained == {Replicate.parse(place.partition("/")[0]).variant}:
                means.setdefault(column, []).append(value)
    return found | {column: round(fmean(values), _DIGITS) for column, values in means.items()}


def figures_table(groups: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    """Return Markdown: a row for each variant and data set, a column for each kind of figure that there is."""
    rows = {place: group_figures(records) for place, records in groups.items()}
    shown = [column for column in COLUMNS if any(column in row for row in rows.values())]
    if not shown:
        return []
    lines = [f"| | {' | '.join(COLUMNS[each] for each in shown)} |", f"|---{'|---:' * len(shown)}|"]
    for place, row in rows.items():
        cells = [f"{row[each]:.3f}" if each in row else "" for each in shown]
        lines += [f"| {place} | {' | '.join(cells)} |"] if any(cells) else []
    return lines


def joined_params(records: Iterable[RunRecord]) -> dict[str, str]:
    """Return the settings of all runs, by stage and key; values that differ between runs stand side by side."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in record.params.items():
            found.setdefault(f"{record.stage}.{key}", {})[value] = None
    return {key: " | ".join(values) for key, values in found.items()}
