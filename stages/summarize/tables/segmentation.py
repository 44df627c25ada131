"""Table 3: few-shot segmentation, every Dice in one row with what predicting nothing scores on the same images."""

from collections.abc import Sequence

from ...common.few_shot.protocols import MeanOfSeeds
from ...common.wording import counted
from ..inputs import Inputs
from ..naming import always_note, protocol_name, protocol_note, variant_label
from ..numbers import count, words
from ..readers.evaluation import Segmentation
from .classification import bold_note, by_protocol, intervals_note, overlap_notes, training_sizes
from .comparisons import Comparisons
from .image_values import segmentation_values
from .quoted import Quotation, quoted_blocks
from .table import Block, Cell, Column, Row, Table, cell_of

COMPARED = ("dice", "dice_of_positives", "iou_of_positives")
COLUMNS = (
    Column("fraction", "labels", "text", brief=True),
    Column("dice", "Dice", brief=True),
    Column("predict_nothing", "Dice of predicting nothing", brief=True),
    Column("gain_over_nothing", "gain over nothing"),
    Column("dice_of_positives", "Dice of positives", brief=True),
    Column("iou_of_positives", "IoU of positives"),
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


def few_shot_segmentation_tables(
    inputs: Inputs, comparisons: Comparisons, quotations: Sequence[Quotation]
) -> list[Table]:
    """Return one table per data set and protocol; a row is a variant with one share of the labels."""
    return [_table(inputs, each, comparisons, quotations) for each in by_protocol(inputs.segmentation)]


def _table(
    inputs: Inputs, measured: list[Segmentation], comparisons: Comparisons, quotations: Sequence[Quotation]
) -> Table:
    job, first = measured[0].job, measured[0].result
    name = f"table3_{job.dataset}_{job.protocol}"
    fractions = list(dict.fromkeys(each.job.fraction for each in measured))
    rows = []
    for fraction in fractions:
        of_fraction = [each for each in measured if each.job.fraction == fraction]
        best = _best(inputs, name, of_fraction, comparisons)
        rows += [_row(inputs, each, best) for each in of_fraction]
    quoted = _of_fractions(quoted_blocks(quotations, "few_shot_segmentation", job.dataset, job.protocol), fractions)
    results = [each.result for each in measured]
    changed, always = protocol_note(job.protocol, results), always_note(results)
    bold = bold_note(first.resampled_by).replace("of its column", "of its column with this share of labels", 1)
    return Table(
        name,
        f"Table 3. Few-shot segmentation of {words(first.finding)} in {job.dataset}, protocol "
        f"{protocol_name(job.protocol, results)}, images of {first.input_size} pixels: "
        f"{counted(first.images['test'].images, 'test image')}, {count(first.images['test'].positives)} positive; "
        f"training: {training_sizes(measured, 'with an outline', 'with an outline')}",
        COLUMNS,
        (Block("measured", tuple(rows), protocol=changed or ""), *quoted),
        notes=(*(note for note in (changed, always) if note), *([OTHERS] if quoted else [])),
        legend=(
            "Labels: share of the training images. Means of the repetitions; after \u00b1 their spread (standard "
            "deviation).",
            DEFINITION,
            intervals_note(first.resampled_by),
            bold,
        ),
        task="segmentation",
    )


def _row(inputs: Inputs, each: Segmentation, best: dict[str, str | None]) -> Row:
    figures: dict[str, MeanOfSeeds] = dict(each.result.metrics.items())
    cells = {"fraction": Cell(text=f"{each.job.fraction} %")}
    for column in COLUMNS[1:]:
        if (figure := figures.get(column.key)) is None:
            cells[column.key] = Cell(text=each.result.skipped)
        else:
            cells[column.key] = cell_of(figure, best.get(column.key) == each.variant, figure.spread)
    label = variant_label(inputs, each.variant)
    return Row(label, cells, overlap_notes(each.result.overlap), each.variant)


def _best(inputs: Inputs, name: str, cells: list[Segmentation], comparisons: Comparisons) -> dict[str, str | None]:
    """Return the variant in bold by metric, among those with one share of the labels."""
    values = {each.variant: segmentation_values(inputs.tree, each) for each in cells}
    known = {variant: each for variant, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    fraction = cells[0].job.fraction
    return {metric: comparisons.best(name, f"{metric}_{fraction}", known, metric) for metric in COMPARED}


def _of_fractions(blocks: Sequence[Block], fractions: Sequence[int]) -> list[Block]:
    """Return quoted blocks with one row per share of the labels, restricted to this run's shares and figures."""
    found = []
    for block in blocks:
        rows = []
        for row in block.rows:
            for key, each in row.cells.items():
                metric, _, fraction = key.rpartition("_")
                if int(fraction) in fractions and metric in COMPARED:
                    rows.append(Row(row.label, {"fraction": Cell(text=f"{fraction} %"), metric: each}))
        if rows:
            found.append(Block(block.kind, tuple(rows), block.source, block.protocol))
    return found
