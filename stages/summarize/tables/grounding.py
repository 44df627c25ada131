"""Phrase grounding: heatmaps beside what fools their figures, one table per data set and set of prompts.

The rows that are no heatmap of a variant (a random point in the lungs, or in the image where lungs are unknown, the
fixed peak of the training masks, a point read off the words, brightness, random encoders) are rivals in the paired
tests like any variant: a heatmap is bold only if it is better than all of them, too. Heatmaps in readings that were not
chosen, and a supervised probe, stand below them and are compared with nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...common.records import Estimate
from ...common.wording import counted
from ...phrase_grounding.contract import MEANS, PHRASES, FindingResult, GroundingResult
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, words
from ..readers.evaluation import Grounding, by_variant, grouped
from .classification import bold_notes, intervals_note, overlap_notes
from .comparisons import Comparisons
from .grounding_notes import IN_LUNG, PHRASES_NOTE, PROBE, READING, note_of
from .image_values import Repeated, grounding_values, repeated
from .seeds import seeds_cell, seeds_note
from .table import MEAN, Axis, Block, Cell, Column, Row, Table, axis_of
from .verdicts import Contest, Pointer, verdict

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
POINTERS = {  # what points, in the words of the page
    "heatmap": "heatmap",
    "heatmap_in_lung": "heatmap, peak inside the lungs",
    "random_in_lung": "random point in the lungs",
    "random_in_content": "random point in the image",
    "fixed_peak_of_training": "fixed peak of the training masks",
    "word_prior": "point read off the phrase's words",
    "brightness": "brightness standardised by place (no model)",
    "brightness_in_lung": "brightness standardised by place, peak inside the lungs",
    "random_encoders": "random encoders",
    "random_encoders_in_lung": "random encoders, peak inside the lungs",
    PROBE: "supervised probe",
}
# The map of a pointer that has a peak inside the lungs of its own; the others stay where they are.
INSIDE = {pointer: f"{pointer}_in_lung" for pointer in ("heatmap", "brightness", "random_encoders")}
RIVALS = tuple(each for each in POINTERS if each not in ("heatmap", PROBE, *INSIDE.values()))  # for a heatmap to beat


def grounding_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per data set, finding and set of prompts, behind the hits by finding where there are several."""
    by_dataset = grouped(inputs.grounding, lambda each: each.dataset)
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
    return grouped(grounding, lambda each: each.place)


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
            {READING: Cell(text=_readings(replicates[variant], prompt_set))}
            | _cells(replicates[variant], prompt_set, heatmaps, best, variant, comparisons),
            overlap_notes(result.overlap),
            variant,
        )
        for variant in sorted(replicates, key=lambda variant: not inputs.trained(variant))
    ]
    for pointer in RIVALS:
        if _figure(first, prompt_set, "pointing", pointer) is not None:
            pointers = {column: _in_column(pointer, column) for column in COLUMNS}
            cells = _cells([first], prompt_set, pointers, best, words(pointer), comparisons)
            rows.append(Row(POINTERS[pointer], {READING: Cell(text=_range(result, prompt_set, pointer))} | cells))
    rows += [row for own in replicates.values() for row in _beside(inputs, own, prompt_set)]
    hits = [_figure(each, prompt_set, "pointing", pointer) for each in variants for pointer in POINTERS]
    axis = Axis(0.0, axis_of(hits).high)
    return Table(
        name,
        f"Pointing at {words(result.finding)} in {first.dataset} with {_queries(result, prompt_set)}",
        (Column(READING, "read", "text", brief=True), *(
            Column(key, HEADERS[key], brief=measure == "pointing", axis=axis if measure == "pointing" else None)
            for key, (measure, _) in COLUMNS.items()
            if any(key in row.cells for row in rows)
        )),
        (Block("measured", tuple(rows)),),
        first="what points",
        notes=tuple(verdict(each, comparisons, name) for each in _contests(inputs, variants, prompt_set, comparisons)),
        legend=(note_of(result, prompt_set), intervals_note(result.resampled_by),
                *bold_notes(inputs, comparisons, name, replicates, result.resampled_by, "row"),
                *_about_one_training(inputs, replicates)),
        task="pointing",
    )  # fmt: skip


def _readings(own: Sequence[Grounding], prompt_set: str) -> str:
    """Return how a variant's heatmap is read, as validation chose for each of its seeds."""
    chosen = Counter(words(each.result.reading[prompt_set]) for each in own)
    return ", ".join(name if len(chosen) == 1 else f"{name} ({times})" for name, times in chosen.items())


