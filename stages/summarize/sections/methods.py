"""The methods section, written from the settings that the journals recorded, not from what was intended."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from ..inputs import Inputs
from ..naming import always_note, pooling_note, protocol_note
from ..numbers import count, decimal, words
from ..provenance import Provenance, StageRun
from ..readers.evaluation import FewShot, Segmentation
from ..references import METHODS, REFERENCES, SOFTWARE, as_latex, as_prose, cited, software
from ..tables.quoted import Quotation
from .report import Names, Report

Param = Callable[[str], str]
Measured = TypeVar("Measured", FewShot, Segmentation)

_AUTHORS = {"mae": "he2022mae", "mrm": "zhou2023mrm", "maco": "huang2024maco", "mgca": "wang2022mgca"}  # by source
_NIH = "whose radiographs are of NIH ChestX-ray14 [@wang2017chestxray]"
DATA_SETS = {  # by layout: the work, and the origin of its radiographs
    "mimic_cxr": ("johnson2019mimiccxr", "from PhysioNet [@goldberger2000physionet]"),
    "rsna": ("shih2019rsna", _NIH),
    "siim": ("zawacki2019siim", _NIH),
}


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
        "differences": differences(inputs, provenance),
        "quotes": bool(report.quoted),
        "citations": "\n".join(each.bibtex() for each in cited(paragraphs, known)),
    }


def methods(inputs: Inputs, provenance: Provenance, quotations: Sequence[Quotation] = ()) -> list[str]:
    """Return paragraphs on method, data, encoders, objective, training and evaluation.

    Marks of references.py stand where a work is cited. The first variant is described.
    """
    tree = inputs.tree
    pretrain = provenance.run("pretrain", tree.variants[0])
    return [
        "The method is medical language-image pre-training with masked local representation learning (MLIP) "
        f"[@liu2024mlip], run by the MLIP pipeline [@{SOFTWARE}] on Snakemake [@molder2021snakemake].",
        _data(inputs, provenance),
        _encoders(pretrain, inputs.manifests[0].size) + " " + _normalisation(pretrain.param, inputs),
        _objective(pretrain.param),
        _training(pretrain.param) + " " + _choice(inputs),
        _evaluation(inputs, provenance),
        " ".join([*_few_shot(inputs), *_retrieval(inputs), _comparison(), *_quoted(quotations)]),
    ]


def differences(inputs: Inputs, provenance: Provenance) -> list[Difference]:
    """Return the settings in which the other variants differ from the first."""
    first, *others = (provenance.run("pretrain", variant) for variant in inputs.tree.variants)
    return [
        Difference(run.name, key, run.params.get(key, "absent"), first.params.get(key, "absent"))
        for run in others
        for key in dict.fromkeys([*first.params, *run.params])
        if run.params.get(key) != first.params.get(key)
    ]


def _data(inputs: Inputs, provenance: Provenance) -> str:
    audit = inputs.pairs.audit
    training = audit.splits["train"]
    sections = provenance.run("split_reports", inputs.tree.pretrain_on).param("sections")
    return (
        f"Pre-training used {count(training.pairs)} pairs of image and report from {count(training.studies)} studies "
        f"of {count(training.patients)} patients of {inputs.tree.pretrain_on}, split by {audit.split_by}. Radiographs "
        f"were stored as squares of {inputs.manifests[0].size} pixels, padded, in 8-bit grey. Reports were cut into "
        f"{count(inputs.reports.sentences)} sentences; the sections kept were {_plain(sections)}. "
        f"{_sources(inputs, provenance)}"
    )


def _sources(inputs: Inputs, provenance: Provenance) -> str:
    """Return where the data come from; a synthetic set does not count as the data set whose format it has."""
    sentences = []
    for dataset in inputs.tree.datasets:
        layout = provenance.run("index_inputs", dataset).params.get("layout", "")
        if layout in DATA_SETS and dataset not in provenance.synthetic:
            key, origin = DATA_SETS[layout]
            sentences.append(f"{dataset} are the data of {REFERENCES[key].plain_title} [@{key}], {origin}.")
    if provenance.synthetic:
        drawn = "drawn by the pipeline itself in the formats of the real data sets"
        sentences.append(f"Synthetic, {drawn}: {', '.join(provenance.synthetic)}.")
    return " ".join(sentences)


def _encoders(run: StageRun, stored: int) -> str:
    param = run.param
    size, patch = int(param("model.image.input_size")), int(param("model.image.patch_size"))
    patches, ratio = (size // patch) ** 2, float(param("mask_ratio"))
    visible = max(1, round((1 - ratio) * patches))
    if param("model.image.architecture") == "custom":
        image = f"a vision transformer [@dosovitskiy2021vit] ({_blocks(param, 'model.image')})"
    else:
        image = f"{param('model.image.architecture')} (timm) [@dosovitskiy2021vit]"
    if param("model.text.weights") == "None":
        text = f"a BERT [@devlin2019bert] ({_blocks(param, 'model.text')}) initialised at random"
    else:
        work = "alsentzer2019clinicalbert" if "ClinicalBERT" in param("model.text.weights") else "devlin2019bert"
        text = f"{param('model.text.weights')} [@{work}]{_terms(run, 'text')}"
    masking = (
        f"the encoder sees {visible} of the {patches}, drawn afresh for every image (mask ratio {ratio:g})"
        if ratio
        else "the encoder sees all of them"
    )
    return (
        f"Images of {stored} pixels, cropped and resized to {size}, are cut into {patches} patches of "
        f"{patch} pixels, and {masking}. Images are encoded by {image}, {_start(run)}; whole reports (at most "
        f"{param('model.text.max_tokens')} word pieces and {param('model.text.max_sentences')} sentences) by {text}. "
        f"One linear projection each leads to a space of {param('model.embedding_width')} dimensions."
    )


def _start(run: StageRun) -> str:
    """Return the origin of the image encoder's starting weights."""
    weights = run.param("model.image.weights")
    if weights == "None":
        return "initialised at random"
    source = _AUTHORS.get(run.params.get("model.image.source", ""))
    return f"started from {weights}{f' [@{source}]' if source else ''}{_terms(run, 'image')}"


