"""The first screen: what was trained on what, key figures beside their rivals, what is not measured, warnings.

The figures are those of Table 4, which also stand on the terminal when a run ends.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...common.wording import counted
from ..cautions import cautions_of
from ..naming import findings_label
from ..numbers import count, decimal, words
from ..tables.ablation import Measure
from ..tables.coverage import HEADERS
from ..tables.grounding import POINTERS, RIVALS
from ..tables.retrieval import CHANCE
from ..tables.table import NOTHING, Axis, Cell, Row, Task
from .report import Names, Report

MOST = 2  # figures of a task that the first screen shows; Table 4 has all
AXIS = Axis(0.0, 1.0)
TASKS: tuple[Task, ...] = ("zero_shot", "few_shot", "segmentation", "pointing", "retrieval")


@dataclass(frozen=True)
class KeyFigure:
    """A figure of the described variant beside what it must beat."""

    task: Task
    measure: str  # as Table 4 heads it
    dataset: str
    figure: Cell
    rival: str  # in words
    level: Cell  # the rival's figure, on the same images
    notes: tuple[str, ...] = ()  # must stand beside the figure

    @property
    def anchor(self) -> str:
        """Return the anchor of its table's section on the page."""
        return self.task.replace("_", "-")


def overview_names(report: Report) -> Names:
    """Return the names for the overview."""
    described = report.inputs.described
    by_task = key_figures(report, described).values()
    figures = [each for own in by_task for each in first_of_each_dataset(own)[:MOST]]
    return {
        "described": report.labels[described],
        "trained": trained_on(report, described),
        "others": [report.labels[each] for each in report.inputs.tree.variants if each != described],
        "evaluated": [_evaluated(report, dataset) for dataset in report.inputs.tree.evaluate_on],
        "figures": figures,
        "axis": AXIS,
        "style": report.styles[described],
        "more": any(len(own) > MOST for own in by_task),
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


def key_figures(report: Report, variant: str) -> dict[Task, list[KeyFigure]]:
    """Return the figures of Table 4 beside their rivals, by task."""
    found: dict[Task, list[KeyFigure]] = {task: [] for task in TASKS}
    for ablation in report.headlines:
        for measure in ablation.measures:
            if (figure := measure.figures.get(variant)) is not None and figure.value is not None:
                rival, level = _rival(report, variant, measure)
                found[measure.task].append(KeyFigure(
                    measure.task, measure.header[0].upper() + measure.header[1:], ablation.dataset, _short(figure),
                    rival, _short(level), _notes(report, variant, measure),
                ))  # fmt: skip
    return found


def first_of_each_dataset(figures: Sequence[KeyFigure]) -> list[KeyFigure]:
    """Return the figures, the first of each data set before its second."""
    seen = Counter[str]()
    ranks = []
    for each in figures:
        ranks.append(seen[each.dataset])
        seen[each.dataset] += 1
    return [each for _, each in sorted(zip(ranks, figures, strict=True), key=lambda pair: pair[0])]


def _rival(report: Report, variant: str, measure: Measure) -> tuple[str, Cell]:
    """Return the best of what a figure must beat: what is no heatmap, or an untrained encoder and guessing."""
    tree, column = report.inputs.tree, measure.column
    others = {row.label: row.cells[column] for row in _rows(report, measure) if not row.key and column in row.cells}
    if measure.task == "pointing":
        rivals = {words(pointer): others[label] for pointer in RIVALS if (label := POINTERS[pointer]) in others}
    else:
        rivals = {report.labels[each]: figure for each, figure in measure.figures.items()
                  if each not in (variant, *tree.image_only) and not report.inputs.trained(each)}  # fmt: skip
        if measure.task == "retrieval":
            rivals["chance"] = replace(others[CHANCE], form=decimal)
        elif measure.task == "segmentation":
            rivals["predicting nothing"] = Cell(0.0)
        else:
            rivals["chance"] = Cell(0.5)
    return max(rivals.items(), key=lambda rival: rival[1].value or 0.0, default=("no rival", NOTHING))


def _rows(report: Report, measure: Measure) -> list[Row]:
    return [row for table in report.tables if table.name == measure.table for _, row in table.rows()]


def _notes(report: Report, variant: str, measure: Measure) -> tuple[str, ...]:
    """Return the notes on a variant's rows, and on its cells of the column, where the figure comes from."""
    own = [row for row in _rows(report, measure) if row.key == variant]
    notes = (note for row in own for note in (*row.notes, *row.cells.get(measure.column, NOTHING).notes))
    return tuple(dict.fromkeys(notes))


def _short(cell: Cell) -> Cell:
    """Return a figure with its interval alone; its spread and the paired tests stand in the tables."""
    return replace(cell, spread=None, bold=False)


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
    found += [f"{measure.header} on {ablation.dataset} ({measure.absent[described]})" for ablation in report.headlines
              for measure in ablation.measures if (described := report.inputs.described) in measure.absent]  # fmt: skip
    skipped = {each.result.skipped for each in report.inputs.retrieval if each.result.figures is None}
    return found + [f"retrieval ({why})" for why in skipped if why]


def _phantom_seed(report: Report) -> str | None:
    if not report.provenance.synthetic:
        return None
    params: Mapping[str, str] = report.provenance.run("make_phantom", "").params
    return params.get("seed")
