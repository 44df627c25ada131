"""Phrase grounding: heatmaps beside baselines that fool their figures, one table per data set and prompt set.

Some rows are no heatmap: a random point in the lungs (or in the image where lungs are unknown), the fixed peak of the
training masks, a point read off the words. They take part in the paired tests like any variant: a heatmap is bold only
if it is better than all of them, too.
"""

from collections.abc import Iterable, Sequence

from ...common.records import Estimate
from ...phrase_grounding.contract import PointingGame
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import interval, words
from ..readers.phrase_grounding import Grounding
from .classification import overlap_notes
from .comparisons import Comparisons
from .image_values import ImageValues, grounding_values
from .table import Block, Cell, Column, CsvRow, Row, Table, estimate_columns

IN_LUNG = "pointing_in_lung"
# Column -> measure of the stage, pointer of a variant's row.
COLUMNS = {
    "pointing": ("pointing", "heatmap"),
    IN_LUNG: ("pointing", "heatmap_in_lung"),
    "contrast_to_noise": ("contrast_to_noise", "heatmap"),
    "iou": ("iou", "heatmap"),
}
HEADERS = {"pointing": "hits", IN_LUNG: "hits, peak inside the lungs", "contrast_to_noise": "CNR", "iou": "IoU"}
BOLD = (
    "Bold: the best of its column, and better than every other row by a paired bootstrap over the same {unit}s "
    "(two-sided, Holm's correction over all pairs of the column, level .05). Without bold no such claim stands."
)
INTERVALS = "Brackets: 95 % bootstrap intervals, resampled by {unit}."
NOTE = (
    "Hits: share of images in which the peak lies in the true box or mask, without the tolerance of 15 pixels that the "
    "pointing game was first played with. CNR: contrast-to-noise ratio inside and "
    "outside of it, with its sign; IoU: of the map above a share of its range that validation chose. Rows that are no "
    "heatmap have the same hits in both columns."
)
POINTERS = {  # what points, in the words of the page
    "heatmap": "heatmap",
    "heatmap_in_lung": "heatmap, peak inside the lungs",
    "random_in_lung": "random point in the lungs",
    "random_in_content": "random point in the image",
    "fixed_peak_of_training": "fixed peak of the training masks",
    "word_prior": "point read off the phrase's words",
}
RIVALS = tuple(pointer for pointer in POINTERS if not pointer.startswith("heatmap"))  # what a heatmap has to beat


def grounding_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Return one table per data set and prompt set."""
    return [
        _table(inputs, [each for each in inputs.grounding if each.dataset == dataset], prompt_set, comparisons)
        for dataset in dict.fromkeys(each.dataset for each in inputs.grounding)
        for prompt_set in next(each for each in inputs.grounding if each.dataset == dataset).result.pointing
    ]


def table_name(dataset: str, prompt_set: str) -> str:
    """Return the name of a table, which is the stem of its files."""
    return f"grounding_{dataset}_{prompt_set}"


def _table(inputs: Inputs, variants: list[Grounding], prompt_set: str, comparisons: Comparisons) -> Table:
    first = variants[0]
    name, result = table_name(first.dataset, prompt_set), first.result
    best = _best(inputs, variants, prompt_set, comparisons)
    rows = [
        Row(
            f"heatmap of {variant_label(inputs, each.variant)}",
            _cells(each, prompt_set, {key: pointer for key, (_, pointer) in COLUMNS.items()}, best, each.variant),
            overlap_notes(result.overlap),
        )
        for each in variants
    ]
    rivals = [pointer for pointer in RIVALS if _figure(first, prompt_set, "pointing", pointer) is not None]
    rows += [
        Row(POINTERS[pointer], _cells(first, prompt_set, dict.fromkeys(COLUMNS, pointer), best, words(pointer)))
        for pointer in rivals
    ]
    shown = [key for key in COLUMNS if any(key in row.cells for row in rows)]
    places = result.place_words[prompt_set]
    return Table(
        name,
        f"Pointing at {words(result.finding)} in {first.dataset} with prompts {words(prompt_set)!r}"
        f"{', which say its ' + ' and '.join(places) if places else ''}: {result.images} test images"
        f"{f' ({result.left_out})' if result.left_out else ''}",
        tuple(Column(key, HEADERS[key]) for key in shown),
        (Block("measured", tuple(rows)),),
        first="what points",
        notes=(NOTE, INTERVALS.format(unit=result.resampled_by), BOLD.format(unit=result.resampled_by)),
    )


def _best(
    inputs: Inputs, variants: Sequence[Grounding], prompt_set: str, comparisons: Comparisons
) -> dict[str, str | None]:
    """Return column -> the row in bold: a variant, or a baseline by its words."""
    values = {each.variant: grounding_values(inputs.tree, each, prompt_set) for each in variants}
    rivals = {words(name): each for name, each in next(iter(values.values())).items() if name in RIVALS}
    best = {}
    for key, (measure, pointer) in COLUMNS.items():
        rows: dict[str, ImageValues] = {variant: each[pointer] for variant, each in values.items() if pointer in each}
        if rows:
            rows |= {name: each for name, each in rivals.items() if measure in each.metrics}
            name = table_name(variants[0].dataset, prompt_set)
            best[key] = comparisons.best(name, key, rows, measure)
    return best


def _cells(
    each: Grounding, prompt_set: str, pointers: dict[str, str], best: dict[str, str | None], row: str
) -> dict[str, Cell]:
    figures = {key: _figure(each, prompt_set, COLUMNS[key][0], pointer) for key, pointer in pointers.items()}
    return {
        key: Cell(figure.value, figure.low, figure.high, bold=best[key] == row)
        for key, figure in figures.items()
        if figure is not None and key in best
    }


def _figure(each: Grounding, prompt_set: str, measure: str, pointer: str) -> Estimate | None:
    if measure == "pointing":
        return getattr(each.result.pointing[prompt_set], pointer)
    return getattr(each.result, measure)[prompt_set].get(pointer)


def pointing_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per data set, prompt set and variant: its heatmap beside the baselines on the same images."""
    return [
        {"dataset": each.dataset, "finding": each.result.finding, "prompt_set": name, "variant": each.variant}
        | {
            column: value
            for pointer in POINTERS
            for column, value in estimate_columns(pointer, getattr(game, pointer)).items()
        }
        | {"test_images": each.result.images}
        for each in inputs.grounding
        for name, game in each.result.pointing.items()
    ]


