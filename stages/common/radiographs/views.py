"""Views of a radiograph: from any text (an index's column, an element of the header) to one of a few terms.

Data sets write a view in many ways: `AP SUPINE`, `AP_horizontal`, `PA ERECT`, `LL`, `Frontal`, `postero-anterior`. A
word says the direction of the beam; words of another kind (erect, portable, chest) are ignored.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, get_args

View = Literal["PA", "AP", "FRONTAL", "LATERAL", "OBLIQUE", "DECUBITUS", "AXIAL", "OTHER"]
# FRONTAL: PA or AP, which of them is not stated. OTHER: something is stated, but none or several of these views.
VIEWS: tuple[View, ...] = get_args(View)

_MISSING = frozenset(["", "NAN", "NONE", "NULL", "NA", "N/A", "N.A.", "UNKNOWN", "UNK", "UNSPECIFIED", "NOT STATED",
                      "MISSING", "-", "--", "?", ".", "0"])  # fmt: skip
_COMPOUNDS = (  # two directions that name one beam, before the text is split into words
    (re.compile(r"(?<![A-Z])POST(?:ERO|ERIOR)?[\s_./-]*(?:TO[\s_-]*)?ANT(?:ERIORE?|ERIEUR|ERIOR)?(?![A-Z])"), " PA "),
    (re.compile(r"(?<![A-Z])ANT(?:ERO|ERIOR)?[\s_./-]*(?:TO[\s_-]*)?POST(?:ERIORE?|ERIEUR|ERIOR)?(?![A-Z])"), " AP "),
    (re.compile(r"(?<![A-Z.])P[./-]A(?![A-Z])"), " PA "),
    (re.compile(r"(?<![A-Z.])A[./-]P(?![A-Z])"), " AP "),
)
_WORDS: dict[str, View] = {
    "PA": "PA", "AP": "AP", "FRONTAL": "FRONTAL", "FRENTE": "FRONTAL", "FACE": "FRONTAL",
    **dict.fromkeys(["LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT", "LATERALE", "LATERALS", "PERFIL", "PROFIL",
                     "PROFILE", "SEITLICH", "SEITLICHE", "SEITL"], "LATERAL"),
    **dict.fromkeys(["OBLIQUE", "OBLIQUES", "OBL", "OBLIQUA", "OBLICUA", "LAO", "RAO", "LPO", "RPO", "LLO", "RLO",
                     "SCHRAEG"], "OBLIQUE"),
    **dict.fromkeys(["DECUBITUS", "DECUB", "DECUBS", "DECUBITO", "LLD", "RLD"], "DECUBITUS"),
    **dict.fromkeys(["AXIAL", "LORDOTIC", "APICAL"], "AXIAL"),
}  # fmt: skip
_MODIFIERS: tuple[View, ...] = ("DECUBITUS", "AXIAL", "OBLIQUE")  # `AP AXIAL`, `PA LLD`, `AP OBLIQUE` are not AP or PA
# In a longer text L or R is a side, unless it is joined to another view: `PA + L`, `L/PA`.
_JOIN = r"(?:[+&/\\]|(?<![A-Z])(?:AND|UND|U\.?|ET|E|Y)(?![A-Z]))"
_JOINED_SIDE = re.compile(rf"{_JOIN}\s*[LR](?![A-Z])|(?<![A-Z])[LR]\s*{_JOIN}")
_NEGATIONS = frozenset(["NOT", "NO", "NON", "NICHT", "KEIN", "KEINE", "PAS", "NEITHER", "NOR"])
_SUPINE = frozenset(["SUPINE", "SUPINO", "DORSAL", "PRONE"])  # `decubito supino` is lying on the back, not the side


def normalise_view(text: str | None) -> View | None:
    """Return the one view that a text names, OTHER where it names none or several, None where it states nothing."""
    folded = (text or "").strip(" \0").upper()
    if folded in _MISSING:
        return None
    if folded in ("L", "R"):  # PadChest's lateral; within a longer text it may be a side
        return "LATERAL"
    for pattern, view in _COMPOUNDS:
        folded = pattern.sub(view, folded)
    words = re.findall(r"[A-Z]+", _JOINED_SIDE.sub(" LATERAL ", folded))
    if any(word in _NEGATIONS and following in _WORDS for word, following in pairwise(words)):
        return "OTHER"
    named = {_WORDS[word] for word in words if word in _WORDS}
    if _SUPINE & set(words):
        named -= {"DECUBITUS"}
    if "DECUBITUS" in named:
        named -= {"LATERAL"}  # `left lateral decubitus` says on which side the patient lies
    modifiers = [view for view in _MODIFIERS if view in named]
    directions = named - set(_MODIFIERS)
    if directions and directions <= {"PA", "AP", "FRONTAL"}:
        direction = directions - {"FRONTAL"} or {"FRONTAL"}
        directions = {"FRONTAL"} if len(direction) > 1 else direction
    if len(directions) > 1 or len(modifiers) > 1 or not named:
        return "OTHER"
    return modifiers[0] if modifiers else directions.pop()


def view_described_by(text: str | None) -> View | None:
    """Return the one view that a description names, else None: it often covers a whole study ("PA and lateral")."""
    view = normalise_view(text)
    return None if view == "OTHER" or re.fullmatch(r"\s*[LR]\s*", text or "", re.IGNORECASE) else view


def rule_for_missing(rule: Literal["auto", "accept", "reject"], views: Iterable[str | None]) -> str:
    """Return "accept" or "reject", given `views_missing` and the views in the index.

    For "auto" the index decides: where it names the views of other files, a file without one may well be lateral.
    """
    if rule != "auto":
        return rule
    return "reject" if any(normalise_view(view) for view in views) else "accept"  # "UNKNOWN" names none


def accepted_views(views: Iterable[str]) -> frozenset[View]:
    """Return the views that the setting `views` accepts: FRONTAL stands for PA and AP, and both of them for it.

    Raises ValueError for a text that is no view.
    """
    accepted: set[View] = set()
    for text in views:
        view = normalise_view(text)
        if view is None or (view == "OTHER" and text.strip().upper() != "OTHER"):
            raise ValueError(f"{text!r} is no view: use {', '.join(VIEWS)}")
        accepted.add(view)
    if "FRONTAL" in accepted or accepted >= {"PA", "AP"}:
        accepted |= {"PA", "AP", "FRONTAL"}
    return frozenset(accepted)