def _terms(run: StageRun, encoder: str) -> str:
    """Return revision and licence of starting weights, from the tag that pretrain gave its journal."""
    said = run.tags.get(f"{encoder}_weights", "").removeprefix(f"{run.param(f'model.{encoder}.weights')}, ")
    return f" ({said})" if said else ""


def _normalisation(param: Param, inputs: Inputs) -> str:
    if param("normalisation") == "given":
        return (
            f"Grey values 0..1 were standardised by the mean {param('model.image.mean')} and the standard deviation "
            f"{param('model.image.standard_deviation')}, as the settings give them."
        )
    grey = inputs.pairs.fingerprint.intensity
    return (
        f"Grey values 0..1 were standardised by the mean {decimal(grey.mean, 4)} and the standard deviation "
        f"{decimal(grey.standard_deviation, 4)} of {count(grey.images)} training images, padding left out; the "
        "checkpoint carries both to every evaluation."
    )


def _objective(param: Param) -> str:
    integrity = param("contrastive.integrity")
    scaled = "without semantic integrity" if integrity == "none" else f"scaled by semantic integrity ({integrity})"
    terms = [
        f"the masked contrastive loss [@radford2021clip; @huang2024maco], {scaled}, with a learned temperature from "
        f"{param('contrastive.temperature')}"
    ]
    if float(param("local.weight")):
        terms.append(f"{float(param('local.weight')):g} times the local loss, which scores {_local(param)}")
    if float(param("reconstruction.weight")):
        terms.append(
            f"{float(param('reconstruction.weight')):g} times masked image prediction [@he2022mae] with a decoder of "
            f"{_blocks(param, 'reconstruction')}, on masked patches alone"
        )
    return "The objective is " + ", plus ".join(terms) + ". Reports of the same study or text are no negatives."


def _local(param: Param) -> str:
    """Return how the local loss scores a pair."""
    pairs, groups = "every image against every report", f"groups of {param('local.group')}"
    if param("local.score") == "attention":
        return (
            f"{pairs} by attention [@huang2021gloria]: every sentence attends to the visible patches (temperature "
            f"{param('local.attention_temperature')}), and its similarity with what it attends to counts over "
            f"sentences ({param('local.sentences')}, temperature {param('local.sentence_temperature')}), {groups}"
        )
    rho = param("local.rho")
    relaxed = f"transport relaxed on the side of patches (rho {rho}) [@chizat2018unbalanced]"
    kind = "balanced transport" if rho == "balanced" else relaxed
    return (
        f"{pairs} by entropic optimal transport [@cuturi2013sinkhorn] between visible patches "
        f"({param('local.patches')}) and sentences ({param('local.sentences')}): {kind}, epsilon "
        f"{param('local.epsilon')}, {param('local.score')} score, {groups}"
    )


def _training(param: Param) -> str:
    epochs = int(param("optimisation.epochs"))
    if not epochs:
        return "Nothing was trained: the weights are those of the start."
    rate, warmup = param("optimisation.learning_rate"), float(param("optimisation.warmup_epochs"))
    return (
        f"Training ran for {epochs} epochs of AdamW [@loshchilov2019adamw] (betas "
        f"{_plain(param('optimisation.betas'))}, weight decay {param('optimisation.weight_decay')}) with batches of "
        f"{param('optimisation.batch_size')} pairs, a learning rate that rises linearly to {rate} over {warmup:g} "
        f"epochs and falls as a cosine, gradients clipped at {param('optimisation.clip_norm')}, in "
        f"{param('optimisation.precision')}, with seed {param('seed')}. "
        "Images were cropped and changed in brightness and contrast, never flipped: reports say left and right."
    )


