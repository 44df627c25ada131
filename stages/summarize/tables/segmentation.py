"""Table 3: few-shot segmentation, every Dice in one row with the score of predicting nothing on the same images."""

from collections.abc import Iterable, Sequence

from ...few_shot_segmentation.contract import FIGURES
from ..inputs import Inputs
from ..naming import always_note, protocol_name, protocol_note, variant_label
from ..numbers import interval, words
from ..readers.few_shot_segmentation import Segmentation
from .classification import BOLD, cell, job_row, overlap_notes
from .comparisons import Comparisons
from .image_values import segmentation_values
from .quoted import Quotation, quoted_blocks
from .table import Block, Cell, Column, CsvRow, Row, Table
from .writers import aligned

COMPARED = ("dice", "dice_of_positives", "iou_of_positives")
COLUMNS = (
    Column("fraction", "labels", "text"),
    Column("dice", "Dice"),
    Column("predict_nothing", "Dice of predicting nothing"),
    Column("dice_of_positives", "Dice of positives"),
    Column("iou_of_positives", "IoU of positives"),
    Column("gain_over_nothing", "gain over nothing", shown=False),
)
DEFINITION = (
    "Dice is the mean over test images, 1 where truth and prediction are both empty, so predicting nothing scores the "
    "share of negatives; Dice and IoU of positives are means over the images with the finding. Thresholds from "
    "validation."
)
OTHERS = (
    "Quoted: a mean Dice of other authors may be another figure than ours, e.g. one over the pixels of all images "
    "together and averaged over finding and background; they do not print what predicting nothing scores."
)
FIGURES_OF_TEXT = ("dice", "predict_nothing", "dice_of_positives")


def few_shot_segmentation_tables(
    inputs: Inputs, comparisons: Comparisons, quotations: Sequence[Quotation]
) -> list[Table]:
    """Return one table per data set and protocol; a row is a variant with one share of the labels."""
    places = dict.fromkeys((each.job.dataset, each.job.protocol) for each in inputs.segmentation)
    return [
        _table(inputs, [each for each in inputs.segmentation if (each.job.dataset, each.job.protocol) == place],
               comparisons, list(quotations))
        for place in places
    ]  # fmt: skip


def _table(inputs: Inputs, cells: list[Segmentation], comparisons: Comparisons, quotations: list[Quotation]) -> Table:
    job, first = cells[0].job, cells[0].result
    name = f"table3_{job.dataset}_{job.protocol}"
    fractions = list(dict.fromkeys(each.job.fraction for each in cells))
    rows = []
    for fraction in fractions:
        of_fraction = [each for each in cells if each.job.fraction == fraction]
        best = _best(inputs, name, of_fraction, comparisons)
        rows += [_row(inputs, each, best) for each in of_fraction]
    quoted = tuple(
        _of_fractions(block, fractions)
        for block in quoted_blocks(quotations, "few_shot_segmentation", job.dataset, job.protocol)
    )
    quoted = tuple(block for block in quoted if block.rows)
    seeds = max(len(each.result.seeds) for each in cells)
    results = [each.result for each in cells]
    changed, always = protocol_note(job.protocol, results), always_note(results)
    return Table(
        name,
        f"Table 3. Few-shot segmentation of {words(first.finding)} in {job.dataset}, protocol "
        f"{protocol_name(job.protocol, results)}, images of {first.input_size} pixels: "
        f"{first.images['test'].images} test images, {first.images['test'].positives} positive",
        COLUMNS,
        (Block("measured", tuple(rows), protocol=changed or ""), *quoted),
        notes=(
            *(note for note in (changed, always) if note),
            f"Labels: share of the training images. Means of {seeds} repetitions; after \u00b1 their spread (standard "
            "deviation).",
            DEFINITION,
            f"Brackets: 95 % bootstrap intervals, resampled by {first.resampled_by}.",
            BOLD.format(unit=first.resampled_by).replace("of its column", "of its column with this share of labels", 1),
            *([OTHERS] if quoted else []),
        ),
    )


def _row(inputs: Inputs, each: Segmentation, best: dict[str, str | None]) -> Row:
    figures = each.result.metrics
    found = {
        column.key: cell(figures[column.key], best.get(column.key) == each.variant, figures[column.key].spread)
        if column.key in figures
        else Cell(text=each.result.skipped)
        for column in COLUMNS
        if column.kind == "figure"
    }
    share = {"fraction": Cell(text=f"{each.job.fraction} %")}
    return Row(variant_label(inputs, each.variant), share | found, overlap_notes(each.result.overlap))


def _best(inputs: Inputs, name: str, cells: list[Segmentation], comparisons: Comparisons) -> dict[str, str | None]:
    """Return metric -> the variant in bold, among those with one share of the labels."""
    values = {each.variant: segmentation_values(inputs.tree, each) for each in cells}
    known = {variant: each for variant, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    fraction = cells[0].job.fraction
    return {metric: comparisons.best(name, f"{metric}_{fraction}", known, metric) for metric in COMPARED}


def _of_fractions(block: Block, fractions: Sequence[int]) -> Block:
    """Return a quoted block with one row per share of the labels, restricted to this run's shares and figures."""
    rows = []
    for row in block.rows:
        for key, each in row.cells.items():
            metric, _, fraction = key.rpartition("_")
            if int(fraction) in fractions and metric in COMPARED:
                rows.append(Row(row.label, {"fraction": Cell(text=f"{fraction} %"), metric: each}))
    return Block(block.kind, tuple(rows), block.source, block.protocol)


def segmentation_rows(inputs: Inputs) -> list[CsvRow]:
    """Return the rows of Table 3, one per job and variant; without figures where the job was skipped."""
    return [job_row(each, FIGURES, ("input_size",)) for each in inputs.segmentation]


def segmentation_lines(inputs: Inputs) -> Iterable[str]:
    """Yield the figures as lines of text."""
    rows = [
        (
            f"{each.job.dataset}, {protocol_name(each.job.protocol, [each.result])}, {each.job.fraction} %",
            variant_label(inputs, each.variant),
            *(
                [each.result.skipped, "", ""]
                if each.result.skipped is not None
                else (interval(each.result.metrics[name]) for name in FIGURES_OF_TEXT)
            ),
        )
        for each in inputs.segmentation
    ]
    if rows:
        yield from ("", "Few-shot segmentation, Dice on the test part [95 % interval]")
        yield from aligned([("job", "variant", "all images", "predicting nothing", "positives"), *rows])
    for job in dict.fromkeys(each.job for each in inputs.segmentation):
        results = [each.result for each in inputs.segmentation if each.job == job]
        if note := protocol_note(job.protocol, results):
            yield f"  {job.dataset}, {job.fraction} %: {note}"
