"""What this run says by itself to the items of reporting checklists, and the file in which authors complete them."""

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


class Answer(NamedTuple):
    """What a run says, and the anchor of the section with the whole of it; an empty anchor: nowhere else."""

    text: str
    anchor: str = ""


class Answered(NamedTuple):
    """An item with its answer; None where a run knows nothing of it."""

    item: Item
    answer: Answer | None


def answered(inputs: Inputs, provenance: Provenance, ledger: Ledger) -> dict[str, list[Answered]]:
    """Return the items of each checklist with what this run says."""
    made: dict[str, Answer | None] = {"": None}
    for key in {item.answer for items in CHECKLISTS.values() for item in items} - {""}:
        made[key] = _ANSWERS[key](inputs, provenance, ledger) or Answer(NOT_HERE)
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


def _sources(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    pairs = inputs.pairs.audit.splits["train"]
    labelled = [f"{card.dataset} ({counted(card.labelled, 'image')})" for card in inputs.cards]
    text = f"pre-training: {inputs.tree.pretrain_on} ({counted(pairs.patients, 'patient')} in training)"
    return Answer(f"{text}; evaluation: {', '.join(labelled) or 'none'}", "cards" if labelled else "methods")


def _excluded(_inputs: Inputs, _provenance: Provenance, ledger: Ledger) -> Answer:
    reasons = dict.fromkeys(words(each.reason) for each in ledger.rejects if each.count)
    return Answer(f"left out here, each with its reason: {', '.join(reasons) or 'nothing'}", "ledger")


def _flow(_inputs: Inputs, _provenance: Provenance, ledger: Ledger) -> Answer:
    kept = [
        f"{each.dataset}: {count(each.images)} of {counted(each.indexed, 'indexed image')}" for each in ledger.images
    ]
    return Answer("; ".join(kept), "ledger")


def _missing(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    unlabelled = {card.dataset: card.images - card.labelled for card in inputs.cards}
    said = ", ".join(f"{name} {count(number)}" for name, number in unlabelled.items())
    return Answer(f"nothing is imputed; images without any label, left out: {said or 'none'}", "ledger")


def _identifiers(inputs: Inputs, provenance: Provenance, _ledger: Ledger) -> Answer:
    kinds: dict[str, list[str]] = {}
    for dataset in inputs.tree.datasets:
        params = provenance.run("index_inputs", dataset).params
        kind = params.get("identifiers", "None")
        if kind == "None":  # the default of its layout
            kind = "keyed" if params.get("layout") == "folder" else "distributed"
        kinds.setdefault("as distributed" if kind == "distributed" else "keyed", []).append(dataset)
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())
    return Answer(f"identifiers {listed}; ages of 90 and above are one value")


def _labels(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    found = [f"{card.dataset}: {', '.join(map(words, card.findings))}" for card in inputs.cards]
    return Answer(f"read as distributed; {'; '.join(found)}", "cards") if found else None


def _split(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    parts = [
        f"{card.dataset}: " + ", ".join(f"{name} {count(part.images)} images, {count(part.positives)} positive"
                                        for name, part in card.splits.items())
        for card in inputs.cards
    ]  # fmt: skip
    own = ", ".join(f"{name} {counted(part.pairs, 'pair')}" for name, part in inputs.pairs.audit.splits.items())
    return Answer("; ".join([f"{inputs.tree.pretrain_on}: {own}", *parts]), "methods")


def _disjoint(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    if not inputs.zero_shot:
        return None
    found = {each.dataset: each.result.overlap.found for each in inputs.zero_shot}
    units = {card.dataset: card.split_by for card in inputs.cards}
    said = []
    for name, own in found.items():
        overlaps = ", ".join(f"{words(kind)} {count(number)}" for kind, number in own.items())
        said.append(f"{name}: by {units[name]}, {overlaps or 'audited, no overlap found'}")
    return Answer("; ".join(said), "cards")


def _test_size(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    sizes = [f"{card.dataset} {counted(card.splits['test'].images, 'test image')}" for card in inputs.cards]
    return Answer(f"{', '.join(sizes)}; no calculation of a sample size", "cards") if sizes else None


def _external(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    others = [name for name in inputs.tree.evaluate_on if name != inputs.tree.pretrain_on]
    said = f"evaluated on data sets that pre-training did not read: {', '.join(others)}" if others else "none"
    return Answer(f"{said}; whether they come from other centres is for the authors to say")


def _internal(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    own = inputs.tree.pretrain_on
    told = [*(["retrieval on its test part"] if inputs.retrieval else []),
            *(["labels of its test part"] if own in inputs.tree.evaluate_on else [])]  # fmt: skip
    return Answer(f"{own}: {', '.join(told) or 'none'}", "retrieval" if inputs.retrieval else "")


def _uncertainty(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    units = sorted({each.result.resampled_by for each in inputs.zero_shot})
    by = f", resampled by {' or '.join(units)}" if units else ""
    return Answer(f"95 % bootstrap intervals{by}; paired bootstrap between variants with Holm's correction", "methods")


def _demographics(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    said = [
        f"{each.dataset} (test): " + ", ".join(f"{name} stated for {count(number)} of {count(each.result.test_images)}"
                                               for name, number in each.result.stated.items())
        for each in described(inputs)
    ]  # fmt: skip
    return Answer("; ".join(said), "subgroups") if said else None


def _performance(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    said = [f"zero-shot AUC of {each.variant} on {each.dataset} {interval(each.result.metrics['auc'])}"
            for each in described(inputs)]  # fmt: skip
    return Answer("; ".join(said) + "; by sex, age and view where stated", "subgroups") if said else None


def _points(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    said = []
    for each in described(inputs):
        if (only := each.result.only) is not None:
            said.append(f"{each.dataset} at Youden: {point_summary(only.operating_points['youden'])}")
        else:
            said.append(f"{each.dataset}: {counted(len(each.result.findings), 'finding')}")
    return Answer("; ".join(said), "operating-points") if said else None


def _thresholds(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    if not inputs.zero_shot:
        return None
    return Answer(f"a score; thresholds chosen on validation: {', '.join(POINT_NAMES.values())}", "operating-points")


def _failures(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    if not inputs.zero_shot:
        return None
    shown = any(each.samples for each in described(inputs))
    text = "confusion matrices; radiographs judged right and wrong, drawn by seed"
    return Answer(text if shown else "confusion matrices; radiographs are not published", "judged-images")


def _calibration(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    found = {own.calibration.method for each in inputs.zero_shot for own in each.result.findings.values()
             if own.calibration}  # fmt: skip
    return Answer(f"scores calibrated on validation by {', '.join(sorted(found))}", "zero-shot") if found else None


def _metrics(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer:
    curves = ["ROC", "precision-recall"] if inputs.zero_shot else []
    curves += ["reliability"] if _calibration(inputs, _provenance, _ledger) else []
    curves += ["decision"] if any(own.net_benefit for each in inputs.zero_shot
                                  for own in each.result.findings.values()) else []  # fmt: skip
    plots = f"; curves: {', '.join(curves)}" if curves else ""
    return Answer(f"AUC, average precision, F1, accuracy, sensitivity, specificity, PPV, NPV{plots}", "methods")


def _ablation(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    others = inputs.tree.variants
    return Answer(f"variants compared: {', '.join(others)}", "ablation") if len(others) > 1 else None


def _heatmaps(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    return Answer("pointing game and heatmaps beside baselines", "pointing") if inputs.grounding else None


def _software(_inputs: Inputs, provenance: Provenance, _ledger: Ledger) -> Answer:
    return Answer(f"images of the stages with pinned packages; {_commits(provenance)}", "provenance")


def _code(_inputs: Inputs, provenance: Provenance, _ledger: Ledger) -> Answer:
    return Answer(f"{_commits(provenance)}; a checkpoint per variant in the workspace", "provenance")


def _commits(provenance: Provenance) -> str:
    known = [commit[:12] for commit, _ in provenance.commits if commit]
    return f"code: commit {', '.join(dict.fromkeys(known))}" if known else "code: commit unknown"


def _licenses(inputs: Inputs, _provenance: Provenance, _ledger: Ledger) -> Answer | None:
    said = [f"{card.dataset}: {card.license}" for card in inputs.cards]
    return Answer("; ".join(said), "cards") if said else None


def _constant(text: str, anchor: str = "") -> Callable[[Inputs, Provenance, Ledger], Answer]:
    return lambda _inputs, _provenance, _ledger: Answer(text, anchor)


_ANSWERS: dict[str, Callable[[Inputs, Provenance, Ledger], Answer | None]] = {
    "method": _constant("deep learning: language-image pre-training, classification by prompts", "methods"),
    "sources": _sources, "excluded": _excluded, "flow": _flow, "missing": _missing, "identifiers": _identifiers,
    "labels": _labels, "split": _split, "disjoint": _disjoint, "test_size": _test_size, "external": _external,
    "internal": _internal, "uncertainty": _uncertainty, "demographics": _demographics, "performance": _performance,
    "points": _points, "thresholds": _thresholds, "failures": _failures, "calibration": _calibration,
    "metrics": _metrics, "ablation": _ablation, "heatmaps": _heatmaps, "software": _software, "code": _code,
    "licenses": _licenses,
    "preprocessing": _constant("display values by the DICOM standard, square images, sentences of reports", "methods"),
    "predictors": _constant("the radiograph alone; age, sex and view only split the figures"),
    "training": _constant("settings of pre-training, curves", "training"),
    "selection": _constant("by a score on validation", "training"),
    "ensemble": _constant("none"),
    "imbalance": _constant("none in zero-shot classification"),
    "fairness": _constant("none in training; figures by sex, age and view where they are stated"),
    "cautions": _constant("warnings of this run: on the console and in the journals"),
    "refused": _constant("images that cannot be read as the standard says are rejected with a reason", "ledger"),
}  # fmt: skip