def _choice(inputs: Inputs) -> str:
    selection = inputs.training[0].selection
    judged = f"{count(selection.studies)} {selection.split} studies; no labelled data set"
    if selection.by_labels:
        images = f"{count(selection.labelled_images)} labelled {selection.split} images"
        judged = f"{images} of {selection.zero_shot_on}; no test image"
    kept = selection.rule.replace("candidate", "one") or "the best one"
    return (
        f"Of {len(selection.candidates)} candidates {kept} was kept (step {count(selection.chosen_step)}), by "
        f"{selection.criterion}, over {judged} took part in that choice."
    )


def _evaluation(inputs: Inputs, provenance: Provenance) -> str:
    tree = inputs.tree
    runs = [provenance.run("zero_shot_classification", f"{tree.with_text[0]}/{each}") for each in tree.evaluate_on]
    units = {each.dataset: each.result.resampled_by for each in inputs.zero_shot}
    resampled = ", ".join(f"{dataset} by {unit}" for dataset, unit in units.items())
    findings = ", ".join(f"{words(card.finding)} in {dataset}" for dataset, card in zip(tree.evaluate_on, inputs.cards,
                                                                                       strict=True))  # fmt: skip
    others = "; every other set's AUC on it is told as not selected" if inputs.zero_shot[0].result.test_auc else ""
    return (
        f"Zero-shot classification ({findings}) compares {_compared(runs)} with affirming and denying prompts. The "
        "set of prompts (by AUC) and the threshold (by F1) were chosen on the validation part, the test part was "
        f"measured once{others}. Intervals are 95 % percentile intervals of {_draws(runs)} bootstrap draws "
        f"[@efron1979bootstrap] ({resampled}). In the pointing game [@zhang2018excitation] the largest value of the "
        "heatmap, the cosine of each patch with prompts, hits where it lies in the true box or mask of a positive "
        "test image. Beside the hits stand two figures of the whole map [@boecking2022biovil]: the contrast-to-noise "
        "ratio inside and outside of the finding, here with its sign, and the IoU of the map above a share of its "
        "range that validation chose."
    )


def _compared(runs: list[StageRun]) -> str:
    """Return what of an image is compared with prompts: all of it, or its patches."""
    places: dict[str, list[str]] = {}
    for run in runs:
        what = "an image"
        if run.params.get("score") == "local":  # journals of older versions have no such setting
            share = 100 * float(run.param("patch_share"))
            what = f"the {share:g} % of an image's patches that are nearest (the mean of their cosines)"
        places.setdefault(what, []).append(run.name.split("/")[-1])
    if len(places) == 1:
        return next(iter(places))
    return " and ".join(f"{what} (in {', '.join(datasets)})" for what, datasets in places.items())


_CLASSIFIES = {
    "linear": "trains a linear classifier on frozen, pooled tokens, after [@huang2021gloria; @wang2022mgca]",
    "finetune": "trains all weights, after [@zhou2023mrm; @huang2024maco]",
}
_OUTLINES = {
    "linear": "trains a SETR-PUP decoder [@zheng2021setr] on the frozen encoder, after [@huang2021gloria; "
    "@wang2022mgca]",
    "finetune": "trains a UPerNet decoder [@xiao2018upernet] and the encoder, after [@zhou2023mrm; @huang2024maco]",
}


def _few_shot(inputs: Inputs) -> Iterator[str]:
    """Yield what ran of each protocol, and how it departs from the published one."""
    for protocol, cells in _by_protocol(inputs.few_shot):
        yield (
            f"Few-shot classification {_CLASSIFIES[protocol]}, on {_jobs(cells)}; thresholds and stopping come from "
            f"validation. {pooling_note(inputs.pooling)}"
        )
        yield from _departures(protocol, cells)
    for protocol, outlined in _by_protocol(inputs.segmentation):
        yield (
            f"Few-shot segmentation {_OUTLINES[protocol]}, on {_jobs(outlined)}; Dice stands beside that of predicting "
            "nothing."
        )
        yield from _departures(protocol, outlined)


def _by_protocol(cells: Sequence[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    for protocol in dict.fromkeys(each.job.protocol for each in cells):
        yield protocol, [each for each in cells if each.job.protocol == protocol]


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


def _comparison() -> str:
    return (
        "Variants are compared on the same images by a paired bootstrap, with Holm's correction [@holm1979] over "
        "all pairs of a column."
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


def _blocks(param: Param, prefix: str) -> str:
    return f"{param(f'{prefix}.depth')} blocks of width {param(f'{prefix}.width')}, {param(f'{prefix}.heads')} heads"


def _plain(text: str) -> str:
    """Return a list without the brackets and quotes with which the journal writes it."""
    return text.strip("[]").replace("'", "")
