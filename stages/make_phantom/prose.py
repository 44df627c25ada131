"""A radiologist's report on one study. Every statement about a finding is true of the drawn image."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import phrases
from .anatomy import SIDES
from .canvas import FrontalView
from .contract import FINDINGS, Finding
from .devices import Device
from .findings import AnyFinding, Cardiomegaly, Effusion, Nodule, Opacity, Pneumothorax

# Probability that the absence of a finding is stated.
_DENIED = {
    "lung_opacity": 0.85,
    "pneumothorax": 0.85,
    "pleural_effusion": 0.85,
    "cardiomegaly": 0.75,
    "nodule": 0.12,
    "support_device": 0.08,
}
_WITHOUT_PLACE = 0.3  # share of positive statements that name no place


@dataclass(frozen=True)
class Facts:
    """Facts that a report may mention."""

    findings: tuple[AnyFinding, ...]
    view: FrontalView
    lateral: bool
    low_volumes: bool
    millimetres: float  # of a thorax unit
    age: int
    sex: str  # F | M

    def of(self, finding: Finding) -> list[AnyFinding]:
        """Return the findings of one kind."""
        return [item for item in self.findings if item.finding == finding]


def write_report(rng: np.random.Generator, facts: Facts) -> str:
    """Write the whole report in MIMIC-CXR's format: centred title, headers in capitals, text wrapped and indented."""
    shape = rng.random()  # 8 % have no FINDINGS, 8 % no IMPRESSION
    parts = [_examination(facts), _indication(rng, facts)]
    if rng.random() < 0.5:
        parts.append(("COMPARISON", str(rng.choice(["___", "None.", "Chest radiograph ___."]))))
    if shape >= 0.08:
        parts.append(("FINDINGS", " ".join(_findings(rng, facts))))
    if shape < 0.92:
        parts.append(("IMPRESSION", _impression(rng, facts, complete=shape < 0.08)))
    text = " " * 33 + "FINAL REPORT\n"
    for header, body in parts:
        paragraphs = [textwrap.fill(line, 78, initial_indent=" ", subsequent_indent=" ") for line in body.split("\n")]
        joined = "\n".join(paragraphs)
        text += (
            f" {header}: {joined}\n\n" if header not in ("FINDINGS", "IMPRESSION") else f" {header}: \n\n{joined}\n\n"
        )
    return text


def _examination(facts: Facts) -> tuple[str, str]:
    views = "PORTABLE AP" if facts.view == "AP" and not facts.lateral else facts.view
    return "EXAMINATION", f"CHEST ({views}{' AND LAT' if facts.lateral else ''})"


def _indication(rng: np.random.Generator, facts: Facts) -> tuple[str, str]:
    person = "woman" if facts.sex == "F" else "man"
    symptom, question = _pick(rng, phrases.SYMPTOMS), _pick(rng, phrases.QUESTIONS)
    return "INDICATION", f"___ year old {person} with {symptom}  // {question}"


def _findings(rng: np.random.Generator, facts: Facts) -> list[str]:
    """Return sentences by subject: devices, lungs, pleura, heart, rest; in some reports the heart comes first."""
    devices, lungs = positives(rng, facts, "support_device"), _lungs(rng, facts)
    pleura = positives(rng, facts, "pneumothorax") + positives(rng, facts, "pleural_effusion")
    heart = positives(rng, facts, "cardiomegaly")
    denied = _denials(rng, facts)
    if facts.low_volumes and rng.random() < 0.7:
        lungs.insert(0, _pick(rng, phrases.LOW_VOLUMES))
    other = [_pick(rng, phrases.OTHER)] if rng.random() < 0.5 else []
    blocks = [devices, lungs, pleura, denied, heart, other]
    if rng.random() < 0.3:
        blocks = [heart, devices, lungs, pleura, denied, other]
    sentences = [sentence for block in blocks for sentence in block]
    return _glue(rng, sentences or [_pick(rng, phrases.NOTHING_ACUTE)])


def _impression(rng: np.random.Generator, facts: Facts, complete: bool) -> str:
    """Return the positive findings again in other words; `complete` where there is no FINDINGS section."""
    lines: list[str] = []
    for finding in ("lung_opacity", "pneumothorax", "pleural_effusion", "cardiomegaly", "nodule", "support_device"):
        if complete or rng.random() < (0.35 if finding == "support_device" else 0.9):
            said = positives(rng, facts, finding)
            lines += [" ".join(said)] if said else []
    acute = any(item.finding != "support_device" for item in facts.findings)
    if not acute:
        lines.append(_pick(rng, phrases.NOTHING_ACUTE))
    if complete:
        lines += _denials(rng, facts)
    elif acute and rng.random() < 0.3:
        lines += _denials(rng, facts)[:1]
    if facts.of("pneumothorax") and rng.random() < 0.5:
        lines.append(_pick(rng, phrases.DISCUSSED))
    if not lines:  # every positive was left to FINDINGS
        lines = [" ".join(positives(rng, facts, facts.findings[0].finding))]
    if len(lines) > 1 and rng.random() < 0.6:
        return "\n".join(f"{rank}.  {line}" for rank, line in enumerate(lines, 1))
    return " ".join(lines)


