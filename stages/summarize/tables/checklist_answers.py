"""Answer the items of reporting checklists from a run, and write the file in which authors complete them."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ...common.wording import counted
from ..inputs import Inputs
from ..ledger import Ledger
from ..numbers import count, interval, words
from ..provenance import Provenance
from .checklist_items import CLAIM, TRIPOD_AI, Item
from .operating_points import POINT_NAMES, described, point_summary

CHECKLISTS: dict[str, tuple[Item, ...]] = {"CLAIM 2024": CLAIM, "TRIPOD+AI": TRIPOD_AI}
SOURCES = {
    "CLAIM 2024": "Tejani et al., Radiology: Artificial Intelligence 6:e240300, 2024",
    "TRIPOD+AI": "Collins et al., BMJ 385:e078378, 2024",
}
NOT_HERE = "not in this run"
OURS = (
    "Numbers are those of the checklists; the wording of the items is ours and shortened, and the originals count. "
    "A filled cell says what this run knows, not that the item is met: that is for the authors to decide."
)


class Facts(NamedTuple):
    """Hold what answers are made from."""

    inputs: Inputs
    provenance: Provenance
    ledger: Ledger


class Answer(NamedTuple):
    """Hold what a run says, and the anchor of the section with the whole of it; an empty anchor: nowhere else."""

    text: str
    anchor: str = ""


class Answered(NamedTuple):
    """An item with its answer; None where a run knows nothing of it."""

    item: Item
    answer: Answer | None


def answered(facts: Facts) -> dict[str, list[Answered]]:
    """Return the items of each checklist with what this run says."""
    made: dict[str, Answer | None] = {"": None}
    for key in {item.answer for items in CHECKLISTS.values() for item in items} - {""}:
        own = ANSWERS[key]
        made[key] = own if isinstance(own, Answer) else own(facts) or Answer(NOT_HERE)
    return {name: [Answered(item, made[item.answer]) for item in items] for name, items in CHECKLISTS.items()}


def checklist_markdown(found: Mapping[str, Sequence[Answered]]) -> str:
    """Return both checklists as Markdown with an empty column for the page of the manuscript."""
    lines = ["# Reporting checklists", "", OURS, ""]
    for name, rows in found.items():
        lines += [f"## {name}", "", f"{SOURCES[name]}.", "", "| item | asks for | this run | for the authors | page |",
                  "| --- | --- | --- | --- | --- |"]  # fmt: skip
        for item, answer in rows:
            said = answer.text if answer else ""
            cells = [item.number, item.asks, said, item.authors or "to check", ""]
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"]
        lines += [""]
    return "\n".join(lines)


def _sources(facts: Facts) -> Answer:
    pairs = facts.inputs.pairs.audit.splits["train"]
    labelled = [f"{card.dataset} ({counted(card.labelled, 'image')})" for card in facts.inputs.cards]
    text = f"pre-training: {facts.inputs.tree.pretrain_on} ({counted(pairs.patients, 'patient')} in training)"
    return Answer(f"{text}; evaluation: {', '.join(labelled) or 'none'}", "cards" if labelled else "methods")


def _excluded(facts: Facts) -> Answer:
    reasons = dict.fromkeys(words(each.reason) for each in facts.ledger.rejects if each.count)
    return Answer(f"left out here, each with its reason: {', '.join(reasons) or 'nothing'}", "ledger")


def _flow(facts: Facts) -> Answer:
    kept = [
        f"{each.dataset}: {count(each.images)} of {counted(each.indexed, 'indexed image')}"
        for each in facts.ledger.images
    ]
    return Answer("; ".join(kept), "ledger")


def _missing(facts: Facts) -> Answer:
    unlabelled = {card.dataset: card.images - card.labelled for card in facts.inputs.cards}
    said = ", ".join(f"{name} {count(number)}" for name, number in unlabelled.items())
    return Answer(f"nothing is imputed; images without any label, left out: {said or 'none'}", "ledger")


def _identifiers(facts: Facts) -> Answer:
    kinds: dict[str, list[str]] = {}
    for dataset in facts.inputs.tree.datasets:
        params = facts.provenance.run("index_inputs", dataset).params
        kind = params.get("identifiers", "None")
        if kind == "None":  # the default of its layout
            kind = "keyed" if params.get("layout") == "folder" else "distributed"
        kinds.setdefault("as distributed" if kind == "distributed" else "keyed", []).append(dataset)
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())
    return Answer(f"identifiers {listed}; ages of 90 and above are one value")


def _labels(facts: Facts) -> Answer | None:
    found = [f"{card.dataset}: {', '.join(map(words, card.findings))}" for card in facts.inputs.cards]
    return Answer(f"read as distributed; {'; '.join(found)}", "cards") if found else None


def _split(facts: Facts) -> Answer:
    parts = [
        f"{card.dataset}: " + ", ".join(f"{name} {count(part.images)} images, {count(part.positives)} positive"
                                        for name, part in card.splits.items())
        for card in facts.inputs.cards
    ]  # fmt: skip
    own = ", ".join(f"{name} {counted(part.pairs, 'pair')}" for name, part in facts.inputs.pairs.audit.splits.items())
    return Answer("; ".join([f"{facts.inputs.tree.pretrain_on}: {own}", *parts]), "methods")


def _disjoint(facts: Facts) -> Answer | None:
    if not facts.inputs.zero_shot:
        return None
    found = {each.dataset: each.result.overlap.found for each in facts.inputs.zero_shot}
    units = {card.dataset: card.split_by for card in facts.inputs.cards}
    said = []
    for name, own in found.items():
        overlaps = ", ".join(f"{words(kind)} {count(number)}" for kind, number in own.items())
        said.append(f"{name}: by {units[name]}, {overlaps or 'audited, no overlap found'}")
    return Answer("; ".join(said), "cards")


def _test_size(facts: Facts) -> Answer | None:
    sizes = [f"{card.dataset} {counted(card.splits['test'].images, 'test image')}" for card in facts.inputs.cards]
    return Answer(f"{', '.join(sizes)}; no calculation of a sample size", "cards") if sizes else None


def _external(facts: Facts) -> Answer:
    others = [name for name in facts.inputs.tree.evaluate_on if name != facts.inputs.tree.pretrain_on]
    said = f"evaluated on data sets that pre-training did not read: {', '.join(others)}" if others else "none"
    return Answer(f"{said}; whether they come from other centres is for the authors to say")


def _internal(facts: Facts) -> Answer:
    own = facts.inputs.tree.pretrain_on
    told = [*(["retrieval on its test part"] if facts.inputs.retrieval else []),
            *(["labels of its test part"] if own in facts.inputs.tree.evaluate_on else [])]  # fmt: skip
    return Answer(f"{own}: {', '.join(told) or 'none'}", "retrieval" if facts.inputs.retrieval else "")


def _uncertainty(facts: Facts) -> Answer:
    units = sorted({each.result.resampled_by for each in facts.inputs.zero_shot})
    by = f", resampled by {' or '.join(units)}" if units else ""
    return Answer(f"95 % bootstrap intervals{by}; paired bootstrap between variants with Holm's correction", "methods")


def _demographics(facts: Facts) -> Answer | None:
    said = [
        f"{each.dataset} (test): " + ", ".join(f"{name} stated for {count(number)} of {count(each.result.test_images)}"
                                               for name, number in each.result.stated.items())
        for each in described(facts.inputs)
    ]  # fmt: skip
    return Answer("; ".join(said), "subgroups") if said else None


def _performance(facts: Facts) -> Answer | None:
    said = [f"zero-shot AUC of {each.variant} on {each.dataset} {interval(each.result.metrics['auc'])}"
            for each in described(facts.inputs)]  # fmt: skip
    return Answer("; ".join(said) + "; by sex, age and view where stated", "subgroups") if said else None


def _points(facts: Facts) -> Answer | None:
    said = []
    for each in described(facts.inputs):
        if (only := each.result.only) is not None:
            said.append(f"{each.dataset} at the Youden index: {point_summary(only.operating_points['youden'])}")
        else:
            said.append(f"{each.dataset}: {counted(len(each.result.findings), 'finding')}")
    return Answer("; ".join(said), "operating-points") if said else None


def _thresholds(facts: Facts) -> Answer | None:
    if not facts.inputs.zero_shot:
        return None
    return Answer(f"a score; thresholds chosen on validation: {', '.join(POINT_NAMES.values())}", "operating-points")


def _failures(facts: Facts) -> Answer | None:
    if not facts.inputs.zero_shot:
        return None
    shown = any(each.samples for each in described(facts.inputs))
    text = "confusion matrices; correctly and incorrectly classified radiographs, drawn by seed"
    return Answer(text if shown else "confusion matrices; radiographs are not published", "judged-images")


def _calibration(facts: Facts) -> Answer | None:
    found = {own.calibration.method for each in facts.inputs.zero_shot for own in each.result.findings.values()
             if own.calibration}  # fmt: skip
    return Answer(f"scores calibrated on validation by {', '.join(sorted(found))}", "zero-shot") if found else None


def _metrics(facts: Facts) -> Answer:
    curves = ["ROC", "precision-recall"] if facts.inputs.zero_shot else []
    curves += ["reliability"] if _calibration(facts) else []
    curves += ["decision"] if any(own.net_benefit for each in facts.inputs.zero_shot
                                  for own in each.result.findings.values()) else []  # fmt: skip
    plots = f"; curves: {', '.join(curves)}" if curves else ""
    return Answer(f"AUC, average precision, F1, accuracy, sensitivity, specificity, PPV, NPV{plots}", "methods")


def _ablation(facts: Facts) -> Answer | None:
    others = facts.inputs.tree.variants
    return Answer(f"variants compared: {', '.join(others)}", "ablation") if len(others) > 1 else None


def _heatmaps(facts: Facts) -> Answer | None:
    return Answer("pointing game and heatmaps beside baselines", "pointing") if facts.inputs.grounding else None


def _software(facts: Facts) -> Answer:
    return Answer(f"images of the stages with pinned packages; {_commits(facts.provenance)}", "provenance")


def _code(facts: Facts) -> Answer:
    return Answer(f"{_commits(facts.provenance)}; a checkpoint per variant in the workspace", "provenance")


def _commits(provenance: Provenance) -> str:
    known = [commit[:12] for commit, _ in provenance.commits if commit]
    return f"code: commit {', '.join(dict.fromkeys(known))}" if known else "code: commit unknown"


def _licenses(facts: Facts) -> Answer | None:
    said = [f"{card.dataset}: {card.license}" for card in facts.inputs.cards]
    return Answer("; ".join(said), "cards") if said else None


ANSWERS: dict[str, Answer | Callable[[Facts], Answer | None]] = {
    "method": Answer("deep learning: language-image pre-training, classification by prompts", "methods"),
    "sources": _sources, "excluded": _excluded, "flow": _flow, "missing": _missing, "identifiers": _identifiers,
    "labels": _labels, "split": _split, "disjoint": _disjoint, "test_size": _test_size, "external": _external,
    "internal": _internal, "uncertainty": _uncertainty, "demographics": _demographics, "performance": _performance,
    "points": _points, "thresholds": _thresholds, "failures": _failures, "calibration": _calibration,
    "metrics": _metrics, "ablation": _ablation, "heatmaps": _heatmaps, "software": _software, "code": _code,
    "licenses": _licenses,
    "preprocessing": Answer("display values by the DICOM standard, square images, sentences of reports", "methods"),
    "predictors": Answer("the radiograph alone; age, sex and view only split the figures"),
    "training": Answer("settings of pre-training, curves", "training"),
    "selection": Answer("by a score on validation", "training"),
    "ensemble": Answer("one model; the embeddings of the prompts of a set are averaged", "methods"),
    "imbalance": Answer("none in zero-shot classification"),
    "fairness": Answer("none in training; figures by sex, age and view where they are stated"),
    "cautions": Answer("warnings of this run: on the console and in the journals"),
    "refused": Answer("images that cannot be read as the standard says are rejected with a reason", "ledger"),
}  # fmt: skip
