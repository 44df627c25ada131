"""The first screen: what was trained on what, key figures beside their rivals, what is not measured, warnings.

Every figure is the cell of a table that stands below, so that nothing is computed twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ...common.wording import counted
from ..cautions import cautions_of
from ..naming import findings_label
from ..numbers import count, decimal, words
from ..readers.evaluation import Grounding, ZeroShot, grouped
from ..tables.coverage import HEADERS
from ..tables.grounding import POINTERS, RIVALS, table_name
from ..tables.retrieval import CHANCE
from ..tables.table import NOTHING, Axis, Cell, Row, Table
from .report import Names, Report

OfDatasetT = TypeVar("OfDatasetT", ZeroShot, Grounding)
MOST = 2  # data sets of a task that the first screen shows; the tables have all
AXIS = Axis(0.0, 1.0)
COIN = Cell(0.5)


@dataclass(frozen=True)
class KeyFigure:
    """A figure of the described variant beside what it must beat."""

    task: str
    section: str  # the anchor of its table's section
    where: str  # data set and finding
    figure: Cell
    rival: str  # in words
    level: Cell  # the rival's figure, on the same images
    notes: tuple[str, ...] = ()  # must stand beside the figure


def overview_names(report: Report) -> Names:
    """Return the names for the overview."""
    described = report.inputs.described
    figures = key_figures(report, described)
    return {
        "described": report.labels[described],
        "trained": trained_on(report, described),
        "others": [report.labels[each] for each in report.inputs.tree.variants if each != described],
        "evaluated": [_evaluated(report, dataset) for dataset in report.inputs.tree.evaluate_on],
        "figures": figures,
        "axis": AXIS,
        "style": report.styles[described],
        "more": _more(report, figures),
        "not_measured": not_measured(report),
        "warnings": cautions_of(report.inputs, report.provenance),
        "phantom_seed": _phantom_seed(report),
    }


def trained_on(report: Report, variant: str) -> str:
    """Return in words what a variant learned from, for how long, and how often."""
    inputs = report.inputs
    if not inputs.trained(variant):
        return "nothing: no variant of this run was trained"
    part = inputs.pairs.audit.splits["train"]
    replicates = inputs.tree.replicates_of(variant)
    epochs = report.provenance.run("pretrain", replicates[0].name).pretrained_with("optimisation.epochs")
    seeds = [str(each.seed) for each in replicates if each.seed is not None]
    trainings = f"{len(seeds)} trainings, seeds {', '.join(seeds)}" if len(seeds) > 1 else "one training"
    patients = "unknown patients" if part.patients is None else counted(part.patients, "patient")
    return (
        f"{counted(part.pairs, 'pair')} of radiograph and report, {patients}, of {inputs.tree.pretrain_on}; "
        f"{counted(int(epochs), 'epoch')}; {trainings}"
    )


def _evaluated(report: Report, dataset: str) -> str:
    card = report.inputs.cards[report.inputs.tree.evaluate_on.index(dataset)]
    test = card.splits["test"]
    patients = "patients unknown" if test.patients is None else counted(test.patients, "patient")
    return (
        f"{dataset} ({findings_label(card.findings)}: {counted(test.images, 'image')}, {patients}, "
        f"{count(test.positives)} positive)"
    )


def key_figures(report: Report, variant: str) -> list[KeyFigure]:
    """Return about five figures, each from the table of its task, of the first data sets alone."""
    found: list[KeyFigure] = []
    for task in (_zero_shot, _few_shot, _segmentation, _pointing, _retrieval):
        found += list(task(report, variant))[:MOST]
    return found


def _more(report: Report, figures: Sequence[KeyFigure]) -> bool:
    """Return whether the tables have data sets that the first screen leaves out."""
    return len(report.inputs.tree.evaluate_on) > MOST and bool(figures)


def _row(table: Table, key: str) -> Row | None:
    return next((row for _, row in table.rows() if row.key == key), None)


def _table(report: Report, name: str) -> Table | None:
    return next((table for table in report.tables if table.name == name), None)


def _untrained(report: Report, variant: str, table: Table, column: str) -> tuple[str, Cell]:
    """Return the figure of the random encoder, or that of guessing where the run has no other."""
    tree = report.inputs.tree
    for other in tree.variants:
        row = _row(table, other)
        if row is not None and other not in (variant, *tree.image_only) and not report.inputs.trained(other):
            return "random encoder", row.cells.get(column, NOTHING)
    return "chance", COIN


def _measured(
    task: str, section: str, where: str, row: Row | None, column: str, rival: tuple[str, Cell]
) -> Iterator[KeyFigure]:
    """Yield a key figure where the row has one in the column."""
    cell = NOTHING if row is None else row.cells.get(column, NOTHING)
    if row is not None and cell.value is not None:
        name, level = rival
        yield KeyFigure(task, section, where, _short(cell), name, _short(level), (*row.notes, *cell.notes))


def _short(cell: Cell) -> Cell:
    """Return a figure with its interval alone; its spread over repetitions stands in its table."""
    return replace(cell, spread=None, notes=())


def _first_by_dataset(measured: Iterable[OfDatasetT]) -> list[OfDatasetT]:
    return [own[0] for own in grouped(measured, lambda each: each.dataset).values()]


def _zero_shot(report: Report, variant: str) -> Iterator[KeyFigure]:
    for each in _first_by_dataset(report.inputs.zero_shot):
        table = _table(report, f"table1_{each.dataset}")
        if table is not None:
            where = f"{each.dataset}, {findings_label(each.result.findings, each.result.not_measured)}"
            yield from _measured("Zero-shot AUC", "zero-shot", where, _row(table, variant), "auc",
                                 _untrained(report, variant, table, "auc"))  # fmt: skip


def _few_shot(report: Report, variant: str) -> Iterator[KeyFigure]:
    """Yield the figure with the fewest labels that could teach anything, per data set and protocol."""
    jobs: dict[tuple[str, str], list[int]] = {}
    for each in report.inputs.few_shot:
        if each.result.skipped is None:
            jobs.setdefault((each.job.dataset, each.job.protocol), []).append(each.job.fraction)
    for (dataset, protocol), fractions in jobs.items():
        table, column = _table(report, f"table2_{dataset}_{protocol}"), f"auc_{min(fractions)}"
        if table is not None:
            where = f"{dataset}, {protocol}, {min(fractions)} % of labels"
            yield from _measured("Few-shot AUC", "few-shot", where, _row(table, variant), column,
                                 _untrained(report, variant, table, column))  # fmt: skip


def _segmentation(report: Report, variant: str) -> Iterator[KeyFigure]:
    """Yield the Dice with the fewest labels beside that of predicting nothing on the same images."""
    for table in report.tables_of("segmentation"):
        rows = [row for _, row in table.rows() if row.key == variant and row.cells["dice"].value is not None]
        job = next(each.job for each in report.inputs.segmentation
                   if table.name == f"table3_{each.job.dataset}_{each.job.protocol}")  # fmt: skip
        if rows:
            row = min(rows, key=lambda each: int((each.cells["fraction"].text or "0").removesuffix(" %")))
            where = f"{job.dataset}, {job.protocol}, {row.cells['fraction'].text} of labels"
            yield from _measured("Segmentation Dice", "segmentation", where, row, "dice",
                                 ("predicting nothing", row.cells["predict_nothing"]))  # fmt: skip


def _pointing(report: Report, variant: str) -> Iterator[KeyFigure]:
    """Yield the hits with the first prompts of a data set's first finding beside those of the best rival."""
    names = {POINTERS[pointer]: words(pointer) for pointer in RIVALS}
    for each in _first_by_dataset(report.inputs.grounding):
        prompts = next(iter(each.result.pointing))
        table = _table(report, table_name(each.place, prompts))
        if table is not None:
            found = {names[row.label]: row.cells["pointing"] for _, row in table.rows() if row.label in names}
            best = max(found.items(), key=lambda item: item[1].value or 0.0, default=("no rival", NOTHING))
            where = f"{each.dataset}, {words(each.result.finding)}, prompts {words(prompts)!r}"
            yield from _measured("Pointing hits", "pointing", where, _row(table, variant), "pointing", best)


