"""The pointing game, with what the paired tests allow to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..drawing import Style
from ..inputs import Inputs
from ..numbers import decimal, words
from ..paper_tables.comparisons import Comparisons
from ..paper_tables.grounding import IN_LUNG, table_name
from ..readers.phrase_grounding import Grounding
from ..readers.record import Estimate
from ..tables import POINTERS, RIVALS, baselines, variant_label
from .interval_bars import Axis, axis_of
from .section import Names, Report

_BASELINE = Style("#8a949b")


@dataclass(frozen=True)
class Pointer:
    """One line of the pointing game. `row` is its name in the comparisons, `column` that of its hits (None: both)."""

    label: str
    row: str
    column: str | None
    style: Style
    estimate: Estimate | None
    is_rival: bool  # what a trained heatmap has to beat
    bold: frozenset[str] = frozenset()  # measures in which it is better than all the others by the test
    contrast: Estimate | None = None  # contrast-to-noise ratio
    iou: Estimate | None = None

    def best(self, measure: str) -> bool:
        return (self.column or measure if measure == "pointing" else measure) in self.bold


def names(report: Report) -> Names:
    return {
        "pointing": _pointing(report),
        "has_untrained": not all(each.trained for each in report.inputs.training),
    }


def _pointing(report: Report) -> list[Names]:
    """One table a data set and prompt set."""
    inputs, tables = report.inputs, []
    for dataset in inputs.tree.evaluate_on:
        grounding = [each for each in inputs.grounding if each.dataset == dataset]
        for prompt_set in grounding[0].result.pointing:
            name = table_name(dataset, prompt_set)
            pointers = _pointers(inputs, grounding, prompt_set, report.styles, report.comparisons)
            tables.append(
                {
                    "dataset": dataset,
                    "finding": grounding[0].result.finding,
                    "prompt_set": prompt_set,
                    "place_words": grounding[0].result.place_words[prompt_set],
                    "images": grounding[0].result.images,
                    "left_out": grounding[0].result.left_out,
                    "pointers": pointers,
                    "axis": Axis(0.0, axis_of([each.estimate for each in pointers]).high),
                    "verdicts": [
                        verdict(each, pointers, report.comparisons, name) for each in pointers if not each.is_rival
                    ],
                }
            )
    return tables


def _pointers(
    inputs: Inputs,
    grounding: Sequence[Grounding],
    prompt_set: str,
    styles: Mapping[str, Style],
    comparisons: Comparisons,
) -> list[Pointer]:
    first, name = grounding[0], table_name(grounding[0].dataset, prompt_set)

    def bold(row: str) -> frozenset[str]:
        columns = ("pointing", IN_LUNG, "contrast_to_noise", "iou")
        return frozenset(each for each in columns if comparisons.is_best(name, each, row))

    heatmaps = [
        Pointer(
            f"heatmap of {variant_label(inputs, each.variant)}{place}",
            each.variant,
            column,
            styles[each.variant],
            estimate,
            not inputs.trained(each.variant),
            bold(each.variant),
            None if place else each.result.contrast_to_noise[prompt_set]["heatmap"],
            None if place else each.result.iou[prompt_set]["heatmap"],
        )
        for each in grounding
        for place, column, estimate in (
            ("", "pointing", each.result.pointing[prompt_set].heatmap),
            (", inside the lungs", IN_LUNG, each.result.pointing[prompt_set].heatmap_in_lung),
        )
        if estimate is not None
    ]
    game = baselines(inputs, first.dataset, prompt_set)
    others = [
        Pointer(POINTERS[pointer], words(pointer), None, _BASELINE, getattr(game, pointer), True,
                bold(words(pointer)), first.result.contrast_to_noise[prompt_set][pointer],
                first.result.iou[prompt_set][pointer])
        for pointer in game.rivals(RIVALS)
    ]  # fmt: skip
    return sorted(heatmaps, key=lambda each: each.is_rival) + others


def verdict(heatmap: Pointer, pointers: Sequence[Pointer], comparisons: Comparisons, table: str) -> str:
    """What the figures and the paired test of its column allow to say about one heatmap, in a sentence."""
    own, column = heatmap.estimate, heatmap.column
    assert own is not None  # a heatmap always has both
    assert column is not None
    rivals = [
        (each.label, each.estimate.value, comparisons.against(table, column, heatmap.row, each.row))
        for each in pointers
        if each.is_rival and each.estimate is not None and each.column in (None, column)
    ]
    unbeaten = [f"the {label} ({decimal(value)})" for label, value, _ in rivals if value >= own.value]
    open_ = [f"the {label} (p {decimal(found.adjusted)})" for label, _, found in rivals if not found.decided]
    subject = f"The {heatmap.label} ({decimal(own.value)})"
    if unbeaten:
        return f"{subject} does not beat {_and(unbeaten)}: no claim of localisation stands."
    if open_:
        return f"{subject} is above all the others, but the paired test does not tell it from {_and(open_)}."
    return f"{subject} is above all the others by the paired test."


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
