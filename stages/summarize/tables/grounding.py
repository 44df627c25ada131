"""Phrase grounding: heatmaps beside what fools their figures, one table per data set and set of prompts.

The rows that are no heatmap (a random point in the lungs, or in the image where lungs are unknown, the fixed peak of
the training masks, a point read off the words) are rivals in the paired tests like any variant: a heatmap is bold only
if it is better than all of them, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...common.records import Estimate
from ...common.wording import counted
from ...phrase_grounding.contract import MEANS, PHRASES, FindingResult, GroundingResult
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, words
from ..readers.evaluation import Grounding, by_variant
from .classification import bold_notes, intervals_note, overlap_notes
from .comparisons import Comparisons
from .findings import MEAN
from .image_values import Repeated, grounding_values, repeated
from .seeds import seeds_cell, seeds_note
from .table import Axis, Block, Cell, Column, Row, Table, axis_of

IN_LUNG = "pointing_in_lung"
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
    "pointing game was first played with. CNR: contrast-to-noise ratio inside and "
    "outside of it, with its sign; IoU: of the map above a share of its range that validation chose; mIoU: mean of the "
    "IoU above .1, .2, .3, .4 and .5 of that range. Rows that are no heatmap have the same hits in both columns."
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
}
RIVALS = tuple(pointer for pointer in POINTERS if not pointer.startswith("heatmap"))  # what a heatmap has to beat


def grounding_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per data set, finding and set of prompts, behind the hits by finding where there are several."""
    by_dataset: dict[str, list[Grounding]] = {}
    for each in inputs.grounding:
        by_dataset.setdefault(each.dataset, []).append(each)
    several = [own for own in by_dataset.values() if own[0].place != own[0].dataset]
    compared = [
        _table(inputs, variants, prompt_set, comparisons)
        for variants in by_place(inputs.grounding).values()
        for prompt_set in variants[0].result.pointing
    ]
    tables = [_by_finding(inputs, own, comparisons) for own in several if any(each.result.located for each in own)]
    tables += [_by_finding_with_phrases(inputs, own, comparisons) for own in several
               if any(each.result.phrases for each in own)]  # fmt: skip
    return tables + compared


def by_place(grounding: Sequence[Grounding]) -> dict[str, list[Grounding]]:
    """Return the results by data set and finding, those of all variants together."""
    found: dict[str, list[Grounding]] = {}
    for each in grounding:
        found.setdefault(each.place, []).append(each)
    return found


def _by_finding(inputs: Inputs, measured: Sequence[Grounding], comparisons: Comparisons) -> Table:
    """Make the table of hits by finding, with the first set of prompts of each, and their mean."""
    dataset, whole = measured[0].dataset, measured[0].whole
    variants = by_variant(measured)
    rows = []
    for result in whole.findings:
        if not result.located:  # its phrases alone are measured
            if why := result.lacking.get("prompts"):
                rows.append(
                    Row(words(result.finding), {"images": Cell(text=f"not measured: {why}")}, key=result.finding)
                )
            continue
        cells = {"images": Cell(text=counted(result.images, "image"))}
        prompts = next(iter(result.pointing))
        for variant, replicates in variants.items():
            own = [each for each in replicates if each.result.finding == result.finding]
            over_seeds = comparisons.over_seeds(table_name(own[0].place, prompts), "pointing", variant)
            cells[variant] = seeds_cell([each.result.pointing[prompts].heatmap for each in own], over_seeds)
        rows.append(Row(words(result.finding), cells, key=result.finding))
    means = {variant: seeds_cell([each.mean_hits for each in _wholes(own)]) for variant, own in variants.items()}
    count = sum(bool(result.located) for result in whole.findings)
    rows.append(Row(f"mean of {counted(count, 'finding')}", means, key=MEAN))
    rows += [Row(words(finding), {"images": Cell(text=f"not measured: {why}")}, key=finding)
             for finding, why in whole.not_measured.items()]  # fmt: skip
    columns = (Column("images", "with a box or mask", "text", brief=True),
               *(Column(variant, variant_label(inputs, variant), brief=True) for variant in variants))  # fmt: skip
    legend = (intervals_note(measured[0].result.resampled_by), *seeds_note(inputs))
    caption = f"Pointing in {dataset}, by finding. Hits of the heatmap with the first prompts of each"
    return Table(f"grounding_{dataset}_findings", caption, columns, (Block("measured", tuple(rows)),), "finding",
                 legend=legend, task="pointing")  # fmt: skip


def _wholes(measured: Iterable[Grounding]) -> list[GroundingResult]:
    """Return the results of all findings, one per replicate."""
    return list({each.replicate: each.whole for each in measured}.values())


