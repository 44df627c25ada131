"""The methods section, written from the settings that the journals recorded, not from what was intended.

methods_data.py and methods_training.py hold the paragraphs on data, encoders, objective and training; here are the
evaluations, and what puts all of them together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from ...common.encoders.settings import READINGS
from ...common.wording import counted
from ..inputs import Inputs
from ..naming import always_note, findings_label, pooling_note, protocol_note
from ..numbers import count, words
from ..provenance import Provenance, StageRun
from ..readers.evaluation import FewShot, Segmentation
from ..references import SOFTWARE, as_latex, as_prose, cited, software
from ..tables.quoted import Quotation
from ..works import METHODS, REFERENCES
from .methods_data import data
from .methods_training import choice, encoders, lacking, objective, training, was_trained
from .report import Names, Report

Measured = TypeVar("Measured", FewShot, Segmentation)


@dataclass(frozen=True)
class Difference:
    """A setting of pre-training in which a variant differs from the first one."""

    variant: str
    key: str
    value: str
    instead_of: str


def methods_names(report: Report) -> Names:
    """Return the names for the methods section."""
    inputs, provenance = report.inputs, report.provenance
    year = datetime.fromtimestamp(provenance.ended / 1000, UTC).year
    known = REFERENCES | {SOFTWARE: software(provenance.commits[-1][0], year)}
    paragraphs = methods(inputs, provenance, report.quoted)
    return {
        "methods": [as_prose(each, known) for each in paragraphs],
        "latex": "\n\n".join(as_latex(each, known) for each in paragraphs),
        "described": inputs.described,
        "differences": differences(inputs, provenance),
        "trained": any(each.trained for each in inputs.training),
        "quotes": bool(report.quoted),
        "citations": "\n".join(each.bibtex() for each in cited(paragraphs, known)),
    }


def methods(inputs: Inputs, provenance: Provenance, quotations: Sequence[Quotation] = ()) -> list[str]:
    """Return paragraphs on method, data, encoders, objective, training and evaluation.

    Marks of references.py stand where a work is cited. The first training of the described variant is told. A variant
    that was not trained has no objective.
    """
    pretrain = provenance.run("pretrain", inputs.told.name)
    called = any("invocation" in run.tags for run in provenance.runs)  # by the workflow, not by hand
    pipeline = f"the MLIP pipeline [@{SOFTWARE}]{' on Snakemake [@molder2021snakemake]' if called else ''}"
    if was_trained(pretrain):
        method = (
            "The method is medical language-image pre-training with masked local representation learning (MLIP) "
            f"[@liu2024mlip]{lacking(pretrain)}, run by {pipeline}."
        )
        learned = [objective(pretrain), f"{training(pretrain)} {choice(inputs)}"]
    else:
        method = f"{inputs.described} was evaluated by {pipeline}."
        learned = ["Nothing was trained: the weights are those of the start."]
    paragraphs = [
        method,
        data(inputs, provenance),
        encoders(pretrain, inputs),
        *learned,
        evaluation(inputs, provenance),
        " ".join(
            [*_few_shot(inputs), *_retrieval(inputs), *_comparison(inputs), *_seeds(inputs), *_quoted(quotations)]
        ),
    ]
    return [each for each in paragraphs if each]


def differences(inputs: Inputs, provenance: Provenance) -> list[Difference]:
    """Return the settings in which the other variants differ from the described one; seeds of their own are none."""
    runs = {variant: provenance.run("pretrain", inputs.tree.replicates_of(variant)[0].name)
            for variant in inputs.tree.variants}  # fmt: skip
    first = inputs.described
    others = [variant for variant in inputs.tree.variants if variant != first]
    known, seeds = runs[first].params, inputs.tree.seeds
    return [
        Difference(variant, key, value, instead_of)
        for variant in others
        for key in dict.fromkeys([*known, *runs[variant].params])
        if (value := runs[variant].pretrained_with(key)) != (instead_of := runs[first].pretrained_with(key))
        and not (key == "seed" and {first, variant} & seeds.keys())
    ]


def evaluation(inputs: Inputs, provenance: Provenance) -> str:
    """Return how zero-shot classification and the pointing game were measured."""
    by_dataset = {each.dataset: each for each in inputs.zero_shot if each.replicate == inputs.told}
    sentences = []
    if by_dataset:
        first = {dataset: by_dataset[dataset] for dataset in inputs.tree.evaluate_on if dataset in by_dataset}
        runs = [
            provenance.run("zero_shot_classification", f"{each.replicate.name}/{dataset}")
            for dataset, each in first.items()
        ]
        resampled = ", ".join(f"{dataset} by {each.result.resampled_by}" for dataset, each in first.items())
        findings = ", ".join(f"{findings_label(each.result.findings)} in {dataset}" for dataset, each in first.items())
        sentences.append(
            f"Zero-shot classification ({findings}) compares {_compared(runs)}. "
            f"{_chosen_on_validation(inputs)} Intervals are 95 % percentile intervals of {_draws(runs)} bootstrap "
            f"draws [@efron1979bootstrap] ({resampled})."
        )
    if any(own.calibration for each in inputs.zero_shot for own in each.result.findings.values()):
        sentences.append(
            "Zero-shot scores became probabilities by a logistic function fitted for each finding on the validation "
            "part; the expected calibration error is over 15 bins of equal width [@guo2017calibration]."
        )
    if inputs.multi_class:
        sentences.append(_multi_class(inputs))
    if inputs.grounding:
        found = [each.result for each in inputs.grounding]
        prompted = any(own.located for own in found)
        query, region = (
            ("prompts", "box or mask of a positive test image") if prompted else ("a phrase", "boxes of that phrase")
        )
        chosen = any(figure for own in found for by_set in own.iou.values() for figure in by_set.values())
        shares = "one that validation chose and the mean over five" if chosen else "the mean over five"
        sentences.append(
            "In the pointing game [@zhang2018excitation] the largest value of the heatmap hits where it lies in the "
            f"true {region}. {_readings(inputs, provenance, query)} Beside the hits stand "
            "figures of the whole map [@boecking2022biovil]: the contrast-to-noise ratio inside and outside of the "
            f"finding, here with its sign, and the IoU of the map above a share of its range, {shares}."
        )
        if phrases := [each for each in inputs.grounding if each.result.phrases is not None]:
            datasets = ", ".join(dict.fromkeys(each.dataset for each in phrases))
            sentences.append(
                f"In {datasets} each phrase that a radiologist gave boxes to is a query of its own, compared with its "
                "own boxes."
            )
    return " ".join(sentences)


def _readings(inputs: Inputs, provenance: Provenance, query: str) -> str:
    """Return what the heatmaps are, and which ways of reading them validation chose among."""
    ways: dict[str, str] = {}  # those that some set of prompts had, for one without denying prompts has fewer
    for each in inputs.grounding:
        told = provenance.run("phrase_grounding", f"{each.replicate.name}/{each.dataset}").params.get
        names = dict.fromkeys(name for own in each.result.readings.values() for name in own if name not in ways)
        ways |= {name: _reading(told, f"readings.{name}.", query) for name in names}
    if len(ways) == 1:
        return f"The heatmap is {next(iter(ways.values()))}."
    listed = "; ".join(f"{words(name)}: {way}" for name, way in ways.items())
    part = "hits on the validation part chose among them"
    told_of = next(each.result for each in inputs.grounding if each.replicate == inputs.told)
    first = next(iter(told_of.readings.values()))
    if all(each.validation is None for each in first.values()):
        part = "without a validation part, the first of them was taken"
    return f"Heatmaps were read in {len(ways)} ways, and {part} ({listed})."


def _reading(told: Callable[[str, str], Any], key: str, query: str) -> str:
    """Return one way of reading heatmaps in words; `told` gives a setting below `key`, or its default."""
    value = f"the cosine of each patch with {query}"
    if told(f"{key}unit_patches", "True") == "False":
        value = f"the product of each patch, not normalised, with {query}"
    mean = told(f"{key}mean", "none")
    if mean != "none":
        of = "pre-training" if mean == "pretraining" else "the data set"
        value += f" less its mean at the same place over training radiographs of {of}"
    if (temperature := told(f"{key}integrity_temperature", "None")) != "None":
        value += f", times softmax(phi / {float(temperature):g})"
    if smoothing := float(told(f"{key}smoothing", "0")):
        value += f", smoothed by a Gaussian of {smoothing:g} patches"
    if denied := float(told(f"{key}denied", "0")):
        value += f", less {denied:g} times that of the prompts which deny the finding"
    if (shifts := int(told(f"{key}shifts", "1"))) > 1:
        value += f", on a grid {shifts} times as fine by shift-and-stitch [@long2015fcn]"
    return value


def _multi_class(inputs: Inputs) -> str:
    """Return how images with exactly one finding were told apart, and how that departs from the published protocol."""
    results = {each.dataset: each.result for each in inputs.multi_class if each.replicate == inputs.told}
    sizes = ", ".join(f"{count(each.images)} images of {len(each.classes)} classes in {dataset}"
                      for dataset, each in results.items())  # fmt: skip
    kinds = {each.score for each in results.values()}
    cosine = "by the cosine with the normalised mean of their embeddings"
    less = f"{cosine} minus the cosine with that of the prompts which deny the finding"
    if kinds == {"positive", "difference"}:
        by_difference = ", ".join(dataset for dataset, each in results.items() if each.score == "difference")
        less = f"{cosine} (in {by_difference} minus the cosine with that of the prompts which deny the finding)"
    return (
        f"In multi-class classification ({sizes}), after [@huang2021gloria], an image with exactly one of the findings "
        f"is given the one whose prompts are nearest, {cosine if kinds == {'positive'} else less}, not standardised "
        "over the images. The same prompts rank the images for precision at k, after [@zhang2022convirt]."
    )


def _chosen_on_validation(inputs: Inputs) -> str:
    """Return what the validation part decided; a file with one set of prompts leaves nothing to choose."""
    found = [own for each in inputs.zero_shot for own in each.result.findings.values()]
    if all(len(each.validation_auc) == 1 for each in found):
        return "The threshold (by F1) was chosen on the validation part, the test part was measured once."
    told = any(len(each.test_auc) > 1 for each in found)
    others = "; every other set's AUC on it is told as not selected" if told else ""
    return (
        "The set of prompts (by AUC) and the threshold (by F1) were chosen on the validation part, the test part was "
        f"measured once{others}."
    )


def _compared(runs: list[StageRun]) -> str:
    """Return what of an image is compared with which prompts: all of it, or its patches."""
    places: dict[str, list[str]] = {}
    for run in runs:
        what = "an image with affirming and denying prompts"
        if (score := run.params.get("score", "global")) != "global":  # journals of older versions have no such setting
            share = 100 * float(run.param("patch_share"))
            reading = READINGS[run.params.get("reading", "raw")]  # journals of older versions have none
            settings = {key: str(value) for key, value in reading.model_dump().items()}
            of = f"(the mean of their heatmap: {_reading(settings.get, '', 'affirming prompts')})"
            patches = f"the {share:g} % of its patches that are nearest with affirming ones {of}"
            what = f"{what}, and {patches}, and adds both, standardised by training images"
            if score == "local":
                what = f"the {share:g} % of an image's patches that are nearest with affirming prompts {of}"
        places.setdefault(what, []).append(run.name.split("/")[-1])
    if len(places) == 1:
        return next(iter(places))
    return " and ".join(f"{what} (in {', '.join(datasets)})" for what, datasets in places.items())


_CLASSIFIES = {
    "linear": "trains a linear classifier on frozen, pooled tokens, after [@huang2021gloria; @wang2022mgca]",
    "finetune": "trains all weights, after [@zhou2023mrm; @huang2024maco]",
    "benchx": "trains all weights, those of the encoder at a fraction of the head's learning rate, after "
    "[@zhou2024benchx]",
}
_OUTLINES = {
    "linear": "trains a SETR-PUP decoder [@zheng2021setr] on the frozen encoder, after [@huang2021gloria; "
    "@wang2022mgca]",
    "finetune": "trains a UPerNet decoder [@xiao2018upernet] and the encoder, after [@zhou2023mrm; @huang2024maco]",
    "benchx": "trains a UPerNet decoder [@xiao2018upernet] on the frozen encoder, after [@zhou2024benchx]",
}


def _few_shot(inputs: Inputs) -> Iterator[str]:
    """Yield what ran of each protocol, and how it departs from the published one."""
    for protocol, cells in _by_protocol(inputs.few_shot):
        yield (
            f"Few-shot classification {_CLASSIFIES[protocol]}, on {_jobs(cells)}; thresholds, and which weights of a "
            f"training are kept, come from validation. {pooling_note(inputs.pooling)}"
        )
        yield from _departures(protocol, cells)
    for protocol, outlined in _by_protocol(inputs.segmentation):
        yield (
            f"Few-shot segmentation {_OUTLINES[protocol]}, on {_jobs(outlined)}; Dice stands beside that of predicting "
            "nothing."
        )
        yield from _departures(protocol, outlined)


def _by_protocol(cells: Sequence[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    """Yield what was measured by each protocol; a skipped job measured nothing."""
    measured = [each for each in cells if each.result.skipped is None]
    for protocol in dict.fromkeys(each.job.protocol for each in measured):
        yield protocol, [each for each in measured if each.job.protocol == protocol]


def _jobs(cells: Sequence[Measured]) -> str:
    """Return data sets with their shares of the labels: rsna (1, 10, 100 % of the labels)."""
    shares: dict[str, list[str]] = {}
    for job in dict.fromkeys(each.job for each in cells):
        shares.setdefault(job.dataset, []).append(str(job.fraction))
    return " and ".join(f"{dataset} ({', '.join(each)} % of the labels)" for dataset, each in shares.items())


def _departures(protocol: str, cells: Sequence[Measured]) -> Iterator[str]:
    """Yield departures in the words of the tables' notes."""
    for dataset in dict.fromkeys(each.job.dataset for each in cells):
        if note := protocol_note(protocol, [each.result for each in cells if each.job.dataset == dataset]):
            yield f"In {dataset} {note[0].lower()}{note[1:]}"
    if always := always_note([each.result for each in cells]):
        yield always


