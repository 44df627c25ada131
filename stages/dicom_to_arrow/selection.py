"""Which images go in: modality, view and body part, by the settings."""

from pydicom import Dataset

from stages.dicom_to_arrow.elements import items, text
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.settings import DicomToArrowSettings

# Terms that a message may name: PS3.3 C.7.3.1.1.1 (part of its list), C.8.1.2 and what MIMIC-CXR adds. Any other value
# could be a name that went into the wrong field, and is not repeated.
_MODALITIES = frozenset(["CR", "CT", "DX", "MG", "MR", "NM", "OT", "PT", "RF", "RTPLAN", "SEG", "SR", "US", "XA"])
_VIEWS = frozenset(["AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LATERAL", "AP AXIAL", "AP LLD", "PA LLD"])


def check_modality(dataset: Dataset, settings: DicomToArrowSettings) -> None:
    _check("wrong_modality", "Modality", text(dataset, "Modality"), settings.modalities, _MODALITIES)


def check_body_part(dataset: Dataset, settings: DicomToArrowSettings) -> None:
    _check("wrong_body_part", "BodyPartExamined", text(dataset, "BodyPartExamined"), settings.body_parts, {"CHEST"})


def check_view(view: str | None, settings: DicomToArrowSettings) -> None:
    """A view that nobody states is accepted or not by `views_missing`."""
    if view is None and settings.views and settings.views_missing == "reject":
        raise RejectionError("wrong_view", "neither the index nor the header names a view (views_missing: reject)")
    if view is not None:
        _check("wrong_view", "the view", view, settings.views, _VIEWS)


def view_of(index_view: str | None, dataset: Dataset | None) -> str | None:
    """The view by the first that states one: index, ViewPosition, View Code Sequence, PatientOrientation.

    PatientOrientation (C.7.6.1.1.1) tells lateral images only: there the rows run to the anterior or posterior side.
    """
    if index_view and index_view.strip():
        return index_view.strip().upper()
    if dataset is None:
        return None
    if position := text(dataset, "ViewPosition"):
        return position
    for code in items(dataset, "ViewCodeSequence"):
        meaning = text(code, "CodeMeaning").replace("-", "").replace(" ", "")
        for words, view in (("POSTEROANTERIOR", "PA"), ("ANTEROPOSTERIOR", "AP"), ("LATERAL", "LATERAL")):
            if words in meaning:
                return view
    return "LATERAL" if text(dataset, "PatientOrientation")[:1] in ("A", "P") else None


def _check(reason: str, what: str, value: str, allowed: tuple[str, ...], known: frozenset[str] | set[str]) -> None:
    if not allowed or value in {term.upper() for term in allowed}:
        return
    shown = value if value in known else "an unknown term" if value else "empty"
    raise RejectionError(reason, f"{what} is {shown}, not one of {', '.join(allowed)}")
