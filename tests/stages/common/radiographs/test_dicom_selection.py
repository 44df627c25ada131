"""The view by the first that states one, and what the settings let in."""

import pytest
from pydicom.dataset import Dataset

from stages.common.radiographs.rejection import RejectionError
from stages.common.radiographs.selection import check_body_part, check_modality, check_view, view_of
from stages.dicom_to_arrow.contract import DicomToArrowSettings


def header(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def code(meaning: str) -> list[Dataset]:
    return [header(CodeMeaning=meaning)]


@pytest.mark.parametrize(
    ("index_view", "elements", "expected"),
    [
        ("PA", {"ViewPosition": "LL"}, "PA"),
        (" ap ", {}, "AP"),
        (None, {"ViewPosition": "AP"}, "AP"),
        (None, {"ViewPosition": ["AP", "LL"]}, "OTHER"),  # two views are none
        ("", {"ViewPosition": "LATERAL"}, "LATERAL"),
        (None, {"ViewPosition": "", "ViewCodeSequence": code("postero-anterior")}, "PA"),
        (None, {"ViewCodeSequence": code("antero-posterior")}, "AP"),
        (None, {"ViewCodeSequence": code("Antero posterior")}, "AP"),
        (None, {"ViewCodeSequence": code("left lateral")}, "LATERAL"),
        (None, {"PatientOrientation": ["P", "F"]}, "LATERAL"),
        (None, {"PatientOrientation": ["A", "F"]}, "LATERAL"),
        (None, {"PatientOrientation": ["L", "F"]}, None),
        (None, {"PatientOrientation": ""}, None),
        (None, {"ViewPosition": "PA", "PatientOrientation": ["P", "F"]}, "PA"),
        (None, {}, None),
    ],
)
def test_view(index_view, elements, expected):
    assert view_of(index_view, header(**elements)) == expected


@pytest.mark.parametrize(
    ("view", "settings", "accepted"),
    [
        ("PA", {}, True),
        ("LL", {}, False),
        ("LATERAL", {}, False),
        ("LL", {"views": ["LL", "PA"]}, True),
        ("ANYTHING", {"views": []}, True),
        (None, {}, True),
        (None, {"views_missing": "reject"}, False),
        (None, {"views_missing": "reject", "views": []}, True),
    ],
)
def test_views_that_go_in(view, settings, accepted):
    settings = DicomToArrowSettings(**settings)
    if accepted:
        check_view(view, settings)
    else:
        with pytest.raises(RejectionError) as caught:
            check_view(view, settings)
        assert caught.value.reason == ("unknown_view" if view is None else "wrong_view")


def test_modality_and_body_part():
    chest = header(Modality="CR", BodyPartExamined="CHEST")
    check_modality(chest, DicomToArrowSettings())
    check_body_part(chest, DicomToArrowSettings())
    check_body_part(chest, DicomToArrowSettings(body_parts=("chest",)))
    check_modality(header(Modality="OT"), DicomToArrowSettings(modalities=("CR", "OT")))
    for elements in ({"Modality": "OT"}, {"Modality": ""}, {}):
        with pytest.raises(RejectionError, match="Modality is"):
            check_modality(header(**elements), DicomToArrowSettings())
    with pytest.raises(RejectionError, match="BodyPartExamined is"):
        check_body_part(header(BodyPartExamined="HAND"), DicomToArrowSettings(body_parts=("CHEST",)))


def test_free_text_is_not_repeated():
    with pytest.raises(RejectionError) as caught:
        check_view("MILLER", DicomToArrowSettings())
    assert str(caught.value) == "the view is an unknown term, not one of PA, AP"
