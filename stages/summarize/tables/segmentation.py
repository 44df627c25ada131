"""Table 3: few-shot segmentation, every Dice in one row with what predicting nothing scores on the same images."""

from collections.abc import Mapping, Sequence

from ...common.few_shot.protocols import MeanOfSeeds
from ...common.records import Estimate
from ...common.wording import counted
from ..inputs import Inputs
from ..naming import always_note, protocol_name, protocol_note, variant_label
from ..numbers import count, words
from ..readers.evaluation import Segmentation, by_variant
from .classification import bold_notes, by_protocol, intervals_note, overlap_notes, training_sizes
from .comparisons import Comparisons
from .image_values import Repeated, repeated, segmentation_values
from .quoted import Quotation, quoted_blocks
from .seeds import seeds_cell
from .table import Block, Cell, Column, Row, Table

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
        values = _values(inputs, of_fraction)
        best = {metric: comparisons.best(name, f"{metric}_{fraction}", values, metric)
                for metric in (COMPARED if values else ())}  # fmt: skip
        for variant, own in by_variant(of_fraction).items():
            means = {column.key: comparisons.mean_over_seeds(values[variant], column.key)
                     for column in COLUMNS[1:] if values}  # fmt: skip
            rows.append(_row(inputs, own, best, means))
    quoted = _of_fractions(quoted_blocks(quotations, "few_shot_segmentation", job.dataset, job.protocol), fractions)
    results = [each.result for each in measured]
    changed, always = protocol_note(job.protocol, results), always_note(results)
    bold = bold_notes(inputs, comparisons, name, by_variant(measured), first.resampled_by)
    return Table(
        name,
        f"Table 3. Few-shot segmentation of {words(first.finding)} in {job.dataset}, protocol "
        f"{protocol_name(job.protocol, results)}, images of {first.input_size} pixels: "
        f"{counted(first.images['test'].images, 'test image')}, {count(first.images['test'].positives)} positive; "
        f"training: {training_sizes(measured, 'with an outline', 'with an outline')}",
        COLUMNS,
        (Block("measured", tuple(rows), protocol=changed or ""), *quoted),
        notes=(*([changed] if changed else []), *([OTHERS] if quoted else [])),
        legend=(
            "Labels: share of the training images; rows of one share are compared with each other. Means of the "
            "repetitions; after \u00b1 their spread (standard deviation).",
            DEFINITION,
            intervals_note(first.resampled_by),
            *bold,
            *([always] if always else []),
        ),
        task="segmentation",
    )


def _row(
    inputs: Inputs,
    own: Sequence[Segmentation],
    best: Mapping[str, str | None],
    means: Mapping[str, Estimate | None],
) -> Row:
    """Make the row of one variant and share of the labels; `means` are those of its replicates, with intervals."""
    variant = own[0].variant
    skipped = [each.result.skipped for each in own if each.result.skipped is not None]
    found: list[dict[str, MeanOfSeeds]] = [dict(each.result.metrics.items()) for each in own]
    cells = {"fraction": Cell(text=f"{own[0].job.fraction} %")}
    for column in COLUMNS[1:]:
        if skipped:
            cells[column.key] = Cell(text=skipped[0])
        else:
            figures = [each[column.key] for each in found]
            cells[column.key] = seeds_cell(figures, means.get(column.key), best.get(column.key) == variant)
    return Row(variant_label(inputs, variant), cells, overlap_notes(own[0].result.overlap), variant)


def _values(inputs: Inputs, cells: Sequence[Segmentation]) -> dict[str, Repeated]:
    """Return the values of each variant with one share of the labels; empty where one of the jobs was skipped."""
    values = {each.replicate: segmentation_values(inputs.tree, each) for each in cells}
    known = {replicate: each for replicate, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    return {variant: repeated(inputs, variant, [known[each.replicate] for each in own])
            for variant, own in by_variant(cells).items()}  # fmt: skip


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