def _retrieval(inputs: Inputs) -> Iterator[str]:
    if any(each.result.figures is not None for each in inputs.retrieval):
        yield "Retrieval ranks all reports for an image and all images for a report; equal texts count as hits."
    if any(each.result.by_class is not None for each in inputs.retrieval):
        yield (
            "Among the pairs with exactly one finding, the share of the first k results with the finding of the "
            "query (precision at k, mean over findings) is measured, too, after [@huang2021gloria]."
        )


def _comparison(inputs: Inputs) -> Iterator[str]:
    if len(inputs.tree.variants) > 1:
        yield (
            "Variants are compared on the same images by a paired bootstrap, with Holm's correction [@holm1979] over "
            "all pairs of a column."
        )


def _seeds(inputs: Inputs) -> Iterator[str]:
    """Yield with how many seeds variants were trained, and what their figures then are."""
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for variant, seeds in inputs.tree.seeds.items():
        by_seeds.setdefault(seeds, []).append(variant)
    if not by_seeds:
        return
    said = [f"{', '.join(variants)} with {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
            for seeds, variants in by_seeds.items()]  # fmt: skip
    described = inputs.told
    if described.seed is not None:
        said[-1] += f"; what is said above of {described.variant} in particular is of seed {described.seed}"
    yield (
        f"Pre-training and all that follows it ran for {' and '.join(said)}. Figures of several seeds are means over "
        "them, and their intervals and tests draw seeds (Student's t) and patients (bootstrap) together."
    )


def _quoted(quotations: Sequence[Quotation]) -> Iterator[str]:
    if sources := dict.fromkeys(each.cite for each in quotations if each.cite in REFERENCES):
        names = dict.fromkeys(name for each in quotations for name in each.rows)
        works = [f"{name} [@{METHODS[name]}]" if name in METHODS else name for name in names]
        yield (
            f"The tables quote figures of {', '.join(works)} as [@{'; @'.join(sources)}] print them; they "
            "were not measured here."
        )


def _draws(runs: list[StageRun]) -> str:
    return " or ".join(dict.fromkeys(count(int(run.param("draws"))) for run in runs))