def _by_finding_with_phrases(inputs: Inputs, measured: Sequence[Grounding], comparisons: Comparisons) -> Table:
    """Make the table of a data set's own phrases by finding, with every measure of each variant, and their means."""
    dataset, whole = measured[0].dataset, measured[0].whole
    variants = {variant: _wholes(own) for variant, own in by_variant(measured).items()}
    tables = {each.result.finding: table_name(each.place, PHRASES) for each in measured}
    rows = []
    for place, result in enumerate(whole.findings):
        if result.phrases is None:
            why = result.lacking.get(PHRASES, "no phrase")
            rows.append(Row(words(result.finding), {"phrases": Cell(text=f"not measured: {why}")}, key=result.finding))
            continue
        cells = {"phrases": Cell(text=_phrases_of(result))}
        for variant, own in variants.items():
            for measure in MEANS:
                found = [getattr(each.findings[place], measure)[PHRASES] for each in own]
                figures = [each.heatmap if measure == "pointing" else each["heatmap"] for each in found]
                known = [figure for figure in figures if figure is not None]
                if known:
                    over_seeds = comparisons.over_seeds(tables[result.finding], measure, variant)
                    cells[f"{variant}_{measure}"] = seeds_cell(known, over_seeds)
        rows.append(Row(words(result.finding), cells, key=result.finding))
    count = sum(result.phrases is not None for result in whole.findings)
    means = {f"{variant}_{measure}": seeds_cell([each.means[PHRASES][measure] for each in own])
             for variant, own in variants.items() for measure in MEANS}  # fmt: skip
    rows.append(Row(f"mean of {counted(count, 'finding')}", means, key=MEAN))
    rows += [Row(words(finding), {"phrases": Cell(text=f"not measured: {why}")}, key=finding)
             for finding, why in whole.not_measured.items()]  # fmt: skip
    columns = [Column("phrases", "phrases", "text", brief=True)]
    columns += [Column(f"{variant}_{measure}", f"{variant_label(inputs, variant)}: {HEADERS[measure]}",
                       brief=measure == "pointing") for variant in variants for measure in MEANS]  # fmt: skip
    legend = (PHRASES_NOTE, intervals_note(measured[0].result.resampled_by), *seeds_note(inputs))
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
    replicates = by_variant(variants)
    rows = [
        Row(
            f"heatmap of {variant_label(inputs, variant)}",
            _cells(replicates[variant], prompt_set, heatmaps, best, variant, comparisons),
            overlap_notes(result.overlap),
            variant,
        )
        for variant in sorted(replicates, key=lambda variant: not inputs.trained(variant))
    ]
    for pointer in RIVALS:
        if _figure(first, prompt_set, "pointing", pointer) is not None:
            cells = _cells([first], prompt_set, dict.fromkeys(COLUMNS, pointer), best, words(pointer), comparisons)
            rows.append(Row(POINTERS[pointer], cells))
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
        notes=(*(verdict(each, comparisons, name) for each in _contests(inputs, variants, prompt_set, comparisons)),
               *_about_one_training(inputs, replicates)),
        legend=(NOTE, intervals_note(result.resampled_by),
                *bold_notes(inputs, replicates, result.resampled_by, "row")),
        task="pointing",
    )  # fmt: skip


def _about_one_training(inputs: Inputs, variants: Iterable[str]) -> tuple[str, ...]:
    """Return what the sentences on heatmaps are about where their variants have one training each."""
    single = [each for each in variants if inputs.trained(each) and len(inputs.tree.replicates_of(each)) == 1]
    return (f"Said of one training ({', '.join(single)}), not of its settings: another may differ.",) if single else ()


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


def _contests(
    inputs: Inputs, variants: Sequence[Grounding], prompt_set: str, comparisons: Comparisons
) -> list[Contest]:
    """Return one contest per trained variant and column of hits."""
    found = []
    others = [
        Pointer(POINTERS[pointer], words(pointer), hits)
        for pointer in RIVALS
        if (hits := _figure(variants[0], prompt_set, "pointing", pointer)) is not None
    ]
    for column, place in (("pointing", ""), (IN_LUNG, ", inside the lungs")):
        pointers = {
            variant: Pointer(f"heatmap of {variant_label(inputs, variant)}{place}", variant, hits)
            for variant, own in by_variant(variants).items()
            if (hits := _hits(own, prompt_set, column, comparisons)) is not None
        }
        untrained = [each for variant, each in pointers.items() if not inputs.trained(variant)]
        found += [
            Contest(each, (*untrained, *others), column)
            for variant, each in pointers.items()
            if inputs.trained(variant)
        ]
    return found


def _hits(own: Sequence[Grounding], prompt_set: str, column: str, comparisons: Comparisons) -> Estimate | None:
    """Return the hits of a variant's heatmap, over its seeds where it has several."""
    over_seeds = comparisons.over_seeds(table_name(own[0].place, prompt_set), column, own[0].variant)
    return over_seeds or _figure(own[0], prompt_set, *COLUMNS[column])


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
    values = {variant: [grounding_values(inputs.tree, each, prompt_set) for each in own]
              for variant, own in by_variant(variants).items()}  # fmt: skip
    rivals = {words(name): each for name, each in next(iter(values.values()))[0].items() if name in RIVALS}
    best = {}
    for key, (measure, pointer) in COLUMNS.items():
        rows = {
            variant: repeated(inputs, variant, [each[pointer] for each in own])
            for variant, own in values.items()  # without validation, no IoU has a threshold
            if all(pointer in each and measure in each[pointer].metrics for each in own)
        }
        if rows:
            rows |= {name: Repeated((each,)) for name, each in rivals.items() if measure in each.metrics}
            name = table_name(variants[0].place, prompt_set)
            best[key] = comparisons.best(name, key, rows, measure)
    return best


def _cells(
    own: Sequence[Grounding],
    prompt_set: str,
    pointers: Mapping[str, str],
    best: Mapping[str, str | None],
    row: str,
    comparisons: Comparisons,
) -> dict[str, Cell]:
    table, found = table_name(own[0].place, prompt_set), {}
    for key, pointer in pointers.items():
        figures = [_figure(each, prompt_set, COLUMNS[key][0], pointer) for each in own]
        known = [figure for figure in figures if figure is not None]
        if known and key in best:
            found[key] = seeds_cell(known, comparisons.over_seeds(table, key, row), best[key] == row)
    return found


def _figure(each: Grounding, prompt_set: str, measure: str, pointer: str) -> Estimate | None:
    if measure == "pointing":
        return getattr(each.result.pointing[prompt_set], pointer)
    return getattr(each.result, measure)[prompt_set].get(pointer)
