"""Methods: where the data come from, how they were split, what of the reports was kept, and the labels."""

from collections.abc import Iterator

from ...common.wording import counted
from ...label_images.contract import Card, CardFinding
from ...pair_images_reports.contract import Audit
from ..inputs import Inputs
from ..naming import findings_label
from ..numbers import count
from ..provenance import Provenance, StageRun
from ..works import REFERENCES
from .methods_training import plain

_NIH = "whose radiographs are of NIH ChestX-ray14 [@wang2017chestxray]"
DATA_SETS = {  # by distribution, else layout: the work, and the origin of its radiographs
    "nih": ("wang2017chestxray", "from the NIH Clinical Center"),
    "chexpert": ("irvin2019chexpert", "from Stanford AIMI"),
    "chexpert_5x200": ("irvin2019chexpert", "from Stanford AIMI"),
    "vindr": ("nguyen2022vindr", "from two hospitals in Hanoi"),
    "padchest": ("bustos2020padchest", "from the Hospital San Juan, Alicante"),
    "ms_cxr": ("boecking2022biovil", "from PhysioNet [@goldberger2000physionet], with images of MIMIC-CXR"),
    "openi": ("demner2016openi", "from the Indiana University"),
    "mimic_cxr": ("johnson2019mimiccxr", "from PhysioNet [@goldberger2000physionet]"),
    "rsna": ("shih2019rsna", _NIH),
    "siim": ("zawacki2019siim", _NIH),
}


def data(inputs: Inputs, provenance: Provenance) -> str:
    """Return the paragraph on the data of pre-training and evaluation."""
    audit, dataset = inputs.pairs.audit, inputs.tree.pretrain_on
    part, paired = audit.splits["train"], provenance.run("pair_images_reports", dataset)
    sections = _sections(inputs, provenance.run("split_reports", dataset))
    trained = any(each.trained for each in inputs.training)
    used = "Pre-training used" if trained else f"For pre-training, which no variant did, {dataset} has"
    if shared := _share(inputs, provenance) if trained else "":
        used = f"For pre-training {dataset} has"
    sentences = [
        f"{used} {counted(part.pairs, 'pair')} of image and report from "
        f"{counted(part.studies, 'study', 'studies')} of {counted(part.patients, 'patient')} of {dataset}, "
        f"{_split(audit, paired)}{_images(audit, paired, trained)}. {shared}{_stored(inputs)} Reports were cut into "
        f"{counted(inputs.reports.sentences, 'sentence')}; {sections}.",
        *_labels(inputs, provenance),
        _sources(inputs, provenance),
    ]
    return " ".join(each for each in sentences if each)


def _share(inputs: Inputs, provenance: Provenance) -> str:
    """Return which share of the training patients the described training read; empty for all of them."""
    described = inputs.told
    share = float(provenance.run("pretrain", described.name).pretrained_with("data_share"))
    if share == 1:
        return ""
    studies = next(each.studies for each in inputs.training if each.replicate == described)
    said = "" if studies is None else f" ({counted(studies, 'study', 'studies')})"
    return (
        f"{described.variant} read those of {100 * share:g} % of these patients{said}, drawn by a hash of their ids: "
        "the same for every seed, and within every larger share. "
    )


def _stored(inputs: Inputs) -> str:
    """Return how radiographs were stored: in one size, or in several."""
    sizes: dict[int, list[str]] = {}
    for each in inputs.manifests:
        sizes.setdefault(each.size, []).append(each.dataset)
    of = "" if len(sizes) == 1 else " ({})"
    squares = " or ".join(f"{size} pixels{of.format(', '.join(names))}" for size, names in sizes.items())
    return f"Radiographs were stored as squares of {squares}, padded, in 8-bit grey."


def _split(audit: Audit, run: StageRun) -> str:
    """Return how the patients of pre-training were split: by the distribution, by the hash of their ids, or both."""
    validation, test = (100 * float(run.param(f"patient_split.{part}")) for part in ("validation", "test"))
    shares = f"validation {validation:.4g} %, test {test:.4g} %; seed {run.param('patient_split.seed')}"
    hashed = f"by a hash of the patient's id ({shares})"
    match audit.split_by:
        case "patient":
            return f"split by patient, {hashed}"
        case "patient, as distributed":
            return "split by patient as the data set is distributed"
        case "patient, as distributed where it says":
            known = f"{count(audit.images_with_distributed_split)} of {counted(audit.images, 'image')}"
            return f"split by patient as the data set is distributed where it says ({known}), else {hashed}"
    return f"split by {audit.split_by}"


