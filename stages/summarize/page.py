"""What the page shows, put together for the template: rows, figures as data URIs, verdicts in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.summarize import figures, numbers
from stages.summarize.data_sections import fingerprint_section, quality_section
from stages.summarize.figures import Style, data_uri
from stages.summarize.inputs import Grounding, Inputs, Sample, ZeroShot
from stages.summarize.ledger import Ledger
from stages.summarize.methods import differences, methods
from stages.summarize.numbers import decimal, interval, words
from stages.summarize.provenance import Provenance
from stages.summarize.records import METRICS, Estimate
from stages.summarize.settings import SummarizeSettings
from stages.summarize.tables import POINTERS, baselines, few_shot_tables, integrity_rows, variant_label

_BASELINE = Style("#8a949b")


@dataclass(frozen=True)
class Report:
    """All that the page is made from."""

    settings: SummarizeSettings
    inputs: Inputs
    ledger: Ledger
    provenance: Provenance
    digests: dict[str, str]  # of the summary itself


@dataclass(frozen=True)
class Axis:
    """The range of the bars in a table."""

    low: float
    high: float
    reference: float | None = None

    def place(self, value: float) -> float:
        """0 at the left end, 100 at the right end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True)
class Pointer:
    """One line of the pointing game."""

    label: str
    style: Style
    estimate: Estimate | None
    is_rival: bool  # what a trained heatmap has to beat


def render(template: Path, report: Report) -> str:
    """The page; everything from outside is escaped, a name that the context lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("decimal", "interval", "figures", "rank", "count", "percent", "moment", "duration", "words"):
        environment.filters[name] = getattr(numbers, name)
    environment.filters["runs_of"] = runs_of
    return environment.get_template(template.name).render(context(report))


def runs_of(rows: Sequence[Any], attribute: str) -> list[list[Any]]:
    """Neighbouring rows of equal `attribute`, in their order (Jinja's own groupby sorts)."""
    return [list(group) for _, group in groupby(rows, key=attrgetter(attribute))]


def context(report: Report) -> dict[str, Any]:
    """Names that the template uses."""
    inputs, provenance, quality = report.inputs, report.provenance, report.ledger.reports.quality
    styles = figures.variant_styles(inputs.training)
    return {
        "title": report.settings.title,
        "note": report.settings.note,
        "tree": inputs.tree,
        "cards": list(zip(inputs.tree.evaluate_on, inputs.cards, strict=True)),
        "labels": {variant: variant_label(inputs, variant) for variant in inputs.tree.variants},
        "styles": styles,
        "has_untrained": not all(each.trained for each in inputs.training),
        "metrics": METRICS,
        "provenance": provenance,
        "phantom_seed": provenance.run("make_phantom", "").params.get("seed") if provenance.synthetic else None,
        "digests": report.digests,
        "zero_shot": inputs.zero_shot,
        "auc_axis": _axis([each.result.metrics["auc"] for each in inputs.zero_shot], reference=0.5),
        "roc_curves": [_roc(inputs, dataset, styles) for dataset in inputs.tree.evaluate_on],
        "few_shot": few_shot_tables(inputs),
        "retrieval": inputs.retrieval,
        "pointing": _pointing(inputs, styles),
        "samples": [_samples(report, dataset) for dataset in inputs.tree.evaluate_on],
        "integrity_maps": _integrity_maps(inputs),
        "integrity_rows": integrity_rows(inputs),
        "losses": _losses(inputs),
        "loss_styles": figures.LOSS_STYLES,
        "selection": data_uri(figures.selection_figure(inputs.training, styles)),
        "training": inputs.training,
        "ledger": report.ledger,
        "fingerprint": fingerprint_section(report.ledger.reports.fingerprint),
        "quality": quality and quality_section(quality),
        "pretraining_license": provenance.run("index_inputs", inputs.tree.pretrain_on).tags.get("licenses"),
        "methods": methods(inputs, report.ledger, provenance),
        "differences": differences(inputs, provenance),
    }


def _axis(estimates: Sequence[Estimate | None], reference: float | None = None) -> Axis:
    """From a round tenth below everything to one above, the reference inside."""
    known = [each for each in estimates if each is not None]
    lows, highs = [each.low for each in known], [each.high for each in known]
    if reference is not None:
        lows, highs = [*lows, reference], [*highs, reference]
    low, high = int(min(lows) * 10) / 10, min(1.0, -int(-max(highs) * 10 - 0.999) / 10)
    return Axis(low, high if high > low else low + 0.1, reference)


def _roc(inputs: Inputs, dataset: str, styles: dict[str, Style]) -> dict[str, Any]:
    curves: list[ZeroShot] = [each for each in inputs.zero_shot if each.dataset == dataset]
    values = ", ".join(f"{each.variant} {interval(each.result.metrics['auc'])}" for each in curves)
    return {
        "dataset": dataset,
        "finding": curves[0].result.finding,
        "curves": curves,
        "src": data_uri(figures.roc_figure(curves, styles)),
        "alt": f"ROC curves for {words(curves[0].result.finding)} in {dataset}; area under the curve: {values}.",
    }


def _pointing(inputs: Inputs, styles: dict[str, Style]) -> list[dict[str, Any]]:
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
                    "images": grounding[0].result.images,
                    "pointers": pointers,
                    "axis": Axis(0.0, _axis([each.estimate for each in pointers]).high),
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
            is_rival=not inputs.trained(each.variant),
        )
        for each in grounding
        for place, estimate in (
            ("", each.result.pointing[prompt_set].heatmap),
            (", inside the lungs", each.result.pointing[prompt_set].heatmap_in_lung),
        )
        if estimate is not None
    ]
    game = baselines(inputs, grounding[0].dataset, prompt_set)
    others = [
        Pointer(POINTERS[name], _BASELINE, getattr(game, name), is_rival=True)
        for name in ("random_in_lung", "fixed_peak_of_training")
    ]
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