def _range(result: FindingResult, prompt_set: str, pointer: str) -> str | None:
    """Return the number of random encoders with the range of their hits; None for another rival."""
    own = result.random_encoders.get(prompt_set, [])
    if pointer != "random_encoders" or not own:
        return None
    return f"{len(own)}: {decimal(min(own))} to {decimal(max(own))}"


def _beside(inputs: Inputs, own: Sequence[Grounding], prompt_set: str) -> Iterator[Row]:
    """Yield a variant's rows that are compared with nothing: its heatmap in each reading, and its patches' probe."""
    label, results = variant_label(inputs, own[0].variant), [each.result for each in own]
    for name in results[0].readings[prompt_set]:
        if inputs.trained(own[0].variant) and any(each.reading[prompt_set] != name for each in results):
            hits = seeds_cell([each.readings[prompt_set][name].test for each in results])
            yield Row(f"heatmap of {label}, reading fixed", {READING: Cell(text=words(name)), "pointing": hits})
    cells = {}
    for key, (measure, pointer) in COLUMNS.items():
        figures = [_figure(each, prompt_set, measure, PROBE) for each in own if pointer == "heatmap"]
        if known := [figure for figure in figures if figure is not None]:
            cells[key] = seeds_cell(known)
    if cells:
        yield Row(f"supervised probe of the patches of {label}", cells)


def _about_one_training(inputs: Inputs, variants: Iterable[str]) -> tuple[str, ...]:
    """Return what the sentences on heatmaps are about where their variants have one training each."""
    single = [each for each in variants if inputs.trained(each) and len(inputs.tree.replicates_of(each)) == 1]
    return (
        (f"What is said of a heatmap is of one training ({', '.join(single)}), not of its settings.",) if single else ()
    )


def _queries(result: FindingResult, prompt_set: str) -> str:
    """Return what was asked for and on what, for the caption of a table."""
    if prompt_set == PHRASES:
        return f"its own phrases: {_phrases_of(result)}"
    places = result.place_words[prompt_set]
    named = f", which say its {' and '.join(places)}" if places else ""
    left = f" ({result.left_out})" if result.left_out else ""
    return f"prompts {words(prompt_set)!r}{named}: {counted(result.images, 'test image')}{left}"


def _contests(
    inputs: Inputs, variants: Sequence[Grounding], prompt_set: str, comparisons: Comparisons
) -> list[Contest]:
    """Return one contest per trained variant and column of hits."""
    found = []
    for column, place in (("pointing", ""), (IN_LUNG, ", inside the lungs")):
        others = [
            Pointer(POINTERS[_in_column(pointer, column)], words(pointer), hits)
            for pointer in RIVALS
            if (hits := _figure(variants[0], prompt_set, "pointing", _in_column(pointer, column))) is not None
        ]
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


def _in_column(pointer: str, column: str) -> str:
    """Return the pointer whose figures stand in a column for a rival: in that of the lungs, its peak inside them."""
    return INSIDE.get(pointer, pointer) if column == IN_LUNG else pointer


def _hits(own: Sequence[Grounding], prompt_set: str, column: str, comparisons: Comparisons) -> Estimate | None:
    """Return the hits of a variant's heatmap, over its seeds where it has several."""
    over_seeds = comparisons.over_seeds(table_name(own[0].place, prompt_set), column, own[0].variant)
    return over_seeds or _figure(own[0], prompt_set, *COLUMNS[column])


def _best(
    inputs: Inputs, variants: Sequence[Grounding], prompt_set: str, comparisons: Comparisons
) -> dict[str, str | None]:
    """Return the row in bold by column: a variant, or a rival by its words."""
    values = {variant: [grounding_values(inputs.tree, each, prompt_set) for each in own]
              for variant, own in by_variant(variants).items()}  # fmt: skip
    first = next(iter(values.values()))[0]
    best = {}
    for key, (measure, pointer) in COLUMNS.items():
        rows = {
            variant: repeated(inputs, variant, [each[pointer] for each in own])
            for variant, own in values.items()  # without validation, no IoU has a threshold
            if all(pointer in each and measure in each[pointer].metrics for each in own)
        }
        if rows:
            rivals = {words(name): first[_in_column(name, key)] for name in RIVALS if _in_column(name, key) in first}
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