def _glue(rng: np.random.Generator, sentences: list[str]) -> list[str]:
    """Omit, now and then, the blank after a full stop, as in typed reports."""
    if len(sentences) > 1 and rng.random() < 0.02:
        return [sentences[0] + sentences[1], *sentences[2:]]
    return sentences


def positives(rng: np.random.Generator, facts: Facts, finding: Finding) -> list[str]:
    """Return sentences that affirm a finding, or none where it is absent."""
    present = facts.of(finding)
    if not present:
        return []
    if finding == "lung_opacity":
        return _opacities(rng, facts, [item for item in present if isinstance(item, Opacity)])
    if finding == "pneumothorax":
        return _pneumothoraces(rng, [item for item in present if isinstance(item, Pneumothorax)])
    if finding == "pleural_effusion":
        return _effusions(rng, [item for item in present if isinstance(item, Effusion)])
    if finding == "cardiomegaly":
        return [_cardiomegaly(rng, item) for item in present if isinstance(item, Cardiomegaly)]
    if finding == "nodule":
        return _nodules(rng, [item for item in present if isinstance(item, Nodule)])
    return _devices(rng, [item for item in present if isinstance(item, Device)])


def _opacities(rng: np.random.Generator, facts: Facts, foci: list[Opacity]) -> list[str]:
    words = _opacity_words(rng, foci[0] if len(foci) == 1 else None, facts)
    sides = {focus.side for focus in foci}
    if rng.random() < _WITHOUT_PLACE:
        pool: Sequence[str] = phrases.OPACITY_UNPLACED if len(foci) == 1 else phrases.OPACITY_UNPLACED_MULTIPLE
        if len(foci) > 1 and len(sides) == 2 and rng.random() < 0.4:
            pool = phrases.OPACITY_BILATERAL
        elif len(sides) == 1 and rng.random() < 0.3:
            pool = phrases.OPACITY_SIDED
        return [_say(_pick(rng, pool), side=foci[0].side, **words)]
    if len(foci) > 1 and rng.random() < 0.6:
        places = [_pick(rng, phrases.PLACES[focus.side, focus.zone]) for focus in foci]
        return [_say(_pick(rng, phrases.OPACITY_MULTIPLE), places=_joined(places, "and"), **words)]
    said = []
    for focus in foci:
        where = _where(rng, focus)
        said.append(_say(_pick(rng, phrases.OPACITY_PLACED), **_opacity_words(rng, focus, facts), **where))
    return said


def _opacity_words(rng: np.random.Generator, focus: Opacity | None, facts: Facts) -> dict[str, str]:
    """Return a noun with its article and plural; a single focus may also have its size and diameter stated."""
    noun, nouns = phrases.OPACITY_NOUNS[rng.integers(len(phrases.OPACITY_NOUNS))]
    if focus is None:
        return {"noun": noun, "nouns": nouns, "a_noun": _with_article(noun)}
    size, bare = focus.size if rng.random() < 0.4 else "", noun
    noun = f"{size} {noun}".strip()
    diameter = 2 * max(focus.semi_axes) * facts.millimetres / 10
    words = {"noun": noun, "nouns": nouns, "a_noun": _with_article(noun), "bare": bare, "size": size}
    return words | {"cm": f"{diameter:.1f}"}


def _where(rng: np.random.Generator, focus: Opacity | Nodule) -> dict[str, str]:
    place = _pick(rng, phrases.PLACES[focus.side, focus.zone])
    return {"place": place, "adjective": _pick(rng, phrases.ADJECTIVES[focus.side, focus.zone])}


def _pneumothoraces(rng: np.random.Generator, gas: list[Pneumothorax]) -> list[str]:
    if rng.random() < _WITHOUT_PLACE:
        if len(gas) == 2:
            return [_pick(rng, phrases.PNEUMOTHORAX_BILATERAL)]
        return [_say(_pick(rng, phrases.PNEUMOTHORAX_UNPLACED), size=_size(rng, gas[0].size))]
    said = []
    for item in gas:
        pool = phrases.PNEUMOTHORAX_PLACED + (phrases.PNEUMOTHORAX_APICAL if item.zone == "upper" else ())
        said.append(_say(_pick(rng, pool), size=_size(rng, item.size), side=item.side, cm=f"{item.apical_cm:.1f}"))
    return said