def _retrieval(report: Report, variant: str) -> Iterator[KeyFigure]:
    """Yield recall at the largest k of the first direction beside that of a random order."""
    for table in report.tables_of("retrieval")[:1]:
        column = [each for each in table.columns if each.key.startswith("recall_at_")][-1]
        chance = next(row for _, row in table.rows() if row.label == CHANCE)
        where = f"{report.inputs.tree.pretrain_on}, {words(table.name.removeprefix('retrieval_'))}"
        yield from _measured(f"Retrieval {column.header}", "retrieval", where, _row(table, variant), column.key,
                             ("chance", replace(chance.cells[column.key], form=decimal)))  # fmt: skip


def not_measured(report: Report) -> list[str]:
    """Return what was left out and why: evaluations by reason, then what lacks text, then skipped retrieval."""
    tree = report.inputs.tree
    reasons: dict[tuple[str, str], list[str]] = {}
    for (dataset, stage), why in tree.not_measured.items():
        reasons.setdefault((HEADERS.get(stage, words(stage)), why), []).append(dataset)
    found = [f"{stage} on {', '.join(datasets)} ({why})" for (stage, why), datasets in reasons.items()]
    if not tree.evaluate_on:
        found += ["classification, segmentation and grounding (no labelled data set)"]
    if tree.image_only:
        found += [f"zero-shot, grounding and retrieval of {', '.join(tree.image_only)} (no text)"]
    skipped = {each.result.skipped for each in report.inputs.retrieval if each.result.figures is None}
    return found + [f"retrieval ({why})" for why in skipped if why]


def _phantom_seed(report: Report) -> str | None:
    if not report.provenance.synthetic:
        return None
    params: Mapping[str, str] = report.provenance.run("make_phantom", "").params
    return params.get("seed")
