"""Phrase grounding: heatmaps beside what fools their figures, one table per data set and set of prompts.

The rows that are no heatmap of a variant (a random point in the lungs, or in the image where lungs are unknown, the
fixed peak of the training masks, a point read off the words, brightness, random encoders) are rivals in the paired
tests like any variant: a heatmap is bold only if it is better than all of them, too. A supervised probe bounds it from
above, roughly, and is no rival: it has seen the regions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...common.records import Estimate
from ...common.wording import counted
from ...phrase_grounding.contract import MEANS, PHRASES, FindingResult
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, words
from ..readers.evaluation import Grounding
from .classification import bold_note, intervals_note, overlap_notes
from .comparisons import Comparisons
from .findings import MEAN
from .image_values import ImageValues, grounding_values
from .table import Axis, Block, Cell, Column, Row, Table, axis_of, cell_of

IN_LUNG, PROBE = "pointing_in_lung", "supervised_probe"
# Column -> measure of the stage, pointer of a variant's row.
COLUMNS = {
    "pointing": ("pointing", "heatmap"),
    IN_LUNG: ("pointing", "heatmap_in_lung"),
    "contrast_to_noise": ("contrast_to_noise", "heatmap"),
    "iou": ("iou", "heatmap"),
    "mean_iou": ("mean_iou", "heatmap"),
}
HEADERS = {"pointing": "hits", IN_LUNG: "hits, peak inside the lungs", "contrast_to_noise": "CNR", "iou": "IoU",
           "absolute_contrast_to_noise": "|CNR|", "mean_iou": "mIoU"}  # fmt: skip
NOTE = (
    "Hits: share of images in which the peak lies in the true box or mask, without the tolerance of 15 pixels that the "
    "pointing game was first played with. CNR: contrast-to-noise ratio inside and outside of it, with its sign; IoU: "
    "of the map above a share of its range that validation chose; mIoU: mean of the IoU above .1, .2, .3, .4 and .5 of "
    "that range. Rows that are no heatmap have the same hits in both columns. Behind the name of a variant stands how "
    "its heatmap is read, as validation chose. Brightness: the radiograph standardised by the mean and deviation of "
    "training images at each place, its sign chosen on training regions. The supervised probe is a linear classifier "
    "of patches that was trained on true regions: what the patches hold, not a rival."
)
PHRASES_NOTE = (
    "Each phrase of an image is a query of its own, compared with its own boxes. |CNR|: the mean without the sign, as "
    "BioViL reports it (Boecking et al., ECCV 2022); CNR and mIoU as above. BioViL's mIoU has the same thresholds, but "
    "of the cosine itself, not of the map scaled to its range, so that the two are not comparable."
)
POINTERS = {  # what points, in the words of the page
    "heatmap": "heatmap",
    "heatmap_in_lung": "heatmap, peak inside the lungs",
    "random_in_lung": "random point in the lungs",
    "random_in_content": "random point in the image",
    "fixed_peak_of_training": "fixed peak of the training masks",
    "word_prior": "point read off the phrase's words",
    "brightness": "brightness standardised by place, no model",
    "random_encoders": "random encoders",
    PROBE: "supervised probe",
}
# what a heatmap has to beat
RIVALS = tuple(pointer for pointer in POINTERS if not pointer.startswith("heatmap") and pointer != PROBE)


def grounding_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per data set, finding and set of prompts, behind the hits by finding where there are several."""
    by_dataset: dict[str, list[Grounding]] = {}
    for each in inputs.grounding:
        by_dataset.setdefault(each.dataset, []).append(each)
    several = [own for own in by_dataset.values() if own[0].place != own[0].dataset]
    tables = [_by_finding(inputs, own) for own in several if any(each.result.located for each in own)]
    tables += [_by_finding_with_phrases(inputs, own) for own in several if any(each.result.phrases for each in own)]
    return tables + [
        _table(inputs, variants, prompt_set, comparisons)
        for variants in by_place(inputs.grounding).values()
        for prompt_set in variants[0].result.pointing
    ]


