"""Operating points and subgroups of the described variant, for readers who decide on radiographs."""

from collections.abc import Iterator

from ...common.records import FEWEST, OUTCOMES, RATES, Estimate, PointName
from ...common.wording import counted
from ...zero_shot_classification.contract import FindingResult, OperatingPoint
from ..inputs import Inputs
from ..naming import replicate_label
from ..numbers import count, interval, percent, words
from ..readers.evaluation import ZeroShot
from .classification import intervals_note, overlap_notes
from .table import NOTHING, Axis, Block, Cell, Column, Row, Table, axis_of, cell_of

POINT_NAMES: dict[PointName, str] = {
    "sensitivity_90": "90 % sensitivity",
    "specificity_90": "90 % specificity",
    "youden": "Youden",
}
HEADERS = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}
POINTS_NOTE = (
    "Every threshold was chosen on validation and applied to test as it is, so that test need not reach 90 %. The "
    "Youden index is sensitivity + specificity - 1; its threshold has the largest there. PPV and NPV (positive and "
    "negative predictive value) hold at the prevalence of this test split alone. TP, FP, FN and TN are the confusion "
    "matrix: true and false positives, false (missed) and true negatives, test images. A rate of 0 or 1 has the "
    "interval of Clopper and Pearson over its patients, as every bootstrap draw repeats it. Other variants: "
    "operating_points.csv."
)
GROUPS_NOTE = (
    "Sensitivity and specificity are at the Youden threshold of all validation images; one of 0 or 1 has the interval "
    f"of Clopper and Pearson over its patients. A group with fewer than {FEWEST} positive or negative test images "
    "has too few to be measured, and how few these are is not told. Nothing is tested here: the more groups, "
    "the more likely one of them is apart by chance, and intervals of small groups are wide. Ages of 90 and above are "
    "one. Other variants: subgroups.csv."
)
ALL = "all test images"


def described(inputs: Inputs) -> Iterator[ZeroShot]:
    """Yield the result on each data set of the described variant, of its median training."""
    yield from (each for each in inputs.shown(inputs.zero_shot) if each.variant == inputs.described)


def operating_points_tables(inputs: Inputs) -> list[Table]:
    """Make one table per data set, with a row per finding and point."""
    tables = []
    for each in described(inputs):
        several = each.result.only is None
        rows = [
            Row(
                POINT_NAMES[name],
                (_finding_cells(finding, own) if several else {}) | _point_cells(point),
                overlap_notes(each.result.overlap),
            )
            for finding, own in each.result.findings.items()
            for name, point in own.operating_points.items()
        ]
        columns = (
            *([Column("finding", "finding", "text"), Column("prevalence", "prevalence", "text")] if several else []),
            Column("threshold", "threshold"),
            *(Column(name, HEADERS[name]) for name in RATES),
            Column("confusion", "TP / FP / FN / TN", "text"),
        )
        only = each.result.only
        tables.append(Table(
            f"operating_points_{each.dataset}",
            f"Operating points of {replicate_label(inputs, each.replicate)} in {each.dataset}: "
            f"{counted(each.result.test_images, 'test image')}"
            + (f", prevalence {_prevalence(only)}" if only else ""),
            columns,
            (Block("measured", tuple(rows)),),
            first="threshold for",
            legend=(POINTS_NOTE, intervals_note(each.result.resampled_by)),
            task="operating_points",
        ))  # fmt: skip
    return tables


def _finding_cells(finding: str, own: FindingResult) -> dict[str, Cell]:
    return {"finding": Cell(text=words(finding)), "prevalence": Cell(text=_prevalence(own))}


def _point_cells(point: OperatingPoint) -> dict[str, Cell]:
    cells = {"threshold": Cell(point.threshold)} | {name: _figure(point.rates[name]) for name in RATES}
    return cells | {"confusion": Cell(text=" / ".join(count(getattr(point, f"{name}s")) for name in OUTCOMES))}


def _prevalence(own: FindingResult) -> str:
    return f"{percent(own.test_positives / own.test_images)} ({count(own.test_positives)} positive)"


def subgroups_tables(inputs: Inputs) -> list[Table]:
    """Make one table per data set that states sex, age or view: a row per finding and group."""
    tables = []
    for each in described(inputs):
        several = each.result.only is None
        rows = [row for finding, own in each.result.findings.items()
                for row in _group_rows({"finding": Cell(text=words(finding))} if several else {}, own)]  # fmt: skip
        if not any(own.subgroups for own in each.result.findings.values()):
            continue
        columns = (
            *([Column("finding", "finding", "text")] if several else []),
            Column("attribute", "by", "text"),
            Column("positives", "positive", "text"),
            Column("negatives", "negative", "text"),
            Column("auc", "AUC", axis=_axis(each)),
            Column("sensitivity", "sensitivity"),
            Column("specificity", "specificity"),
        )
        tables.append(Table(
            f"subgroups_{each.dataset}",
            f"Subgroups of {replicate_label(inputs, each.replicate)} in {each.dataset}",
            columns,
            (Block("measured", tuple(rows)),),
            first="group",
            notes=tuple(_not_stated(each)),
            legend=(GROUPS_NOTE, intervals_note(each.result.resampled_by)),
            task="subgroups",
        ))  # fmt: skip
    return tables


def _axis(each: ZeroShot) -> Axis:
    aucs = [group.auc for own in each.result.findings.values() for group in own.subgroups]
    return axis_of([own.metrics["auc"] for own in each.result.findings.values()] + aucs, reference=0.5)


def _group_rows(name: dict[str, Cell], own: FindingResult) -> Iterator[Row]:
    """Yield a row of all test images and one per group, each with the cells of `name`."""
    youden = own.operating_points["youden"].rates
    sizes = _sizes(own.test_positives, own.test_images - own.test_positives)
    yield Row(ALL, name | sizes | {"auc": cell_of(own.metrics["auc"])}
              | {rate: _figure(youden[rate]) for rate in ("sensitivity", "specificity")})  # fmt: skip
    for group in own.subgroups:
        cells = name | {"attribute": Cell(text=group.attribute)} | _sizes(group.positives, group.negatives)
        if group.not_measured:
            yield Row(group.value, cells | {"auc": Cell(text="too few")})
            continue
        figures = {"auc": group.auc, "sensitivity": group.sensitivity, "specificity": group.specificity}
        yield Row(group.value, cells | {key: _figure(figure) for key, figure in figures.items()})


def _sizes(positives: int | None, negatives: int | None) -> dict[str, Cell]:
    return {name: Cell(text=f"fewer than {FEWEST}" if number is None else count(number))
            for name, number in (("positives", positives), ("negatives", negatives))}  # fmt: skip


def _not_stated(each: ZeroShot) -> Iterator[str]:
    """Yield what is not split because no image states it."""
    lacking = [name for name, number in each.result.stated.items() if not number]
    if lacking:
        yield f"{each.dataset}: no test image states {' or '.join(lacking)}, so nothing is split by it."


def _figure(figure: Estimate | None) -> Cell:
    return NOTHING if figure is None else cell_of(figure)


def point_summary(point: OperatingPoint) -> str:
    """Return sensitivity and specificity of a point in words."""
    return ", ".join(f"{name} {interval(point.rates[name])}" for name in ("sensitivity", "specificity"))
