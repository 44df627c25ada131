"""Reports say what is drawn and nothing else: checked with word lists and negation rules of our own."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from stages.make_phantom.contract import FINDINGS, MakePhantomSettings
from stages.make_phantom.findings import Cardiomegaly, Effusion, Nodule, Opacity, Pneumothorax
from stages.make_phantom.patients import rng_of, sample_study
from stages.make_phantom.prose import Facts, write_report

SETTINGS = MakePhantomSettings()

WORDS = {
    "lung_opacity": r"consolidations?|opacity|opacities|infiltrates?|pneumonia|airspace disease",
    "pneumothorax": r"pneumothorax|pneumothoraces",
    "pleural_effusion": r"effusions?",
    "cardiomegaly": r"cardiomegaly|enlarged|enlargement",
    "nodule": r"nodules?",
    "support_device": r"tubes?|catheter|(?<!pleural )line|lines|picc|pacemaker|devices?|drain",
}
# Sentences that deny a finding without negating a word of its list.
DENIALS = {
    "lung_opacity": r"lungs are clear|clear lungs",
    "nodule": r"lungs are clear|clear lungs",
    "pleural_effusion": r"angles are sharp",
    "cardiomegaly": r"(heart|silhouette).*(normal|unremarkable)",
}
NEGATION = re.compile(r"\b(no|not|without)\b", re.IGNORECASE)


def body(report: str) -> str:
    """FINDINGS and IMPRESSION, on one line."""
    found = re.findall(r" (?:FINDINGS|IMPRESSION): (.*?)(?=\n [A-Z]+: |\Z)", report, re.DOTALL)
    return " ".join(" ".join(found).split())


def sentences(text: str) -> list[str]:
    text = re.sub(r"\bDr\. ", "Dr ", text).replace("p.m. on", "pm on").replace("a.m.", "am.")
    text = re.sub(r"(?<=[a-z_])\.(?=[A-Z])", ". ", text)
    return [part for part in re.split(r"(?<=\.)\s+|(?<=;)\s+", text) if not re.fullmatch(r"\d+\.", part)]


def mentions(sentence: str, finding: str) -> tuple[int, int]:
    """How often a sentence affirms and denies a finding: a negation holds from its word to the end."""
    negation = NEGATION.search(sentence)
    scope = negation.start() if negation else len(sentence)
    places = [match.start() for match in re.finditer(rf"\b({WORDS[finding]})\b", sentence, re.IGNORECASE)]
    denied = sum(place > scope for place in places)
    denied += finding in DENIALS and bool(re.search(DENIALS[finding], sentence, re.IGNORECASE))
    return sum(place < scope for place in places), denied


@pytest.fixture(scope="module")
def corpus() -> list[tuple[Facts, str]]:
    """600 studies with their reports."""
    entries = []
    for patient in range(600):
        study = sample_study(SETTINGS, "mimic_cxr", patient, 0)
        anatomy = study.anatomy
        facts = Facts(
            study.findings, study.view, patient % 9 == 0, anatomy.low_volumes, anatomy.millimetres, study.age, "F"
        )
        entries.append((facts, write_report(rng_of(patient, "report"), facts)))
    return entries


@pytest.mark.parametrize("finding", FINDINGS)
def test_present_is_affirmed_never_denied_and_absent_never_affirmed(corpus, finding):
    denied_somewhere = 0
    for facts, report in corpus:
        counts = [mentions(sentence, finding) for sentence in sentences(body(report))]
        affirmed, denied = (sum(column) for column in zip(*counts, strict=True))
        if facts.of(finding):
            assert affirmed > 0, report
            assert denied == 0, report
        else:
            assert affirmed == 0, report
            denied_somewhere += denied > 0
    absent = sum(not facts.of(finding) for facts, _ in corpus)
    usual = finding not in ("nodule", "support_device")
    assert denied_somewhere > (0.5 if usual else 0.03) * absent


@pytest.mark.parametrize("finding", FINDINGS)
def test_no_wording_occurs_only_negated(corpus, finding):
    """Each word of a finding that is ever denied is also affirmed, with a place and without one."""
    place = re.compile(r"\b(right|left|bilateral|lobe|base|apex)\b", re.IGNORECASE)
    affirmed, denied, unplaced = Counter(), Counter(), 0
    for _, report in corpus:
        for sentence in sentences(body(report)):
            words = {word.lower() for word in re.findall(rf"\b(?:{WORDS[finding]})\b", sentence, re.IGNORECASE)}
            (denied if NEGATION.search(sentence) else affirmed).update(words)
            unplaced += bool(words) and not NEGATION.search(sentence) and not place.search(sentence)
    assert set(denied) <= set(affirmed) | {"pacemaker", "catheter", "lines", "tubes", "devices"}
    assert unplaced > 10
    if finding == "lung_opacity":
        assert min(affirmed[word] for word in ("consolidation", "opacity", "infiltrate", "pneumonia")) > 20


def test_said_sides_and_zones_are_those_drawn(corpus):
    zone_words = {
        "upper": r"upper|apex|apical",
        "mid": r"\bmid\b|middle|lingul",
        "lower": r"lower|\bbase\b|basilar",
    }
    for facts, report in corpus:
        for sentence in sentences(body(report)):
            for finding in ("lung_opacity", "pneumothorax", "pleural_effusion", "nodule"):
                if not mentions(sentence, finding)[0]:
                    continue
                items = facts.of(finding)
                said = {side for side in ("right", "left") if re.search(rf"\b{side}\b", sentence, re.IGNORECASE)}
                assert said <= {item.side for item in items}, report
                if finding in ("lung_opacity", "nodule"):
                    zones = {zone for zone, words in zone_words.items() if re.search(words, sentence, re.IGNORECASE)}
                    assert zones <= {item.zone for item in items}, report


def test_said_sizes_and_measures_are_true(corpus):
    for facts, report in corpus:
        for sentence in sentences(body(report)):
            if mentions(sentence, "pneumothorax")[0]:
                kinds, measures = Pneumothorax, [f"{i.apical_cm:.1f}" for i in facts.of("pneumothorax")]
            elif mentions(sentence, "nodule")[0]:
                kinds, measures = Nodule, [f"{i.diameter_cm:.1f}" for i in facts.of("nodule")]
            elif mentions(sentence, "pleural_effusion")[0]:
                kinds, measures = Effusion, []
            elif mentions(sentence, "lung_opacity")[0]:
                foci = facts.of("lung_opacity")
                kinds, measures = Opacity, [f"{2 * max(i.semi_axes) * facts.millimetres / 10:.1f}" for i in foci]
            else:
                continue
            sizes = {item.size for item in facts.findings if isinstance(item, kinds)}
            assert set(re.findall(r"\b(small|moderate|large)\b", sentence.lower())) <= sizes, report
            assert set(re.findall(r"(\d+\.\d) cm", sentence)) <= set(measures), report


def test_degree_of_cardiomegaly_is_the_hearts(corpus):
    degrees = {"small": "mild", "moderate": "moderate", "large": "severe"}
    for facts, report in corpus:
        for item in facts.findings:
            if isinstance(item, Cardiomegaly):
                said = set(re.findall(r"(mild|moderate|severe)(?:ly)? (?:cardiomegaly|enlarge)", body(report).lower()))
                assert said <= {degrees[item.size]}, report


def test_a_clear_side_has_nothing_in_it(corpus):
    seen = 0
    for facts, report in corpus:
        for side in re.findall(r"\b(right|left) lung is clear", body(report).lower()):
            seen += 1
            assert all(item.side != side for item in facts.findings if item.finding != "support_device"), report
    assert seen > 5


def test_form_of_the_reports(corpus):
    reports = [report for _, report in corpus]
    without = Counter(name for report in reports for name in ("FINDINGS:", "IMPRESSION:") if name not in report)
    assert 0.04 * len(reports) < without["FINDINGS:"] < 0.13 * len(reports)
    assert 0.04 * len(reports) < without["IMPRESSION:"] < 0.13 * len(reports)
    for report in reports:
        assert report.lstrip().startswith("FINAL REPORT\n")
        assert "FINDINGS:" in report or "IMPRESSION:" in report
        assert body(report)
        assert max(map(len, report.splitlines())) <= 110
        assert not re.search(r"[{}]|  \w|\b(\w+) \1\b", body(report)), report  # unfilled, doubled blanks or words
        assert not re.search(r"\ba [aeio]|\ban [^aeio]", body(report), re.IGNORECASE), report
    text = "\n".join(reports)
    for trap in ("Dr. ___", " cm ", "p.m.", " 1.  ", "___"):
        assert trap in text
    assert re.search(r"[a-z]\.[A-Z]", text)  # a missing blank after a stop


def test_boilerplate_recurs_and_positives_vary(corpus):
    said = Counter(sentence for _, report in corpus for sentence in sentences(body(report)))
    assert said["No pneumothorax."] > 20
    assert said["The cardiomediastinal silhouette is normal."] > 20
    affirmed = [s for s in said if mentions(s, "lung_opacity")[0]]
    assert len(affirmed) > 120
    assert 0.15 < len(said) / said.total() < 0.6  # real reports: 37 % of sentences are unique


def test_a_report_is_a_function_of_its_generator(corpus):
    facts, report = corpus[3]
    assert write_report(rng_of(3, "report"), facts) == report
    assert any(write_report(np.random.default_rng(k), facts) != report for k in range(3))
    healthy = replace(facts, findings=())
    assert not any(mentions(s, "pneumothorax")[0] for s in sentences(body(write_report(rng_of(3, "report"), healthy))))