def by_place(grounding: Sequence[Grounding]) -> dict[str, list[Grounding]]:
    """Return the results by data set and finding, those of all variants together."""
    found: dict[str, list[Grounding]] = {}
    for each in grounding:
        found.setdefault(each.place, []).append(each)
    return found


def _by_finding(inputs: Inputs, measured: Sequence[Grounding]) -> Table:
    """Make the table of hits by finding, with the first set of prompts of each, and their mean."""
    dataset, whole = measured[0].dataset, measured[0].whole
    variants = list(dict.fromkeys(each.variant for each in measured))
    rows = []
    for result in whole.findings:
        if not result.located:  # its phrases alone are measured
            if why := result.lacking.get("prompts"):
                rows.append(
                    Row(words(result.finding), {"images": Cell(text=f"not measured: {why}")}, key=result.finding)
                )
            continue
        cells = {"images": Cell(text=counted(result.images, "image"))}
        for each in measured:
            if each.result.finding == result.finding:
                cells[each.variant] = cell_of(next(iter(each.result.pointing.values())).heatmap)
        rows.append(Row(words(result.finding), cells, key=result.finding))
    means = {each.variant: cell_of(each.whole.mean_hits) for each in measured}
    count = sum(bool(result.located) for result in whole.findings)
    rows.append(Row(f"mean of {counted(count, 'finding')}", means, key=MEAN))
    rows += [Row(words(finding), {"images": Cell(text=f"not measured: {why}")}, key=finding)
             for finding, why in whole.not_measured.items()]  # fmt: skip
    columns = (Column("images", "with a box or mask", "text", brief=True),
               *(Column(variant, variant_label(inputs, variant), brief=True) for variant in variants))  # fmt: skip
    legend = (intervals_note(measured[0].result.resampled_by),)
    caption = f"Pointing in {dataset}, by finding. Hits of the heatmap with the first prompts of each"
    return Table(f"grounding_{dataset}_findings", caption, columns, (Block("measured", tuple(rows)),), "finding",
                 legend=legend, task="pointing")  # fmt: skip


def _by_finding_with_phrases(inputs: Inputs, measured: Sequence[Grounding]) -> Table:
    """Make the table of a data set's own phrases by finding, with every measure of each variant, and their means."""
    dataset, whole = measured[0].dataset, measured[0].whole
    variants = {each.variant: each.whole for each in measured}
    rows = []
    for place, result in enumerate(whole.findings):
        if result.phrases is None:
            why = result.lacking.get(PHRASES, "no phrase")
            rows.append(Row(words(result.finding), {"phrases": Cell(text=f"not measured: {why}")}, key=result.finding))
            continue
        cells = {"phrases": Cell(text=_phrases_of(result))}
        for variant, own in variants.items():
            for measure in MEANS:
                figures = getattr(own.findings[place], measure)[PHRASES]
                figure = figures.heatmap if measure == "pointing" else figures["heatmap"]
                if figure is not None:
                    cells[f"{variant}_{measure}"] = cell_of(figure)
        rows.append(Row(words(result.finding), cells, key=result.finding))
    count = sum(result.phrases is not None for result in whole.findings)
    means = {f"{variant}_{measure}": cell_of(own.means[PHRASES][measure]) for variant, own in variants.items()
             for measure in MEANS}  # fmt: skip
    rows.append(Row(f"mean of {counted(count, 'finding')}", means, key=MEAN))
    rows += [Row(words(finding), {"phrases": Cell(text=f"not measured: {why}")}, key=finding)
             for finding, why in whole.not_measured.items()]  # fmt: skip
    columns = [Column("phrases", "phrases", "text", brief=True)]
    columns += [Column(f"{variant}_{measure}", f"{variant_label(inputs, variant)}: {HEADERS[measure]}",
                       brief=measure == "pointing") for variant in variants for measure in MEANS]  # fmt: skip
    legend = (PHRASES_NOTE, intervals_note(measured[0].result.resampled_by))
    caption = f"Phrase grounding in {dataset}, by finding. The heatmap of each phrase beside its own boxes"
    return Table(f"grounding_{dataset}_phrases_findings", caption, tuple(columns), (Block("measured", tuple(rows)),),
                 "finding", legend=legend, task="pointing")  # fmt: skip