def _effusions(rng: np.random.Generator, fluid: list[Effusion]) -> list[str]:
    if len(fluid) == 2 and rng.random() < 0.6:
        larger, smaller = sorted(fluid, key=lambda item: -item.depth)
        return [_say(_pick(rng, phrases.EFFUSION_BILATERAL), larger=larger.side, smaller=smaller.side)]
    if len(fluid) == 1 and rng.random() < _WITHOUT_PLACE:
        return [_say(_pick(rng, phrases.EFFUSION_UNPLACED), size=_size(rng, fluid[0].size))]
    said = []
    for item in fluid:
        pool = phrases.EFFUSION_PLACED + (phrases.EFFUSION_SMALL if item.size == "small" else ())
        said.append(_say(_pick(rng, pool), size=item.size, side=item.side))
    return said


def _cardiomegaly(rng: np.random.Generator, heart: Cardiomegaly) -> str:
    degree, adverb = phrases.DEGREES[heart.size]
    return _say(_pick(rng, phrases.CARDIOMEGALY), degree=degree, degree_adverb=adverb)


def _nodules(rng: np.random.Generator, nodules: list[Nodule]) -> list[str]:
    said = []
    for item in nodules:
        pool = phrases.NODULE_UNPLACED if rng.random() < _WITHOUT_PLACE else phrases.NODULE_PLACED
        said.append(_say(_pick(rng, pool), cm=f"{item.diameter_cm:.1f}", **_where(rng, item)))
    return said


def _devices(rng: np.random.Generator, devices: list[Device]) -> list[str]:
    if rng.random() < 0.2:
        return [_pick(rng, phrases.DEVICES_GENERAL)]
    return [
        _say(_pick(rng, phrases.DEVICES[item.kind]), side=item.side or "", cm=f"{item.tip_cm or 0:.1f}")
        for item in devices
    ]


def _lungs(rng: np.random.Generator, facts: Facts) -> list[str]:
    """Return sentences about opacities and nodules, and about the clear side if only one is affected."""
    said = positives(rng, facts, "lung_opacity") + positives(rng, facts, "nodule")
    lung = [item for item in facts.findings if item.finding != "support_device" and item.side]
    clear = [side for side in SIDES if all(item.side != side for item in lung)]
    if said and len(clear) == 1 and rng.random() < 0.25:
        said.append(_say(_pick(rng, phrases.SIDE_CLEAR), side=clear[0]))
    return said


def _denials(rng: np.random.Generator, facts: Facts) -> list[str]:
    """Return what is said to be absent: joined, one by one, or by boilerplate."""
    absent = [name for name in FINDINGS if not facts.of(name)]
    denied = [name for name in absent if rng.random() < _DENIED[name]]
    said: list[str] = []
    if {"lung_opacity", "nodule"} <= set(absent) and "lung_opacity" in denied and rng.random() < 0.35:
        said.append(_pick(rng, phrases.LUNGS_CLEAR))
        denied.remove("lung_opacity")
    joined = [name for name in ("lung_opacity", "pleural_effusion", "pneumothorax") if name in denied]
    if len(joined) > 1 and rng.random() < 0.6:
        nouns = [_pick(rng, phrases.NEGATED_NOUNS[name]) for name in joined]
        said.append(_say(_pick(rng, phrases.NEGATIONS_JOINED), nouns=_joined(nouns, "or")))
        denied = [name for name in denied if name not in joined]
    return said + [_pick(rng, phrases.NEGATIONS[name]) for name in denied]


def _pick(rng: np.random.Generator, pool: Sequence[str]) -> str:
    """Draw one of the pool; earlier ones more often, as habits make boilerplate."""
    weights = 1 / np.arange(1, len(pool) + 1) ** 0.4
    return pool[int(rng.choice(len(pool), p=weights / weights.sum()))]


def _size(rng: np.random.Generator, size: str) -> str:
    return size if rng.random() < 0.75 else ""


def _joined(items: list[str], word: str) -> str:
    """Join words: "a", "a or b", "a, b or c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def _with_article(noun: str) -> str:
    return noun if noun.endswith("disease") else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _say(template: str, **words: str) -> str:
    """Fill a template, remove blanks that empty words leave, and start with a capital."""
    text = re.sub(r" +", " ", template.format(**words)).replace(" ,", ",").strip()
    return text[0].upper() + text[1:]