def grounding_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per data set, prompt set, variant, measure and pointer: every figure of phrase grounding."""
    rows = []
    for each in inputs.grounding:
        result = each.result
        games = {
            name: {pointer: getattr(game, pointer) for pointer in POINTERS} for name, game in result.pointing.items()
        }
        measures = {"pointing": games, "contrast_to_noise": result.contrast_to_noise, "iou": result.iou}
        for measure, sets in measures.items():
            for name, pointers in sets.items():
                place = {"dataset": each.dataset, "prompt_set": name, "place_words": " ".join(result.place_words[name])}
                rows += [
                    place
                    | {"variant": each.variant, "measure": measure, "pointer": pointer}
                    | estimate_columns("value", figure)
                    for pointer, figure in pointers.items()
                    if figure is not None
                ]
    return rows


def integrity_rows(inputs: Inputs) -> list[CsvRow]:
    """Return phi of every variant that has one: its scale, and its AUC against each data set's mean lung mask."""
    return [
        {
            "dataset": each.dataset,
            "variant": each.variant,
            "lung_auc": phi.lung_auc,
            "smallest": phi.smallest,
            "largest": phi.largest,
            "standard_deviation": phi.standard_deviation,
        }
        for each in inputs.grounding
        if (phi := each.result.integrity_map) is not None
    ]


def baselines(inputs: Inputs, dataset: str, prompt_set: str) -> PointingGame:
    """Return the baselines of a data set and prompt set, which do not depend on the variant."""
    return next(
        game
        for each in inputs.grounding
        if each.dataset == dataset
        for name, game in each.result.pointing.items()
        if name == prompt_set
    )


def pointing_lines(inputs: Inputs) -> Iterable[tuple[str, ...]]:
    """Yield the pointing game as rows of text."""
    for dataset in inputs.tree.evaluate_on:
        grounding = [each for each in inputs.grounding if each.dataset == dataset]
        for name in grounding[0].result.pointing:
            images = str(grounding[0].result.images)
            for each in grounding:
                label = f"heatmap of {variant_label(inputs, each.variant)}"
                game = each.result.pointing[name]
                yield dataset, name, label, interval(game.heatmap), images
                if game.heatmap_in_lung is not None:
                    yield dataset, name, f"{label}, inside the lungs", interval(game.heatmap_in_lung), images
            game = baselines(inputs, dataset, name)
            for pointer in game.rivals(RIVALS):
                yield dataset, name, POINTERS[pointer], interval(getattr(game, pointer)), images