def _images(audit: Audit, run: StageRun, trained: bool) -> str:
    """Return which images of a study were used, where a study has several."""
    if run.param("images_per_study") == "one":
        return ", with one image of each study"
    if audit.studies_with_several_images.count and trained:
        return ", of which an epoch draws one image of each study"
    return ""


_FALLBACKS = {"unheaded": "the paragraphs under no header", "whole_report": "the whole text"}


def _sections(inputs: Inputs, run: StageRun) -> str:
    """Return which sections the sentences are of, and what stands in for them in reports without their headers."""
    sections, reports = plain(run.param("sections")), inputs.reports.quality.reports
    kept = [f"the sections kept were {sections}"]
    if reports.by_fallback:
        text = _FALLBACKS[run.param("sections_fallback")]
        if reports.by_fallback == reports.split:
            kept = [f"no report has a section {sections.replace(', ', ' or ')}, so that {text} of each was kept"]
        else:
            kept.append(
                f"{text} was kept of the {count(reports.by_fallback)} among {counted(reports.split, 'report')} that "
                "have none of them".replace("paragraphs under no header was", "paragraphs under no header were")
            )
    if lacking := reports.rejected.get("no_configured_section"):
        kept.append(f"{counted(lacking, 'report')} without such a section {'was' if lacking == 1 else 'were'} left out")
    vocabulary = run.param("tokenizer.weights")
    pieces = f"those of {vocabulary}"
    if vocabulary == "None":
        size = int(run.param("tokenizer.vocabulary_size"))
        pieces = f"of a vocabulary of at most {count(size)}, trained on the training reports"
    return f"{'; '.join(kept)}; word pieces are {pieces}"


def _labels(inputs: Inputs, provenance: Provenance) -> Iterator[str]:
    """Yield how each labelled data set was split, and which of its images have no label."""
    for dataset, card in zip(inputs.tree.evaluate_on, inputs.cards, strict=True):
        params = provenance.run("label_images", dataset).params
        unlabelled = plain(params.get("unlabelled_values", ""))
        labelled = counted(card.labelled, "labelled image")
        if card.labelled < card.images:
            cells = f" (cells {unlabelled} count as no label)" if unlabelled else ""
            labelled = f"{count(card.labelled)} of {counted(card.images, 'image')} that have a label{cells}"
        yield f"{dataset} has {labelled} for {findings_label(card.findings)}, {_parts(card)}.{_uncertain(card)}"


def _uncertain(card: Card) -> str:
    """Return what uncertain labels count as; nothing where there are none."""
    meanings = {"ignore": "no label", "zeros": "absent", "ones": "present"}
    used: dict[str, list[CardFinding]] = {}
    for each in card.findings.values():
        if each.uncertain:
            used.setdefault(meanings[each.uncertain_as], []).append(each)
    parts = [f"{count(sum(each.uncertain for each in own))} as {meaning}" for meaning, own in used.items()]
    return f" Of its uncertain labels count {', '.join(parts)}." if parts else ""


def _parts(card: Card) -> str:
    if card.patient_split is not None:
        return "in parts as pre-training splits its patients"
    if card.shares is None:
        return "in parts by lists of the user"
    parts = ", ".join(f"{part} {100 * share:.4g} %" for part, share in card.shares.model_dump().items())
    unknown = " (patients are unknown)" if card.split_by == "image" else ""
    return f"in parts by {card.split_by}{unknown}: {parts}, seed {card.seed}"


def _sources(inputs: Inputs, provenance: Provenance) -> str:
    """Return where the data come from; a synthetic set does not count as the data set whose format it has."""
    sentences = []
    for dataset in inputs.tree.datasets:
        params = provenance.run("index_inputs", dataset).params
        known = next((each for key in ("distribution", "layout") if (each := params.get(key, "")) in DATA_SETS), None)
        if known is not None and dataset not in provenance.synthetic:
            key, origin = DATA_SETS[known]
            sentences.append(f"{dataset} are the data of {REFERENCES[key].plain_title} [@{key}], {origin}.")
    if provenance.synthetic:
        drawn = "drawn by the pipeline itself in the formats of the real data sets"
        sentences.append(f"Synthetic, {drawn}: {', '.join(provenance.synthetic)}.")
    return " ".join(sentences)
