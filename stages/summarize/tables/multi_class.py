"""Multi-class classification: which of several findings an image has, and the images that a class retrieves."""

from collections.abc import Sequence

from ...common.wording import counted
from ..inputs import Inputs
from ..naming import replicate_label, variant_label
from ..numbers import count, words
from ..readers.evaluation import MultiClass, by_variant
from .classification import bold_notes, intervals_note, overlap_notes
from .comparisons import Comparisons
from .image_values import multi_class_values, repeated
from .seeds import seeds_cell
from .table import Block, Cell, Column, Row, Table, axis_of, cell_of

CHANCE = "chance"
HEADERS = {"accuracy": "accuracy", "macro_f1": "F1"}
NEAREST = {  # by score
    "positive": "An image is of the class whose prompts are nearest",
    "difference": "An image is of the class whose affirming prompts are nearest, less how near its denying ones are",
}
NOTE = (
    "; the prompts are the first set of each finding, and no label chose them. F1 is the mean over classes. P@k is the "
    "share of a class among the k images nearest to its prompts, its mean over classes; intervals resample the images "
    "that are ranked. Chance: a class drawn at random, images in random order."
)
NOT_AUDITED = "Images are of all parts; audit_splits compared only those of the test part with pre-training."
REASONS = {"none_present": "none of the classes", "several_present": "several findings",
           "others_unknown": "an unknown label of another finding"}  # fmt: skip


def multi_class_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make, per data set, a table of the variants, and of the first variant one by class and the confusion matrix.

    Of a variant with several seeds these two are of the median one.
    """
    tables = []
    for dataset in dict.fromkeys(each.dataset for each in inputs.multi_class):
        measured = [each for each in inputs.multi_class if each.dataset == dataset]
        tables.append(_variants_table(inputs, measured, comparisons))
        shown = inputs.shown(measured)[0]
        tables += [_classes_table(inputs, shown), _confusion_table(inputs, shown)]
    return tables


def _variants_table(inputs: Inputs, measured: Sequence[MultiClass], comparisons: Comparisons) -> Table:
    first, dataset = measured[0].result, measured[0].dataset
    name = f"multi_class_{dataset}"
    values = {variant: repeated(inputs, variant, [multi_class_values(inputs.tree, each) for each in own])
              for variant, own in by_variant(measured).items()}  # fmt: skip
    best = {measure: comparisons.best(name, measure, values, measure) for measure in first.figures}
    rows = []
    for variant, own in by_variant(measured).items():
        cells = {measure: seeds_cell([each.result.figures[measure] for each in own],
                                     comparisons.over_seeds(name, measure, variant), best[measure] == variant)
                 for measure in first.figures}  # fmt: skip
        rows.append(Row(variant_label(inputs, variant), cells, overlap_notes(own[0].result.overlap), variant))
    chances = {"accuracy": Cell(first.accuracy.chance)}
    chances |= {f"precision_at_{k}": Cell(each.chance) for k, each in first.precision_at.items()}
    axis = axis_of([each.result.accuracy for each in measured], reference=first.accuracy.chance)
    sizes = {each.images for each in first.classes.values()}
    drawn = f", {sizes.pop()} of each" if len(sizes) == 1 else ""
    left = ", ".join(f"{REASONS[reason]} {count(number)}" for reason, number in first.not_qualifying.items() if number)
    return Table(
        name,
        f"Multi-class classification of {counted(len(first.classes), 'finding')} in {dataset}: "
        f"{counted(first.images, 'image')} with exactly one of them{drawn}",
        tuple(Column(measure, _header(measure), brief=True, axis=axis if measure == "accuracy" else None)
              for measure in first.figures),
        (Block("measured", (*rows, Row(CHANCE, chances))),),
        notes=(*([f"Images that are of no class: {left}."] if left else []),
               *([NOT_AUDITED] if first.part == "all" else [])),
        legend=(f"{NEAREST[first.score]}{NOTE}", intervals_note(first.resampled_by),
                *bold_notes(inputs, comparisons, name, values, first.resampled_by)),
        task="multi_class",
    )  # fmt: skip


def _header(measure: str) -> str:
    return HEADERS.get(measure) or measure.replace("precision_at_", "P@")


def _classes_table(inputs: Inputs, each: MultiClass) -> Table:
    result = each.result
    rows = []
    for name, own in result.classes.items():
        cells = {"images": Cell(text=f"{count(own.images)} of {count(own.qualifying)}"), "recall": cell_of(own.recall),
                 "precision": Cell() if own.precision is None else cell_of(own.precision),
                 "f1": cell_of(own.f1)}  # fmt: skip
        cells |= {f"precision_at_{k}": cell_of(figure) for k, figure in own.precision_at.items()}
        rows.append(Row(words(name), cells, key=name))
    return Table(
        f"multi_class_{each.dataset}_classes",
        f"Multi-class classification in {each.dataset}, by class: {replicate_label(inputs, each.replicate)}",
        (Column("images", "images", "text"), Column("recall", "recall"), Column("precision", "precision"),
         Column("f1", "F1"), *(Column(f"precision_at_{k}", f"P@{k}") for k in result.precision_at)),
        (Block("measured", tuple(rows)),),
        "class",
        legend=("Images: drawn, of those with this class alone.", intervals_note(result.resampled_by)),
        task="multi_class_classes",
    )  # fmt: skip


def _confusion_table(inputs: Inputs, each: MultiClass) -> Table:
    names = list(each.result.classes)
    rows = []
    for true, numbers in zip(names, each.result.confusion, strict=True):
        cells = {name: Cell(text=count(number)) for name, number in zip(names, numbers, strict=True)}
        rows.append(Row(words(true), cells, key=true))
    return Table(
        f"multi_class_{each.dataset}_confusion",
        f"Images in {each.dataset} by true class (rows) and predicted class (columns): "
        f"{replicate_label(inputs, each.replicate)}",
        tuple(Column(name, words(name), "text") for name in names),
        (Block("measured", tuple(rows)),),
        "true class",
        task="multi_class_classes",
    )