def _samples(report: Report, dataset: str) -> dict[str, Any]:
    """Rows of one radiograph each, with the heatmap of every variant beside it."""
    grounding = [each for each in report.inputs.grounding if each.dataset == dataset]
    run = report.provenance.run("phrase_grounding", f"{grounding[0].variant}/{dataset}")
    absent = "no radiograph was drawn: samples is 0"
    if run.param("publish_samples") != "True":
        absent = "radiographs are not published: publish_samples is false"
    names = list(grounding[0].result.pointing)
    return {
        "dataset": dataset,
        "finding": grounding[0].result.finding,
        "prompt_set": names[0] if len(names) == 1 else None,
        "absent": absent,
        "rows": [_sample_row(report.inputs, sample, grounding) for sample in grounding[0].samples],
    }


def _sample_row(inputs: Inputs, sample: Sample, grounding: Sequence[Grounding]) -> dict[str, Any]:
    panels = []
    for each in grounding:
        for other in each.samples:
            if other.image_id == sample.image_id:
                hit = "hit" if other.hit else "miss"
                panels.append(
                    {
                        "label": variant_label(inputs, each.variant),
                        "hit": hit,
                        "range": f"{decimal(other.heatmap.min())} to {decimal(other.heatmap.max())}",
                        "src": data_uri(figures.heatmap_figure(other)),
                        "alt": f"Heatmap of {each.variant} over radiograph {sample.image_id}; its peak is a {hit}.",
                    }
                )
    alt = f"Radiograph {sample.image_id} with the outline of the true finding."
    return {
        "image_id": sample.image_id,
        "src": data_uri(figures.radiograph_figure(sample)),
        "alt": alt,
        "panels": panels,
    }


def _integrity_maps(inputs: Inputs) -> list[dict[str, Any]]:
    """One square a trained variant that has phi; an untrained phi is 0 everywhere and only stands in the table."""
    first = inputs.tree.evaluate_on[0]
    return [
        {
            "variant": each.variant,
            "grid": phi.grid,
            "src": data_uri(figures.integrity_figure(phi)),
            "alt": f"phi of {each.variant} on its grid of {phi.grid} by {phi.grid} patches, from {phi.smallest:.2g} to "
            f"{phi.largest:.2g}.",
        }
        for each in inputs.grounding
        if each.dataset == first and inputs.trained(each.variant) and (phi := each.result.integrity_map) is not None
    ]


def _losses(inputs: Inputs) -> list[dict[str, Any]]:
    losses = []
    for each in inputs.training:
        if each.trained:
            last = {name: each.curve[name][-1] for name in figures.shown_losses(each)}
            values = ", ".join(f"{name.removeprefix('loss/')} {value:.2f}" for name, value in last.items())
            losses.append(
                {
                    "variant": each.variant,
                    "last": last,
                    "src": data_uri(figures.loss_figure(each)),
                    "alt": f"Loss terms of {each.variant} over the steps; at the last one: {values}.",
                }
            )
    return losses