def _phrases_of(result: FindingResult) -> str:
    """Return how many phrases of how many images were pointed at, and how many were left out."""
    found = result.phrases
    assert found is not None
    left = f" ({found.regions_too_small} too small to show)" if found.regions_too_small else ""
    return f"{counted(found.pairs, 'phrase')} of {counted(found.images, 'test image')}{left}"


def table_name(place: str, prompt_set: str) -> str:
    """Return the stem of the files of one table; `place` is `Grounding.place`."""
    return f"grounding_{place}_{prompt_set}"


def _table(inputs: Inputs, variants: list[Grounding], prompt_set: str, comparisons: Comparisons) -> Table:
    first = variants[0]
    name, result = table_name(first.place, prompt_set), first.result
    best = _best(inputs, variants, prompt_set, comparisons)
    heatmaps = {key: pointer for key, (_, pointer) in COLUMNS.items()}
    rows = [
        Row(
            f"heatmap of {variant_label(inputs, each.variant)}, {words(each.result.reading[prompt_set])}",
            _cells(each, prompt_set, heatmaps, best, each.variant),
            overlap_notes(result.overlap),
            each.variant,
        )
        for each in sorted(variants, key=lambda each: not inputs.trained(each.variant))
    ]
    for pointer in RIVALS:
        if _figure(first, prompt_set, "pointing", pointer) is not None:
            cells = _cells(first, prompt_set, dict.fromkeys(COLUMNS, pointer), best, words(pointer))
            rows.append(Row(_rival(result, prompt_set, pointer), cells))
    rows += [row for each in variants for row in _bounds(inputs, each, prompt_set)]
    hits = [_figure(each, prompt_set, "pointing", pointer) for each in variants for pointer in POINTERS]
    axis = Axis(0.0, axis_of(hits).high)
    return Table(
        name,
        f"Pointing at {words(result.finding)} in {first.dataset} with {_queries(result, prompt_set)}",
        tuple(
            Column(key, HEADERS[key], brief=measure == "pointing", axis=axis if measure == "pointing" else None)
            for key, (measure, _) in COLUMNS.items()
            if any(key in row.cells for row in rows)
        ),
        (Block("measured", tuple(rows)),),
        first="what points",
        notes=tuple(verdict(each, comparisons, name) for each in _contests(inputs, variants, prompt_set)),
        legend=(NOTE, intervals_note(result.resampled_by), bold_note(result.resampled_by, "row")),
        task="pointing",
    )


def _rival(result: FindingResult, prompt_set: str, pointer: str) -> str:
    """Return the label of a rival; of random encoders with their number and the range of their hits."""
    own = result.random_encoders.get(prompt_set, [])
    if pointer != "random_encoders" or not own:
        return POINTERS[pointer]
    return f"{counted(len(own), 'random encoder')} ({decimal(min(own))} to {decimal(max(own))})"


def _bounds(inputs: Inputs, each: Grounding, prompt_set: str) -> Iterator[Row]:
    """Yield rows of a variant that take no part in the tests: its heatmap in other readings, and its probe."""
    label, result = variant_label(inputs, each.variant), each.result
    for name, hits in result.readings[prompt_set].items():
        if name != result.reading[prompt_set]:
            yield Row(f"not selected: heatmap of {label}, {words(name)}", {"pointing": cell_of(hits.test)})
    figures = {
        key: _figure(each, prompt_set, measure, PROBE) for key, (measure, _) in COLUMNS.items() if key != IN_LUNG
    }
    cells = {key: cell_of(figure) for key, figure in figures.items() if figure is not None}
    if cells:
        yield Row(f"for comparison: supervised probe of the patches of {label}", cells)


def _queries(result: FindingResult, prompt_set: str) -> str:
    """Return what was asked for and on what, for the caption of a table."""
    if prompt_set == PHRASES:
        return f"its own phrases: {_phrases_of(result)}"
    places = result.place_words[prompt_set]
    named = f", which say its {' and '.join(places)}" if places else ""
    left = f" ({result.left_out})" if result.left_out else ""
    return f"prompts {words(prompt_set)!r}{named}: {counted(result.images, 'test image')}{left}"


