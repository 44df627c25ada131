"""The pointing game, with what the figures allow to say."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.summarize.drawing import Style
from stages.summarize.inputs import Inputs
from stages.summarize.numbers import decimal
from stages.summarize.readers.phrase_grounding import Grounding
from stages.summarize.readers.record import Estimate
from stages.summarize.sections.interval_bars import Axis, axis_of
from stages.summarize.sections.section import Names, Report
from stages.summarize.tables import POINTERS, baselines, variant_label

_BASELINE = Style("#8a949b")


@dataclass(frozen=True)
class Pointer:
    """One line of the pointing game."""

    label: str
    style: Style
    estimate: Estimate | None
    is_rival: bool  # what a trained heatmap has to beat
    contrast: Estimate | None = None  # contrast-to-noise ratio
    iou: Estimate | None = None


def names(report: Report) -> Names:
    return {
        "pointing": _pointing(report.inputs, report.styles),
        "has_untrained": not all(each.trained for each in report.inputs.training),
    }


def _pointing(inputs: Inputs, styles: dict[str, Style]) -> list[Names]:
    """One table a data set and prompt set."""
    tables = []
    for dataset in inputs.tree.evaluate_on:
        grounding = [each for each in inputs.grounding if each.dataset == dataset]
        for prompt_set in grounding[0].result.pointing:
            pointers = _pointers(inputs, grounding, prompt_set, styles)
            tables.append(
                {
                    "dataset": dataset,
                    "finding": grounding[0].result.finding,
                    "prompt_set": prompt_set,
                    "place_words": grounding[0].result.place_words[prompt_set],
                    "images": grounding[0].result.images,
                    "pointers": pointers,
                    "axis": Axis(0.0, axis_of([each.estimate for each in pointers]).high),
                    "verdicts": [verdict(each, pointers) for each in pointers if not each.is_rival],
                }
            )
    return tables


def _pointers(
    inputs: Inputs, grounding: Sequence[Grounding], prompt_set: str, styles: dict[str, Style]
) -> list[Pointer]:
    heatmaps = [
        Pointer(
            f"heatmap of {variant_label(inputs, each.variant)}{place}",
            styles[each.variant],
            estimate,
            not inputs.trained(each.variant),
            None if place else each.result.contrast_to_noise[prompt_set]["heatmap"],
            None if place else each.result.iou[prompt_set]["heatmap"],
        )
        for each in grounding
        for place, estimate in (
            ("", each.result.pointing[prompt_set].heatmap),
            (", inside the lungs", each.result.pointing[prompt_set].heatmap_in_lung),
        )
        if estimate is not None
    ]
    game = baselines(inputs, grounding[0].dataset, prompt_set)
    first = grounding[0].result
    others = [
        Pointer(POINTERS[name], _BASELINE, getattr(game, name), True, first.contrast_to_noise[prompt_set][name],
                first.iou[prompt_set][name])
        for name in ("random_in_lung", "fixed_peak_of_training", "word_prior")
        if name != "word_prior" or game.word_prior is not None
    ]  # fmt: skip
    return sorted(heatmaps, key=lambda each: each.is_rival) + others


def verdict(heatmap: Pointer, pointers: Sequence[Pointer]) -> str:
    """What the figures allow to say about one heatmap, in a sentence."""
    own = heatmap.estimate
    assert own is not None  # a heatmap always has an estimate
    rivals = [(each.label, each.estimate) for each in pointers if each.is_rival and each.estimate is not None]
    unbeaten = [f"the {label} ({decimal(rival.value)})" for label, rival in rivals if rival.value >= own.value]
    close = [f"the {label}" for label, rival in rivals if rival.high >= own.low]
    subject = f"The {heatmap.label} ({decimal(own.value)})"
    if unbeaten:
        return f"{subject} does not beat {_and(unbeaten)}: no claim of localisation stands."
    if close:
        return f"{subject} is above all the others, but its interval overlaps with that of {_and(close)}."
    return f"{subject} is above all the others, and the intervals do not overlap."


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
