"""Any text of a view becomes one of a few terms."""

import pytest
from pydantic import ValidationError

from stages.common.radiographs.rejection import RejectionError
from stages.common.radiographs.selection import check_view
from stages.common.radiographs.views import normalise_view, view_described_by
from stages.dicom_to_arrow.contract import DicomToArrowSettings

TEXTS = {
    "PA": ["PA", "pa", " PA ", "PA ERECT", "PA_erect", "P.A.", "P-A", "postero-anterior", "Posteroanterior",
           "Frontal PA", "CHEST PA", "posterior-anterior"],
    "AP": ["AP", "AP SUPINE", "AP_horizontal", "AP SITTING", "A.P. supine", "antero-posterior", "Frontal AP",
           "CHEST (PORTABLE AP)", "AP SUPINE DECUBITUS", "AP L", "AP no contrast"],
    "FRONTAL": ["Frontal", "FRONTAL VIEW", "AP/PA", "PA or AP"],
    "LATERAL": ["LATERAL", "LAT", "LL", "RL", "Lateral", "left lateral", "XTABLE LATERAL", "L", "Lateral LL"],
    "OBLIQUE": ["OBLIQUE", "LAO", "RPO", "LLO", "PA oblique"],
    "DECUBITUS": ["LLD", "AP LLD", "PA RLD", "left lateral decubitus"],
    "AXIAL": ["AP AXIAL", "lordotic", "AP lordotic"],
    "OTHER": ["COSTAL", "SWIMMERS", "MILLER", "PA AND LATERAL", "Frontal LL", "PALATE", "ap seitl", "ap/seitl.",
              "Thorax PA + L", "L/PA", "PA und L", "AP\\L", "AP\\LL", "NOT AP", "non-PA", "kein AP", "PA, not AP"],
    None: ["", "  ", "nan", "None", "N/A", "UNKNOWN", "-", None],
}  # fmt: skip


@pytest.mark.parametrize(("text", "view"), [(text, view) for view, texts in TEXTS.items() for text in texts])
def test_texts_of_a_view(text, view):
    assert normalise_view(text) == view


def test_normalising_twice_changes_nothing():
    for view in filter(None, TEXTS):
        assert normalise_view(view) == view


def test_a_description_counts_where_it_names_a_single_view():
    assert view_described_by("CHEST (PORTABLE AP)") == "AP"
    for text in ("CHEST (PA AND LAT)", "CHEST", "", "L", "Erect", "CHEST (PA, LAT & BOTH OBLIQUES)"):
        assert view_described_by(text) is None


@pytest.mark.parametrize(
    ("view", "views", "accepted"),
    [
        ("AP SUPINE", ("PA", "AP"), True),
        ("Frontal", ("PA", "AP"), True),
        ("Frontal", ("PA",), False),
        ("PA", ("FRONTAL",), True),
        ("LL", ("lateral",), True),
        ("AP AXIAL", ("PA", "AP"), False),
        ("AP LLD", ("PA", "AP"), False),
        ("COSTAL", ("PA", "AP"), False),
    ],
)
def test_the_setting_accepts_views_by_their_meaning(view, views, accepted):
    settings = DicomToArrowSettings(views=views)
    if accepted:
        check_view(view, settings)
    else:
        with pytest.raises(RejectionError) as caught:
            check_view(view, settings)
        assert caught.value.reason == "wrong_view"


def test_a_setting_that_is_no_view_is_refused():
    with pytest.raises(ValidationError, match="'frontl' is no view: use PA, AP, FRONTAL"):
        DicomToArrowSettings(views=("PA", "frontl"))