@dataclass(frozen=True)
class Pointer:
    """What points, and its hits. `row` is its name in the comparisons."""

    label: str
    row: str
    hits: Estimate


@dataclass(frozen=True)
class Contest:
    """A heatmap and what it has to beat in one column; `rivals` are untrained heatmaps and what is no heatmap."""

    heatmap: Pointer
    rivals: tuple[Pointer, ...]
    column: str


def _contests(inputs: Inputs, variants: Sequence[Grounding], prompt_set: str) -> list[Contest]:
    """Return one contest per trained variant and column of hits."""
    found = []
    others = [
        Pointer(POINTERS[pointer], words(pointer), hits)
        for pointer in RIVALS
        if (hits := _figure(variants[0], prompt_set, "pointing", pointer)) is not None
    ]
    for column, place in (("pointing", ""), (IN_LUNG, ", inside the lungs")):
        pointers = {
            each.variant: Pointer(f"heatmap of {variant_label(inputs, each.variant)}{place}", each.variant, hits)
            for each in variants
            if (hits := _figure(each, prompt_set, "pointing", COLUMNS[column][1])) is not None
        }
        untrained = [each for variant, each in pointers.items() if not inputs.trained(variant)]
        found += [
            Contest(each, (*untrained, *others), column)
            for variant, each in pointers.items()
            if inputs.trained(variant)
        ]
    return found


def verdict(contest: Contest, comparisons: Comparisons, table: str) -> str:
    """Say in a sentence what the figures and the paired test of its column allow to say about a heatmap."""
    own, subject = contest.heatmap, f"The {contest.heatmap.label} ({decimal(contest.heatmap.hits.value)})"
    unbeaten = [
        f"the {rival.label} ({decimal(rival.hits.value)})"
        for rival in contest.rivals
        if rival.hits.value >= own.hits.value
    ]
    if unbeaten:
        return f"{subject} does not beat {_and(unbeaten)}: no claim of localisation stands."
    tests = [(rival, comparisons.against(table, contest.column, own.row, rival.row)) for rival in contest.rivals]
    undecided = [f"the {rival.label} (p {decimal(test.adjusted)})" for rival, test in tests if not test.decided]
    if undecided:
        return f"{subject} is above all the others, but the paired test does not tell it from {_and(undecided)}."
    return f"{subject} is above all the others by the paired test."


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _best(
    inputs: Inputs, variants: Sequence[Grounding], prompt_set: str, comparisons: Comparisons
) -> dict[str, str | None]:
    """Return the row in bold by column: a variant, or a rival by its words."""
    values = {each.variant: grounding_values(inputs.tree, each, prompt_set) for each in variants}
    rivals = {words(name): each for name, each in next(iter(values.values())).items() if name in RIVALS}
    best = {}
    for key, (measure, pointer) in COLUMNS.items():
        rows: dict[str, ImageValues] = {
            variant: each[pointer]
            for variant, each in values.items()
            if pointer in each and measure in each[pointer].metrics  # without validation, no IoU has a threshold
        }
        if rows:
            rows |= {name: each for name, each in rivals.items() if measure in each.metrics}
            name = table_name(variants[0].place, prompt_set)
            best[key] = comparisons.best(name, key, rows, measure)
    return best


def _cells(
    each: Grounding, prompt_set: str, pointers: dict[str, str], best: dict[str, str | None], row: str
) -> dict[str, Cell]:
    found = {key: _figure(each, prompt_set, COLUMNS[key][0], pointer) for key, pointer in pointers.items()}
    return {
        key: cell_of(figure, best[key] == row) for key, figure in found.items() if figure is not None and key in best
    }


def _figure(each: Grounding, prompt_set: str, measure: str, pointer: str) -> Estimate | None:
    if measure == "pointing":
        return getattr(each.result.pointing[prompt_set], pointer)
    return getattr(each.result, measure)[prompt_set].get(pointer)
