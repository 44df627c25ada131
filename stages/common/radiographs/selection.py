"""Selection of images by modality, SOP class, view, body part and burned-in text, according to the settings."""

from pydicom import Dataset
from pydicom.uid import UID, DigitalXRayImageStorageForProcessing

from .parsing import items, joined_text, text
from .rejection import RejectionError
from .settings import RadiographSettings
from .views import View, accepted_views, normalise_view, view_described_by

# Terms that a message may name: PS3.3 C.7.3.1.1.1 (part of its list). Any other value could be a name in the
# wrong field, and is not repeated.
_MODALITIES = frozenset(["CR", "CT", "DX", "MG", "MR", "NM", "OT", "PT", "RF", "RTPLAN", "SEG", "SR", "US", "XA"])
_FLAGS = ("BurnedInAnnotation", "RecognizableVisualFeatures")
# Codes of PS3.16 CID 4010 (SNOMED CT, and SNOMED RT of older files); for other codes the meaning counts.
_VIEW_CODES: dict[str, View] = {
    "272479007": "PA", "R-40888": "PA", "399348003": "AP", "R-10206": "AP",
    "399067008": "LATERAL", "399173006": "LATERAL", "399198007": "LATERAL",
    "R-102CD": "LATERAL", "R-10232": "LATERAL", "R-10236": "LATERAL",
}  # fmt: skip


def check_modality(dataset: Dataset, settings: RadiographSettings) -> None:
    """Reject a modality that the settings exclude; `modality_missing` decides where none is stated."""
    modality = text(dataset, "Modality")
    if not modality and settings.modalities:
        if settings.modality_missing == "accept":
            return
        allowed = ", ".join(settings.modalities)
        raise RejectionError("wrong_modality", f"Modality is empty, not one of {allowed} (modality_missing: reject)")
    _check("wrong_modality", "Modality", modality, settings.modalities, _MODALITIES)


def check_sop_class(dataset: Dataset, settings: RadiographSettings) -> None:
    """Reject a SOP class that the settings exclude; a file without SOPClassUID is judged by its modality alone."""
    uid = UID(text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID"))
    if text(dataset, "PresentationIntentType") == "FOR PROCESSING":  # C.8.11.1, whatever the class says
        uid = DigitalXRayImageStorageForProcessing
    if uid and settings.sop_classes and uid.keyword not in settings.sop_classes:
        shown = uid.keyword or "unknown"  # keywords are pydicom's, not the file's
        raise RejectionError("wrong_sop_class", f"SOPClassUID is {shown}, not one of {', '.join(settings.sop_classes)}")


def check_burned_in(dataset: Dataset, settings: RadiographSettings) -> None:
    """Reject a file that says its pixels identify the patient, if `burned_in` is "reject"."""
    for keyword in _FLAGS:
        if settings.burned_in == "reject" and text(dataset, keyword) == "YES":
            raise RejectionError("burned_in", f"{keyword} is YES (burned_in: reject)")


def check_body_part(dataset: Dataset, settings: RadiographSettings) -> None:
    """Reject a body part that the settings exclude."""
    _check("wrong_body_part", "BodyPartExamined", text(dataset, "BodyPartExamined"), settings.body_parts, {"CHEST"})


def check_view(view: str | None, settings: RadiographSettings) -> None:
    """Reject a view that the settings exclude; `views_missing` decides where no view is stated."""
    if not settings.views:
        return
    normalised = normalise_view(view)
    if normalised is None:
        if settings.views_missing == "reject":
            raise RejectionError("unknown_view", "neither the index nor the header names a view (views_missing)")
    elif normalised not in accepted_views(settings.views):
        shown = "an unknown term" if normalised == "OTHER" else normalised
        raise RejectionError("wrong_view", f"the view is {shown}, not one of {', '.join(settings.views)}")


def view_of(index_view: str | None, dataset: Dataset | None) -> View | None:
    """Return the view from the first source that states it, or None.

    The order is: index, ViewPosition, view code, orientation, descriptions. PatientOrientation (C.7.6.1.1.1) identifies
    lateral images only: their rows run to the anterior or posterior side. Descriptions are free text, often of the
    whole study ("PA and lateral"), so they count only where they name a single view.
    """
    if view := normalise_view(index_view):
        return view
    if dataset is None:
        return None
    if view := normalise_view(joined_text(dataset, "ViewPosition")):
        return view
    for code in items(dataset, "ViewCodeSequence"):
        if view := _VIEW_CODES.get(text(code, "CodeValue")) or view_described_by(text(code, "CodeMeaning")):
            return view
    if text(dataset, "PatientOrientation")[:1] in ("A", "P"):
        return "LATERAL"
    return view_described_by(f"{text(dataset, 'SeriesDescription')} {text(dataset, 'ProtocolName')}")


def _check(reason: str, what: str, value: str, allowed: tuple[str, ...], known: frozenset[str] | set[str]) -> None:
    if not allowed or value in {term.upper() for term in allowed}:
        return
    shown = value if value in known else "an unknown term" if value else "empty"
    raise RejectionError(reason, f"{what} is {shown}, not one of {', '.join(allowed)}")
